"""Two images that are registered: how well they agree, and how the work on them is watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from SAMSpineLib.errors import Cancelled
from SAMSpineLib.volume import Volume

Asked = Callable[[], bool] | None
Array = npt.NDArray[Any]
Result = TypeVar("Result")

# Distances beyond this say no more than "far away", and a far part of one mask pulls at none of the other.
REACH_MM = 10.0

CANCELLED = "The registration was cancelled; start it again for a result"

_LOOK_UP_S = 0.1
_PROBED = 200_000
_BINS = 32


def attended(work: Callable[[], Result], cancelled: Asked) -> Result:
    """Do in another thread what may not look up for seconds, and leave it to itself when cancelled.

    Raises:
        Cancelled: if `cancelled` says so; it is asked ten times a second.
    """
    if cancelled is None:
        return work()
    pool = ThreadPoolExecutor(1)
    job = pool.submit(work)
    pool.shutdown(wait=False)
    while not wait([job], _LOOK_UP_S).done:
        if cancelled():
            raise Cancelled(CANCELLED)
    return job.result()


def image_of(volume: Volume) -> sitk.Image:
    """Copy a volume on a grid along R, A, S for SimpleITK."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.grid.spacing.tolist())
    image.SetOrigin((volume.grid.ijk_to_ras[:3, 3] * [-1.0, -1.0, 1.0]).tolist())
    image.SetDirection([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0])
    return image


class Pair:
    """Two images under one measure, and who may stop the work on them."""

    def __init__(self, fixed: Volume, moving: Volume, *, of_masks: bool, cancelled: Asked) -> None:
        """Take distances (mm, `of_masks`) or grey values on grids along R, A, S; ask first whether to go on at all."""
        self.volumes = (fixed, moving)
        self.fixed, self.moving = image_of(fixed), image_of(moving)
        self.of_masks = of_masks
        self.cancelled = cancelled or (lambda: False)
        step = max(1, int(np.ceil(np.cbrt(fixed.array.size / _PROBED))))
        self.probe = self.fixed[::step, ::step, ::step]
        self.probed = sitk.GetArrayFromImage(self.probe)
        self.check()

    def check(self) -> None:
        """Stop here if the user has asked for it."""
        if self.cancelled():
            raise Cancelled(CANCELLED)

    def warped(self, chain: sitk.Transform, onto: sitk.Image) -> sitk.Image:
        """Resample the moving image; what it does not show is far outside (masks) or not a number (images)."""
        method = sitk.ResampleImageFilter()
        method.SetReferenceImage(onto)
        method.SetTransform(chain)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetDefaultPixelValue(-REACH_MM if self.of_masks else np.nan)
        self.limit(method)
        return method.Execute(self.moving)

    def limit(self, method: Any) -> None:
        """Leave the other cores to other masks; a pair of images has the machine for itself."""
        if self.of_masks:
            method.SetNumberOfThreads(1)

    def score(self, chain: sitk.Transform) -> float:
        """Return the RMS difference of distances (mm), for images the normalised mutual information (0..1)."""
        other = sitk.GetArrayFromImage(self.warped(chain, self.probe))
        if self.of_masks:
            return float(np.sqrt(np.mean((self.probed - other) ** 2)))
        return normalised_information(self.probed, other)

    def best(self, chains: Sequence[sitk.Transform]) -> sitk.Transform:
        """Return the transform with the best score."""
        return (min if self.of_masks else max)(chains, key=self.score)

    def quality(self, chain: sitk.Transform) -> float:
        """Return the Dice of two masks, the score of two images."""
        if not self.of_masks:
            return self.score(chain)
        a, b = self.probed > 0, sitk.GetArrayFromImage(self.warped(chain, self.probe)) > 0
        return 2.0 * int((a & b).sum()) / int(a.sum() + b.sum())

    @contextmanager
    def watched(self, method: Any, settled: Callable[[list[float]], bool] | None = None) -> Iterator[list[float]]:
        """Lend the measure of a method after each iteration; stop it when cancelled or when it has settled."""
        values: list[float] = []
        measure = method.GetMetricValue if hasattr(method, "GetMetricValue") else method.GetMetric

        def look() -> None:
            values.append(float(measure()))
            if self.cancelled() or (settled is not None and settled(values)):
                method.StopRegistration()

        method.AddCommand(sitk.sitkIterationEvent, look)
        try:
            yield values
        finally:
            # The command knows the method and the method the command: neither would ever be freed.
            method.RemoveAllCommands()


def normalised_information(a: Array, b: Array) -> float:
    """Return (H(a) + H(b)) / H(a, b) - 1 of two arrays of one shape: 0 for strangers, 1 for images that tell all.

    Studholme et al., Pattern Recognition 1999. Where either is not finite there is no overlap; with less than a
    twentieth of overlap the result is 0.
    """
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < both.size / 20:
        return 0.0
    joint = np.histogram2d(a[both], b[both], bins=_BINS)[0] / both.sum()
    h_a, h_b, h_ab = (-float(np.sum(p[p > 0] * np.log(p[p > 0]))) for p in (joint.sum(1), joint.sum(0), joint))
    return (h_a + h_b) / h_ab - 1.0 if h_ab > 0 else 0.0
