"""Many warped atlases become one probability; those that do not fit take no part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from SAMSpineLib.errors import VolumeError

Probability = npt.NDArray[np.float32]
Method = Literal["average", "staple", "local"]

METHODS = ("average", "staple", "local")
# After all stages a fitting vertebra reaches a Dice of 0.95 with a good coarse mask and 0.79 with a very rough one, one
# back to front 0.5 to 0.7. What lies between them is told apart by its distance from the other atlases alone.
LOWEST_QUALITY = 0.75
# Beyond three standard deviations, estimated from the median deviation, an atlas is of another kind than the rest;
# where they are all alike that would be a hair's breadth, so they are never told apart by less than this.
_DEVIATIONS = 3 * 1.4826
_ALIKE = 0.05
_WINDOW_VOXELS = 2.0
_EVEN = 0.02


@dataclass(frozen=True, eq=False)
class Fusion:
    """A fused probability 0..1 (K, J, I), or None and the `reason`.

    Attributes:
        probability: None if no atlas was left.
        used: places in the sequence of those that took part.
        dropped: place and reason of those that did not.
        reason: empty if there is a probability.
    """

    probability: Probability | None = field(repr=False)
    used: tuple[int, ...]
    dropped: Mapping[int, str]
    reason: str = ""


def fuse(probabilities: Sequence[Probability], qualities: Sequence[float], method: Method = "local") -> Fusion:
    """Fuse the probabilities (K, J, I) of warped atlases that lie on one grid.

    `average` is their mean weighted by quality. `staple` takes each as a mask and weighs it by how it performs against
    the hidden truth (Warfield et al., IEEE TMI 2004). `local` weighs each voxel of an atlas by how it agrees round
    about with the average: locally weighted voting (Artaechevarria et al., IEEE TMI 2009) with the consensus in the
    place of an image, as Langerak et al. (IEEE TMI 2010) use it to judge whole atlases.

    Args:
        probabilities: what the atlases say, 0..1.
        qualities: how well each fits, 0..1; see `chosen` for which are dropped.
        method: see above.

    Raises:
        VolumeError: if there are not as many qualities as probabilities, their shapes differ, or the method is unknown.
    """
    if len(probabilities) != len(qualities) or len({p.shape for p in probabilities}) > 1 or method not in METHODS:
        shapes = [p.shape for p in probabilities]
        msg = f"Expected one shape, a quality each and a method of {METHODS}, got {shapes}, {len(qualities)}, {method}"
        raise VolumeError(msg)
    used, dropped = chosen(qualities)
    if not used:
        reason = "no atlas fits" if qualities else "there is no atlas"
        return Fusion(None, (), dropped, reason)
    kept = [np.asarray(probabilities[place], dtype=np.float32) for place in used]
    mean = np.average(kept, axis=0, weights=[qualities[place] for place in used]).astype(np.float32)
    if method == "average":
        return Fusion(mean, used, dropped)
    return Fusion(_staple(kept) if method == "staple" else _local(kept, mean), used, dropped)


def chosen(qualities: Sequence[float]) -> tuple[tuple[int, ...], dict[int, str]]:
    """Tell which atlases take part, and why the others do not.

    Dropped is what lies below `LOWEST_QUALITY`, and what lies further below the median of the rest than three standard
    deviations (from the median absolute deviation), at least 0.05.
    """
    dropped = {
        place: f"fits too badly: {quality:.2f}, at least {LOWEST_QUALITY} is needed"
        for place, quality in enumerate(qualities)
        if not quality >= LOWEST_QUALITY
    }
    rest = {place: quality for place, quality in enumerate(qualities) if place not in dropped}
    if rest:
        median = float(np.median(list(rest.values())))
        spread = float(np.median([abs(quality - median) for quality in rest.values()]))
        lowest = median - max(_ALIKE, _DEVIATIONS * spread)
        text = f"fits worse than the others: {{:.2f}}, at least {lowest:.2f} is usual here"
        dropped |= {place: text.format(quality) for place, quality in rest.items() if quality < lowest}
    return tuple(place for place in rest if place not in dropped), dropped


def _staple(kept: Sequence[Probability]) -> Probability:
    masks = np.array([p > 0.5 for p in kept])
    if len(kept) == 1 or (masks == masks[0]).all():
        # Without disagreement there is no performance to estimate.
        return np.asarray(masks[0], dtype=np.float32)
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    method = sitk.STAPLEImageFilter()
    method.SetForegroundValue(1.0)
    method.SetMaximumIterations(100)
    return np.asarray(sitk.GetArrayFromImage(method.Execute(images)), dtype=np.float32)


def _local(kept: Sequence[Probability], consensus: Probability) -> Probability:
    # Inverse mean squared difference in a Gaussian window; the constant keeps perfect agreement finite.
    away = [ndimage.gaussian_filter((p - consensus) ** 2, _WINDOW_VOXELS, mode="nearest") for p in kept]
    weights = [1.0 / (_EVEN + one) for one in away]
    return np.asarray(np.average(kept, axis=0, weights=weights), dtype=np.float32)
