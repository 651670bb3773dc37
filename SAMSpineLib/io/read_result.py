"""What a reader hands back: the volume, and what it had to mend on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SAMSpineLib.volume import Volume


@dataclass(frozen=True)
class ReadResult:
    """A `volume` and the `notices`: one sentence for each repair or doubt, for the user to read."""

    volume: Volume
    notices: tuple[str, ...] = ()
