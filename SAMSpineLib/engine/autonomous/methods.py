"""The methods of autonomous mode, by the names that every face knows them by."""

from __future__ import annotations

from typing import Literal

# Vertebrae, as a localiser sees them or as atlases that are registered to that, segmented by the session's own network
# or by MA-SAM; vertebrae as MaskSAM sees them by itself; or what the session's own network was taught.
Run = Literal["centres", "atlas", "ma-sam", "masksam", "sam2rad"]

# The method that finds what the session's own network was taught.
TAUGHT = "sam2rad"
# The one whose network needs neither prompts nor a localiser.
MASKSAM = "masksam"
# Those to which atlases are registered.
BY_ATLASES = frozenset({"atlas", "ma-sam"})
# Those for which nobody looks for vertebrae first.
UNLOCALISED = frozenset({TAUGHT, MASKSAM})
# Those whose result is masks, and no prompts from which it could be had again.
WITHOUT_PROMPTS = frozenset({TAUGHT, MASKSAM, "ma-sam"})
