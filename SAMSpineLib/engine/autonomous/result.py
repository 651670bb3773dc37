"""What autonomous mode hands over: a label map, and what is known of each level in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.autonomous.fits import AtlasFit
from SAMSpineLib.engine.autonomous.numbering import Numbering
from SAMSpineLib.labels import Label
from SAMSpineLib.prompts import Ras
from SAMSpineLib.volume import Grid


@dataclass(frozen=True)
class LevelResult:
    """One segmented level.

    Attributes:
        value: label value.
        centre: centre of the vertebra as the localiser saw it (RAS mm).
        confidence: probability (0..1) that the name is right.
        quality: Dice (0..1) that the network expects of the mask.
        voxels: size in the label map.
        flags: why a human should look at it; empty where nothing seems wrong.
    """

    value: int
    centre: Ras
    confidence: float
    quality: float
    voxels: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class AutoResult:
    """All that a run found.

    Attributes:
        grid: the volume's grid.
        labels: label map (K, J, I) on `grid`, 0 where nothing was found.
        levels: head to foot.
        ambiguous: nothing visible fixes the numbering; `alternatives` then holds the other numberings that are as
            likely, likeliest first; each as label values head to foot, 0 for a detection that would be no vertebra.
        message: one sentence for the user; says "no vertebra found" where that is so.
        seconds: time per stage, in the order of the stages.
        numberings: of `levels`, to choose from, the one in use first; none where there is nothing to choose.
        fits: atlases that took part; none where the method does without.
        structures: what was looked for, where that is not the spine.
    """

    grid: Grid
    labels: npt.NDArray[np.uint16] = field(repr=False)
    levels: tuple[LevelResult, ...]
    ambiguous: bool
    alternatives: tuple[tuple[int, ...], ...]
    message: str
    seconds: Mapping[str, float]
    numberings: tuple[Numbering, ...] = ()
    fits: tuple[AtlasFit, ...] = ()
    structures: tuple[Label, ...] = ()
