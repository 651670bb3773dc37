"""The stages of a registration: each takes a pair of images and what is known so far, and adds one transform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from SAMSpineLib.atlas.image_pair import Pair, attended
from SAMSpineLib.atlas.transforms import SpatialTransform, places_of
from SAMSpineLib.errors import MissingExtraError

if TYPE_CHECKING:
    from SAMSpineLib.atlas.registration import RegistrationSettings

Array = npt.NDArray[Any]

# What a vertebra may be stretched or sheared against its atlas; sizes of adults lie well within.
_STRETCH = (0.6, 1.6)
_SAMPLES_OF_MASKS = 6_000
_SAMPLES_OF_IMAGES = 30_000
_LEVER_MM = 30.0
_BINS = 32
_SHRINK = (4, 2, 1)
# Demons has settled when five iterations gain less than a twentieth.
_LOOK_BACK = 5
_GAIN = 0.05


@dataclass(frozen=True, eq=False)
class Step:
    """What a stage adds: a transform that is applied before all earlier ones."""

    added: sitk.Transform
    iterations: int
    converged: bool


Run = Callable[[Pair, sitk.Transform, Array, "RegistrationSettings"], Step]


def step_for(name: str, pair: Pair, settings: RegistrationSettings) -> Run:
    """Return what runs a stage on a pair of masks or images."""
    if name != "deformable":
        return {"rigid": rigid, "affine": affine}[name]
    if settings.engine == "elastix":
        return elastix
    return demons if pair.of_masks else b_spline


def rigid(pair: Pair, chain: sitk.Transform, centre: Array, settings: RegistrationSettings) -> Step:
    """Turn and move about a centre (RAS mm)."""
    if pair.of_masks:
        return _least_squares(pair, chain, centre, _turned, np.zeros(6), settings.iterations)
    added = sitk.Euler3DTransform()
    added.SetCenter(_lps(centre))
    return _optimised(pair, chain, added, _conjugate_gradient, settings)


def affine(pair: Pair, chain: sitk.Transform, centre: Array, settings: RegistrationSettings) -> Step:
    """Stretch and shear about a centre (RAS mm), within limits."""
    if pair.of_masks:
        return _least_squares(pair, chain, centre, _stretched, np.zeros(12), settings.iterations)
    added = sitk.AffineTransform(3)
    added.SetCenter(_lps(centre))
    step = _optimised(pair, chain, added, _conjugate_gradient, settings)
    added.SetMatrix(_limited(np.reshape(added.GetMatrix(), (3, 3))).ravel().tolist())
    return step


def b_spline(pair: Pair, chain: sitk.Transform, centre: Array, settings: RegistrationSettings) -> Step:  # noqa: ARG001
    """Bend by a cubic B-spline whose control points lie `smoothness` mm apart (Rueckert et al., IEEE TMI 1999)."""
    size = np.array(pair.fixed.GetSize()) * np.array(pair.fixed.GetSpacing())
    mesh = np.maximum(1, np.round(size / settings.smoothness)).astype(int)
    added = sitk.BSplineTransformInitializer(pair.fixed, mesh.tolist())
    # Control points that far apart gain nothing from the finest voxels.
    return _optimised(pair, chain, added, _normalised_descent, settings, _SHRINK[:-1])


def demons(pair: Pair, chain: sitk.Transform, centre: Array, settings: RegistrationSettings) -> Step:  # noqa: ARG001
    """Bend by diffeomorphic Demons: on distance maps the difference of two values is the way to go, in mm."""
    method = sitk.DiffeomorphicDemonsRegistrationFilter()
    method.SetNumberOfIterations(settings.iterations)
    method.SetStandardDeviations(settings.smoothness / settings.spacing)
    pair.limit(method)
    moved = pair.warped(chain, pair.fixed)
    with pair.watched(method, _settled) as values:
        found = method.Execute(pair.fixed, moved)
    return _field_step(found, len(values), len(values) < settings.iterations)


def elastix(pair: Pair, chain: sitk.Transform, centre: Array, settings: RegistrationSettings) -> Step:  # noqa: ARG001
    """Bend by elastix' B-spline (Klein et al., IEEE TMI 2010); cancelled, it runs to its end unheard.

    Raises:
        MissingExtraError: if itk-elastix is not installed.
    """
    try:
        itk = import_module("itk")
        parameters = itk.ParameterObject.New()
    except (ImportError, AttributeError) as error:
        raise MissingExtraError(package="itk-elastix", extra="elastix") from error
    chosen = parameters.GetDefaultParameterMap("bspline", 2, settings.smoothness * (4.0 if pair.of_masks else 1.0))
    chosen["Metric"] = ["AdvancedMeanSquares" if pair.of_masks else "AdvancedMattesMutualInformation"]
    chosen["Metric0Weight"] = ["1"]
    chosen["MaximumNumberOfIterations"] = [str(5 * settings.iterations)]
    chosen["RandomSeed"] = ["1"]
    parameters.AddParameterMap(chosen)
    nothing = float(pair.volumes[1].array.min())
    images = [_to_itk(itk, image, nothing) for image in (pair.fixed, pair.warped(chain, pair.fixed))]

    def bend() -> Array:
        threads = 1 if pair.of_masks else 0
        _, found = itk.elastix_registration_method(*images, parameter_object=parameters, number_of_threads=threads)
        with TemporaryDirectory() as folder:  # transformix leaves a copy of the field where it is told to
            way = itk.transformix_deformation_field(images[1], found, output_directory=folder)
            return np.array(itk.array_from_image(way))

    field = attended(bend, pair.cancelled)
    result = sitk.GetImageFromArray(field.astype(np.float64), isVector=True)
    result.CopyInformation(pair.fixed)
    return _field_step(result, 5 * settings.iterations, converged=False)


def _to_itk(itk: Any, image: sitk.Image, nothing: float) -> Any:
    voxels = np.nan_to_num(sitk.GetArrayFromImage(image), nan=nothing)
    result = itk.image_from_array(voxels.astype(np.float32))
    result.SetSpacing(image.GetSpacing())
    result.SetOrigin(image.GetOrigin())
    result.SetDirection(itk.matrix_from_array(np.reshape(image.GetDirection(), (3, 3))))
    return result


def _settled(values: list[float]) -> bool:
    if len(values) <= 2 * _LOOK_BACK:
        return False
    return values[-1 - _LOOK_BACK] - values[-1] < _GAIN * values[-1 - _LOOK_BACK]


def _field_step(found: sitk.Image, iterations: int, converged: bool) -> Step:
    return Step(sitk.DisplacementFieldTransform(sitk.Cast(found, sitk.sitkVectorFloat64)), iterations, converged)


def _least_squares(
    pair: Pair, chain: sitk.Transform, centre: Array, linear: Callable[[Array], Array], start: Array, iterations: int
) -> Step:
    """Find what makes two distance maps equal: few parameters, thousands of residuals in mm.

    Far fewer and cheaper iterations than gradient descent, which on long thin processes creeps. `linear` makes a matrix
    (3, 3) of the first parameters; the last three move. All are millimetres, at `_LEVER_MM` from the centre.
    """
    fixed, moving = pair.volumes
    count = min(_SAMPLES_OF_MASKS, fixed.array.size)
    chosen = np.random.default_rng(0).choice(fixed.array.size, count, replace=False)
    points = places_of(fixed.grid).reshape(-1, 3)[chosen] - centre
    wanted = fixed.array.reshape(-1)[chosen]
    before = SpatialTransform(chain)
    origin = before.map(np.zeros(3))
    onwards = before.map(np.eye(3)) - origin

    def residuals(parameters: Array) -> Array:
        pair.check()
        places = (points @ linear(parameters).T + parameters[-3:] + centre) @ onwards + origin
        index = moving.grid.to_ijk(places)[:, ::-1].T
        return np.asarray(ndimage.map_coordinates(moving.array, index, order=1, mode="nearest") - wanted)

    found = optimize.least_squares(residuals, start, max_nfev=iterations, xtol=1e-4, ftol=1e-4, diff_step=0.05)
    matrix = np.eye(4)
    matrix[:3, :3] = _limited(linear(found.x))
    matrix[:3, 3] = centre + found.x[-3:] - matrix[:3, :3] @ centre
    return Step(SpatialTransform.from_matrix(matrix).lps, int(found.nfev), bool(found.status > 0))


def _turned(parameters: Array) -> Array:
    return np.asarray(Rotation.from_rotvec(parameters[:3] / _LEVER_MM).as_matrix())


def _stretched(parameters: Array) -> Array:
    return np.eye(3) + parameters[:9].reshape(3, 3) / _LEVER_MM


def _limited(linear: Array) -> Array:
    """Return a matrix (3, 3) whose stretches lie within limits; one that mirrors becomes one that does not."""
    u, stretch, v = np.linalg.svd(linear)
    u[:, 2] *= np.sign(np.linalg.det(linear))
    return np.asarray(u @ np.diag(np.clip(stretch, *_STRETCH)) @ v)


def _optimised(
    pair: Pair,
    chain: sitk.Transform,
    added: sitk.Transform,
    optimiser: Callable[..., None],
    settings: RegistrationSettings,
    shrink: tuple[int, ...] = _SHRINK,
) -> Step:
    """Let an optimiser find the parameters of `added` by mutual information, from coarse to fine."""
    method = sitk.ImageRegistrationMethod()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel([(s - 1) / 2 for s in shrink])
    share = _SAMPLES_OF_IMAGES / pair.fixed.GetNumberOfPixels()
    method.SetMetricSamplingStrategy(method.REGULAR)
    # The seed is fixed: the same images give the same transform.
    method.SetMetricSamplingPercentagePerLevel([min(1.0, share * s**3) for s in shrink], 1)
    optimiser(method, settings.iterations, len(added.GetParameters()))
    method.SetMovingInitialTransform(chain)
    method.SetInitialTransform(added, True)
    with pair.watched(method) as values:
        method.Execute(pair.fixed, pair.moving)
    exhausted = "aximum number of iterations" in method.GetOptimizerStopConditionDescription()
    return Step(added, len(values), not exhausted)


def _conjugate_gradient(method: Any, iterations: int, parameters: int) -> None:  # noqa: ARG001
    method.SetOptimizerAsConjugateGradientLineSearch(1.0, iterations, 1e-5, 8)
    method.SetOptimizerScalesFromPhysicalShift()


def _normalised_descent(method: Any, iterations: int, parameters: int) -> None:
    # About a millimetre per control point. L-BFGS would need fewer steps, but cannot be stopped between them.
    step = float(np.sqrt(parameters))
    method.SetOptimizerAsRegularStepGradientDescent(step, 0.05 * step, iterations, relaxationFactor=0.7)


def _lps(ras: Array) -> list[float]:
    return [-float(ras[0]), -float(ras[1]), float(ras[2])]
