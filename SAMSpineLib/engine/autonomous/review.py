"""Which levels a human should look at, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from SAMSpineLib.engine.autonomous.survey import Found
from SAMSpineLib.labels import spine_labels

UNSURE = "the name is unsure"
UNSURE_NAME = 0.8
POOR_MASK = 0.75
FAINT = 0.4
ODD_SIZE = 0.35


def flags_of(
    found: Sequence[Found], voxels: Mapping[int, int], quality: Callable[[int], float | None]
) -> dict[int, tuple[str, ...]]:
    """Return for each level the reasons why it deserves a look; none where nothing seems wrong.

    Args:
        found: head to foot.
        voxels: size of each level's mask.
        quality: the Dice that the network expects of a level, None where it has none.
    """
    flags: dict[int, tuple[str, ...]] = {}
    for place, one in enumerate(found):
        expected = quality(one.value)
        reasons = {
            UNSURE: one.confidence < UNSURE_NAME,
            "the mask may be poor": expected is not None and expected < POOR_MASK,
            "it was barely seen": one.instance.score < FAINT,
            "the image's border cuts it": one.instance.cut,
            "its size does not fit its neighbours'": _odd(found, place, voxels),
            "nothing is marked": voxels[one.value] == 0,
        }
        flags[one.value] = tuple(reason for reason, holds in reasons.items() if holds)
    return flags


def _odd(found: Sequence[Found], place: int, voxels: Mapping[int, int]) -> bool:
    """Tell whether a vertebra is much larger or smaller than those beside it; one cut by the border is no measure."""
    if found[place].instance.cut or spine_labels().by_value(found[place].value).whole:
        return False
    near = [found[n] for n in (place - 2, place - 1, place + 1, place + 2) if 0 <= n < len(found)]
    sizes = [voxels[one.value] for one in near if not one.instance.cut and not spine_labels().by_value(one.value).whole]
    if len(sizes) < 2 or not min(sizes) or not voxels[found[place].value]:
        return False
    return abs(float(np.log(voxels[found[place].value] / np.median(sizes)))) > ODD_SIZE
