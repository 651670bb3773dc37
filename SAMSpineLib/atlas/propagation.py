"""Atlases become pseudo-masks: shapes of each level are registered to what was found of it, warped and fused.

Source: MA-SAM (Fan et al., IEEE TMI 2025, doi 10.1109/TMI.2024.3524570), which gives its network one channel per atlas;
here they are fused, so that the number and order of atlases do not matter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from SAMSpineLib.atlas.fusion import Fusion, Method, Probability, fuse
from SAMSpineLib.atlas.image_pair import Asked
from SAMSpineLib.atlas.registration import (
    Registration,
    RegistrationSettings,
    WorkingMask,
    grid_around,
    register_working,
)
from SAMSpineLib.atlas.shapes import AtlasShape
from SAMSpineLib.atlas.warping import warp_mask
from SAMSpineLib.errors import Cancelled, VolumeError
from SAMSpineLib.progress import Counted
from SAMSpineLib.volume import Grid

Target = tuple[npt.NDArray[Any], Grid]

_FINEST_MM = 1.5


@dataclass(frozen=True)
class Dropped:
    """An atlas that took no part, why, and how well it fitted (0..1)."""

    name: str
    reason: str
    quality: float


@dataclass(frozen=True, eq=False)
class PropagatedLevel:
    """What the atlases say about one level.

    Attributes:
        probability: 0..1 (K, J, I) on `grid`, or None with a `reason`.
        grid: along R, A, S, around the coarse mask.
        used: names of the atlases that took part.
        dropped: the others.
        registrations: by name, of all that could be registered.
        reason: why there is no probability; empty if there is one.
    """

    probability: Probability | None = field(repr=False)
    grid: Grid
    used: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    registrations: Mapping[str, Registration] = field(repr=False)
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Fit:
    """One shape laid over one coarse mask, or why that could not be."""

    name: str
    registration: Registration | None = None
    probability: Probability | None = None
    reason: str = ""


def propagate(  # noqa: PLR0913
    targets: Mapping[int, Target],
    candidates: Mapping[int, Sequence[AtlasShape]],
    settings: RegistrationSettings | None = None,
    *,
    method: Method = "local",
    progress: Counted | None = None,
    cancelled: Asked = None,
    workers: int | None = None,
) -> Mapping[int, PropagatedLevel]:
    """Register shapes of atlases to coarse masks, in parallel over both, and fuse them level by level.

    Args:
        targets: coarse mask (K, J, I) and its grid for each label value; what is not zero is inside.
        candidates: shapes for each value.
        settings: of the registration; None for those of a vertebra.
        method: of the fusion.
        progress: called here, in this thread, as (done, in all, name of the shape).
        cancelled: asked after every iteration, from several threads; True ends the work within a second.
        workers: threads; None for one per core.

    Returns:
        For each value what its shapes say; after a cancel those values whose shapes had all been registered.

    Raises:
        VolumeError: if a coarse mask is empty or does not have the shape of its grid.
    """
    settings = settings or RegistrationSettings()
    fixed = {value: WorkingMask.of(mask, grid, settings.spacing) for value, (mask, grid) in targets.items()}
    grids = {value: _result_grid(fixed[value], grid) for value, (_, grid) in targets.items()}
    shapes = {value: tuple(candidates.get(value, ())) for value in targets}
    result = {value: _level(grids[value], (), method) for value in targets if not shapes[value]}
    missing = {value: len(shapes[value]) for value in targets}
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        jobs = {
            value: [pool.submit(_fitted, value, one, fixed[value], grids[value], settings, cancelled) for one in some]
            for value, some in shapes.items()
        }
        owners = {job: value for value, some in jobs.items() for job in some}
        for done, job in enumerate(as_completed(owners), start=1):
            value = owners[job]
            try:
                name = job.result().name
            except Cancelled:
                pool.shutdown(wait=True, cancel_futures=True)
                break
            missing[value] -= 1
            if not missing[value]:
                result[value] = _level(grids[value], [one.result() for one in jobs.pop(value)], method)
            if progress is not None:
                progress(done, len(owners), name)
    return {value: result[value] for value in targets if value in result}


def _fitted(  # noqa: PLR0913
    value: int, shape: AtlasShape, fixed: WorkingMask, grid: Grid, settings: RegistrationSettings, cancelled: Asked
) -> _Fit:
    """Register and warp one shape."""
    name = shape.atlas if shape.value == value else f"{shape.atlas} (label {shape.value})"
    if cancelled is not None and cancelled():
        raise Cancelled(name)
    try:
        moving = WorkingMask.of(shape.mask, shape.grid, settings.spacing)
    except VolumeError as error:
        return _Fit(name, reason=str(error))
    registration = register_working(fixed, moving, settings, cancelled=cancelled)
    return _Fit(name, registration, warp_mask(shape.mask, shape.grid, registration.transform, grid))


def _level(grid: Grid, fits: Sequence[_Fit], method: Method) -> PropagatedLevel:
    """Fuse what was registered of one level."""
    good = [
        (fit, fit.registration, fit.probability) for fit in fits if fit.registration and fit.probability is not None
    ]
    fusion: Fusion = fuse([p for _, _, p in good], [r.quality for _, r, _ in good], method)
    dropped = [Dropped(fit.name, fit.reason, 0.0) for fit in fits if fit.registration is None]
    dropped += [Dropped(good[n][0].name, text, good[n][1].quality) for n, text in fusion.dropped.items()]
    used = tuple(good[n][0].name for n in fusion.used)
    registrations = {fit.name: registration for fit, registration, _ in good}
    return PropagatedLevel(fusion.probability, grid, used, tuple(dropped), registrations, fusion.reason)


def _result_grid(fixed: WorkingMask, grid: Grid) -> Grid:
    """Return a grid around a coarse mask, as fine as that but no finer than what a prompt needs."""
    return grid_around(fixed.grid.corners(), 0.0, max(_FINEST_MM, float(grid.spacing.min())))
