"""Find the transform that lays one mask or image over another.

A mask is laid over a mask as MA-SAM lays its atlases over a coarse segmentation (Fan et al., IEEE TMI 2025, doi
10.1109/TMI.2024.3524570): no grey value takes part, so any modality will do. Both masks become signed distances on a
small isotropic grid; moments start, a rigid and an affine stage follow, and diffeomorphic Demons (Vercauteren et al.,
NeuroImage 2009) end. Images are compared by mutual information (Mattes et al., IEEE TMI 2003), with a B-spline last.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from SAMSpineLib.atlas.image_pair import REACH_MM, Asked, Pair, attended
from SAMSpineLib.atlas.stages import step_for
from SAMSpineLib.atlas.transforms import SpatialTransform
from SAMSpineLib.atlas.warping import signed_distance
from SAMSpineLib.errors import GeometryError, VolumeError
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Grid, Volume

Stage = Literal["rigid", "affine", "deformable"]
Array = npt.NDArray[Any]

_STAGES = ("rigid", "affine", "deformable")
_ENGINES = ("simpleitk", "elastix")
_ROOM_MM = 8.0
# A vertebra lies about as its patient does: axes of inertia that say otherwise are those of another shape.
_LARGEST_TURN = np.radians(60.0)


@dataclass(frozen=True)
class RegistrationSettings:
    """How to register.

    Attributes:
        stages: which of rigid, affine and deformable to run, in this order.
        spacing: voxel size (mm) of the grid that the work is done on.
        iterations: at most so many in each stage, for images at each resolution.
        smoothness: over how many mm a deformation stays alike: the standard deviation of Demons' smoothing, the
            distance of the B-spline's control points for images.
        engine: what runs the deformable stage: SimpleITK, or elastix where the package itk-elastix is installed.

    Raises:
        GeometryError: if a value makes no sense.
    """

    stages: tuple[Stage, ...] = _STAGES  # type: ignore[assignment]
    spacing: float = 2.5
    iterations: int = 40
    smoothness: float = 3.5
    engine: Literal["simpleitk", "elastix"] = "simpleitk"

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if list(self.stages) != [name for name in _STAGES if name in self.stages] or self.engine not in _ENGINES:
            msg = f"Expected stages among {_STAGES} in this order and an engine of {_ENGINES}, got {self}"
            raise GeometryError(msg)
        if min(self.spacing, self.iterations, self.smoothness) <= 0:
            msg = f"Expected spacing, iterations and smoothness above 0, got {self}"
            raise GeometryError(msg)

    @classmethod
    def for_images(cls) -> RegistrationSettings:
        """Return what suits whole spines: 3 mm voxels, control points 60 mm apart."""
        return cls(spacing=3.0, smoothness=60.0)


@dataclass(frozen=True)
class StageReport:
    """What one stage did. `metric`: RMS difference of distances (mm, masks); normalised mutual information (images).

    `converged` says that the stage stopped because nothing was left to gain, not because its iterations were used up.
    """

    name: str
    metric_before: float
    metric_after: float
    iterations: int
    converged: bool
    seconds: float


@dataclass(frozen=True, eq=False)
class Registration:
    """A transform from fixed to moving space, and how good it is.

    Attributes:
        transform: maps fixed RAS points to moving RAS points.
        stages: what each stage did.
        quality: 0..1; Dice of the warped moving mask with the fixed one, for images the normalised mutual information
            of Studholme et al. (Pattern Recognition 1999) less 1.
        jacobian_min: smallest local change of volume on the fixed grid; at or below 0 the transform folds.
    """

    transform: SpatialTransform
    stages: tuple[StageReport, ...]
    quality: float
    jacobian_min: float


@dataclass(frozen=True, eq=False)
class WorkingMask:
    """A mask as it is registered: signed distance (mm, K, J, I) on a small grid along R, A, S, and its moments."""

    distance: npt.NDArray[np.float32] = field(repr=False)
    grid: Grid
    centroid: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]

    @classmethod
    def of(cls, mask: Array, grid: Grid, spacing: float) -> WorkingMask:
        """Crop and resample a mask (K, J, I; what is not zero is inside) on any grid.

        Raises:
            VolumeError: if it is empty, too small for the spacing, or of another shape than its grid.
        """
        if mask.shape != grid.shape or not mask.any():
            msg = f"Expected a mask of the grid's shape {grid.shape} with voxels inside, got {mask.shape}, "
            raise VolumeError(msg + f"{np.count_nonzero(mask)} inside")
        box = ndimage.find_objects((mask != 0).view(np.uint8))[0]
        k, j, i = ((side.start, side.stop - 1) for side in box)
        crop = grid.crop((*i, *j, *k))
        points = crop.to_ras(np.argwhere(mask[box])[:, ::-1])
        work = grid_around(points, crop.spacing.max() / 2 + _ROOM_MM, spacing)
        # One voxel of outside on every side: sampling ends where its source does.
        room = grid.crop((i[0] - 1, i[1] + 1, j[0] - 1, j[1] + 1, k[0] - 1, k[1] + 1))
        share = sample(np.pad(mask[box] != 0, 1), room, work, fill=0.0)
        distance = np.clip(signed_distance(share, work.spacing), -REACH_MM, REACH_MM)
        axes = np.linalg.eigh(np.cov(points.T) if len(points) > 1 else np.eye(3))[1]
        return cls(distance, work, points.mean(axis=0), axes)


def register_masks(
    fixed: Array,
    fixed_grid: Grid,
    moving: Array,
    moving_grid: Grid,
    settings: RegistrationSettings | None = None,
    *,
    cancelled: Asked = None,
) -> Registration:
    """Lay a mask (K, J, I) over another; both may lie on any grid, and in another patient.

    Args:
        fixed: what is to be reached, such as a coarse mask; what is not zero is inside.
        fixed_grid: where it lies (RAS mm).
        moving: what is laid over it, such as a structure of an atlas.
        moving_grid: where that lies.
        settings: None for those of a vertebra.
        cancelled: asked after every iteration.

    Raises:
        VolumeError: if a mask is empty or does not have the shape of its grid.
        Cancelled: if `cancelled` says so.
    """
    settings = settings or RegistrationSettings()
    working = WorkingMask.of(fixed, fixed_grid, settings.spacing)
    other = WorkingMask.of(moving, moving_grid, settings.spacing)
    return register_working(working, other, settings, cancelled=cancelled)


def register_working(
    fixed: WorkingMask, moving: WorkingMask, settings: RegistrationSettings, *, cancelled: Asked = None
) -> Registration:
    """Register masks that are prepared already: one coarse mask meets many atlases.

    Raises:
        Cancelled: if `cancelled` says so.
    """
    volumes = (Volume(one.distance, one.grid) for one in (fixed, moving))
    pair = Pair(*volumes, of_masks=True, cancelled=cancelled)
    start = pair.best([_moved(fixed, moving, turn) for turn in _turns(fixed, moving)])
    return _run(pair, start, fixed.centroid, fixed.grid, settings)


def register_images(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings | None = None,
    *,
    initial: SpatialTransform | None = None,
    cancelled: Asked = None,
) -> Registration:
    """Lay an image over another by mutual information, from coarse to fine; also between modalities.

    One vertebra looks like the next, so between two patients or fields of view the result is as good as `initial`: give
    one that lays matching levels on each other.

    Args:
        fixed: where the result is wanted.
        moving: what is laid over it, such as the image of an atlas.
        settings: None for those of whole spines.
        initial: where to begin; None for the better of centre on centre and centre of mass on centre of mass.
        cancelled: asked ten times a second, here and in the thread that works; that ends itself a little later.

    Raises:
        VolumeError: if an image is the same value everywhere.
        Cancelled: if `cancelled` says so.
    """
    chosen = settings or RegistrationSettings.for_images()
    # Resampling, pyramids and the first step of an optimiser take seconds in which nobody can be asked.
    return attended(lambda: _registered_images((fixed, moving), chosen, initial, cancelled), cancelled)


def _registered_images(
    images: tuple[Volume, Volume], settings: RegistrationSettings, initial: SpatialTransform | None, cancelled: Asked
) -> Registration:
    volumes = [_working_image(one, settings.spacing) for one in images]
    pair = Pair(*volumes, of_masks=False, cancelled=cancelled)
    start = initial.lps if initial is not None else pair.best(_centred(pair))
    grid = volumes[0].grid
    return _run(pair, start, grid.corners().mean(axis=0), grid, settings)


def _run(pair: Pair, chain: sitk.Transform, centre: Array, grid: Grid, settings: RegistrationSettings) -> Registration:
    """Run the stages one after another, each on what those before it have reached."""
    reports = []
    for name in settings.stages:
        pair.check()
        began, before = time.perf_counter(), pair.score(chain)
        step = step_for(name, pair, settings)(pair, chain, centre, settings)
        pair.check()
        longer = sitk.CompositeTransform([chain, step.added])
        longer.FlattenTransform()
        # What has made it worse is no progress: the next stage begins where this one did.
        better = pair.best([longer, chain]) is longer
        chain, after = (longer, pair.score(longer)) if better else (chain, before)
        seconds = time.perf_counter() - began
        reports.append(StageReport(name, before, after, step.iterations, step.converged and better, seconds))
    transform = SpatialTransform(chain)
    return Registration(transform, tuple(reports), pair.quality(chain), float(transform.jacobian(grid).min()))


def grid_around(points: Array, room_mm: float, spacing: float) -> Grid:
    """Return an isotropic grid along R, A, S that holds points (N, 3) and some room."""
    low, high = points.min(axis=0) - room_mm, points.max(axis=0) + room_mm
    i, j, k = (int(n) + 1 for n in np.ceil((high - low) / spacing))
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = low
    return Grid((k, j, i), matrix)


def _working_image(volume: Volume, spacing: float) -> Volume:
    """Resample an image on an isotropic grid along R, A, S, without the rare extreme values that blunt a histogram."""
    grid = grid_around(volume.grid.corners(), 0.0, spacing)
    lowest = float(volume.array.min())
    if lowest == float(volume.array.max()):
        msg = f"{volume.name} has the value {lowest:g} everywhere: there is nothing to register; give another image"
        raise VolumeError(msg)
    voxels = sample(volume.array, volume.grid, grid, fill=lowest)
    return Volume(np.clip(voxels, *np.percentile(voxels, (0.5, 99.5))), grid, volume.name, volume.modality)


def _centred(pair: Pair) -> list[sitk.Transform]:
    """Return the translations that lay centre on centre, and centre of mass on centre of mass."""
    # Mass is what lies above the smallest value, which is air.
    images = [
        image - float(one.array.min()) for image, one in zip((pair.fixed, pair.moving), pair.volumes, strict=True)
    ]
    kinds = (sitk.CenteredTransformInitializerFilter.GEOMETRY, sitk.CenteredTransformInitializerFilter.MOMENTS)
    return [sitk.CenteredTransformInitializer(*images, sitk.Euler3DTransform(), kind) for kind in kinds]


def _turns(fixed: WorkingMask, moving: WorkingMask) -> list[Array]:
    """Return rotations (3, 3) to begin with: none, and that of the axes of inertia where it is of moderate angle.

    Axes have no sign. Of the four choices that mirror nothing the smallest rotation is taken.
    """
    rotations = []
    for signs in product((-1.0, 1.0), repeat=3):
        turn = moving.axes @ np.diag(signs) @ fixed.axes.T
        if np.linalg.det(turn) > 0:
            rotations.append(Rotation.from_matrix(turn))
    smallest = min(rotations, key=Rotation.magnitude)
    return [np.eye(3)] + [smallest.as_matrix()] * bool(smallest.magnitude() <= _LARGEST_TURN)


def _moved(fixed: WorkingMask, moving: WorkingMask, turn: Array) -> sitk.Transform:
    """Return the map that turns about the centroids and lays one on the other."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = moving.centroid - turn @ fixed.centroid
    return SpatialTransform.from_matrix(matrix).lps
