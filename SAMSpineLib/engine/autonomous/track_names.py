"""Names for what MaskSAM sees: one above the other is a chain, numbered as a whole as what the localiser finds is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from SAMSpineLib.engine.autonomous.level_chain import SACRUM
from SAMSpineLib.engine.autonomous.levels import LevelAssignment, assign_levels
from SAMSpineLib.labels import Label
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.models.masksam.tracks import Track

# A chance below this is none.
LEAST = 1e-3
# What is smaller than this share of the median is a splinter of a neighbour.
SPLINTER = 0.15
NOT_NUMBERED = LevelAssignment((), (), (), ambiguous=False, message="")


class ChainNames:
    """Name all tracks of a stack, head to foot; `assigned` tells afterwards how sure the numbering is."""

    def __init__(self) -> None:
        """Begin with an empty chain."""
        self.assigned = NOT_NUMBERED

    def __call__(self, tracks: Sequence[Track]) -> list[int]:
        """Return the label value of each of some tracks, head to foot, 0 for one that is no vertebra.

        The sacrum is the topmost that is likelier the sacrum than not; below it is nothing but further pieces of it.
        """
        values = [0] * len(tracks)
        sacral = [one.chances[LEVEL_VALUES.index(SACRUM)] > 0.5 for one in tracks]
        last = sacral.index(True) if True in sacral else len(tracks) - 1
        median = np.median([one.size for one in tracks]) if tracks else 0.0
        chain = [place for place in range(last + 1) if tracks[place].size > SPLINTER * median]
        self.assigned = _numbered([tracks[place] for place in chain])
        for place, value in zip(chain, self.assigned.values, strict=True):
            values[place] = value
        if SACRUM in values:
            values[last + 1 :] = [SACRUM if one else 0 for one in sacral[last + 1 :]]
        return values


def fits(structures: Sequence[Label]) -> bool:
    """Tell whether classes are the levels of the spine, which a chain can be numbered by."""
    return tuple(one.value for one in structures) == tuple(LEVEL_VALUES)


def _numbered(chain: Sequence[Track]) -> LevelAssignment:
    if not chain:
        return NOT_NUMBERED
    evidence = np.log(np.array([one.chances for one in chain]).clip(min=LEAST))
    gaps = [float(np.linalg.norm(upper.centre - lower.centre)) for upper, lower in pairwise(chain)]
    return assign_levels(evidence, gaps)
