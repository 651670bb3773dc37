"""Registration: known maps come back, on any grid, and nothing is found where there is nothing."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from SAMSpineLib.atlas.image_pair import attended, normalised_information
from SAMSpineLib.atlas.registration import (
    Registration,
    RegistrationSettings,
    register_images,
    register_masks,
)
from SAMSpineLib.atlas.transforms import SpatialTransform, places_of
from SAMSpineLib.atlas.warping import signed_distance, warp_mask
from SAMSpineLib.errors import Cancelled, GeometryError, MissingExtraError, OutputError, VolumeError
from SAMSpineLib.training.synthetic import PhantomSettings, make_phantom
from SAMSpineLib.volume import Grid, Volume

OTHER_KIND = {"RAS": "oblique", "oblique": "permuted"}


def through(matrix: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: points @ matrix[:3, :3].T + matrix[:3, 3]


def errors_mm(found: SpatialTransform, truth: Callable, points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found.map(points) - truth(points), axis=-1)


def register_known(spot, matrix: np.ndarray, kind: str, stages: tuple[str, ...]) -> tuple[Registration, np.ndarray]:
    """Register the vertebra to itself as another patient has it; return errors (mm) at places within."""
    grid = spot.grid(kind)
    fixed = spot.vertebra(grid)
    there = type(spot)(through(matrix)(spot.centre)).grid(OTHER_KIND.get(kind, "RAS"))
    moving = spot.vertebra(there, through(np.linalg.inv(matrix)))
    found = register_masks(fixed, grid, moving, there, RegistrationSettings(stages=stages))
    return found, errors_mm(found.transform, through(matrix), spot.landmarks(grid, fixed))


def test_a_rigid_map_is_recovered_on_any_grid(spot, turned: np.ndarray, kind: str) -> None:
    found, away = register_known(spot, turned, kind, ("rigid",))
    assert away.mean() < 0.5
    assert away.max() < 1.0
    assert found.jacobian_min == pytest.approx(1.0, abs=1e-6)


def test_an_affine_map_is_recovered_on_any_grid(spot, stretched: np.ndarray, kind: str) -> None:
    found, away = register_known(spot, stretched, kind, ("rigid", "affine"))
    assert away.mean() < 0.8
    assert away.max() < 2.0
    assert found.jacobian_min == pytest.approx(np.linalg.det(stretched[:3, :3]), rel=0.05)


def test_a_smooth_map_is_recovered_on_any_grid(spot, waves: Callable, kind: str) -> None:
    grid, there = spot.grid(kind), spot.grid("LPS")
    fixed = spot.vertebra(grid, waves)
    found = register_masks(fixed, grid, spot.vertebra(there), there)
    places = spot.landmarks(grid, fixed)
    assert np.linalg.norm(waves(places) - places, axis=-1).mean() > 3.0
    assert errors_mm(found.transform, waves, places).mean() < 0.8
    assert found.quality > 0.93
    assert found.jacobian_min > 0.3


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1),
    degrees=st.floats(0, 40),
    shift=st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_any_moderate_turn_to_any_place_is_recovered(spot, axis, degrees: float, shift) -> None:
    matrix = np.eye(4)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    matrix[:3, :3], matrix[:3, 3] = turn, spot.centre - turn @ spot.centre + shift
    _, away = register_known(spot, matrix, "LPS", ("rigid",))
    assert away.max() < 1.0


@pytest.fixture(scope="module")
def lumbar() -> Volume:
    return make_phantom(5, PhantomSettings.small()).labels


def test_a_vertebra_of_a_phantom_is_found_again_after_a_known_map(lumbar: Volume) -> None:
    mask = lumbar.array == 22
    centre = lumbar.grid.to_ras(np.argwhere(mask)[:, ::-1]).mean(axis=0)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [15, 5, -10], degrees=True).as_matrix() @ np.diag([0.9, 1.1, 1.15])
    matrix[:3, 3] = centre + [5.0, 8.0, -4.0] - matrix[:3, :3] @ centre
    fixed = warp_mask(mask, lumbar.grid, SpatialTransform.from_matrix(matrix), lumbar.grid) > 0.5
    found = register_masks(fixed, lumbar.grid, mask, lumbar.grid)
    places = lumbar.grid.to_ras(np.argwhere(fixed)[:, ::-1])
    assert errors_mm(found.transform, through(matrix), places).mean() < 0.8
    assert found.quality > 0.92


def test_the_same_masks_give_the_same_transform(spot, waves: Callable) -> None:
    grid = spot.grid("LPS", 3.0)
    one, two = (register_masks(spot.vertebra(grid, waves), grid, spot.vertebra(grid), grid) for _ in range(2))
    places = places_of(spot.grid("RAS", 10.0))
    np.testing.assert_array_equal(one.transform.map(places), two.transform.map(places))


def test_each_stage_reports_what_it_did_and_none_makes_it_worse(spot, waves: Callable) -> None:
    grid = spot.grid("LPS", 3.0)
    found = register_masks(spot.vertebra(grid, waves), grid, spot.vertebra(grid), grid)
    assert [stage.name for stage in found.stages] == ["rigid", "affine", "deformable"]
    for earlier, later in zip(found.stages, found.stages[1:], strict=False):
        assert later.metric_before == pytest.approx(earlier.metric_after)
    assert all(stage.metric_after <= stage.metric_before and stage.iterations > 0 for stage in found.stages)
    assert all(stage.converged for stage in found.stages)


def test_a_stage_that_runs_out_of_iterations_says_so(spot) -> None:
    grid = spot.grid("LPS", 3.0)
    vertebra = spot.vertebra(grid)
    found = register_masks(vertebra, grid, vertebra[:, ::-1], grid, RegistrationSettings(iterations=2))
    assert not any(stage.converged for stage in found.stages)


def test_what_is_no_such_vertebra_fits_clearly_worse_and_is_never_mirrored(spot, sphere, waves: Callable) -> None:
    grid = spot.grid("RAS", 3.0)
    vertebra, other = spot.vertebra(grid), spot.vertebra(grid, waves)
    good = register_masks(vertebra, grid, other, grid).quality
    assert register_masks(vertebra, grid, *sphere).quality < good - 0.08
    back_to_front = register_masks(vertebra, grid, vertebra[:, ::-1], grid)
    assert back_to_front.quality < good - 0.08
    assert back_to_front.jacobian_min > 0


def test_a_mask_that_is_empty_or_does_not_fit_its_grid_is_refused(spot) -> None:
    grid = spot.grid("RAS", 5.0)
    mask = spot.vertebra(grid)
    with pytest.raises(VolumeError, match="with voxels inside"):
        register_masks(mask, grid, np.zeros_like(mask), grid)
    with pytest.raises(VolumeError, match="grid's shape"):
        register_masks(mask, grid, mask[1:], grid)


@pytest.mark.parametrize("change", [{"stages": ("affine", "rigid")}, {"engine": "ants"}, {"spacing": 0.0}])
def test_settings_that_make_no_sense_are_refused(change: dict) -> None:
    with pytest.raises(GeometryError):
        RegistrationSettings(**change)


def scene(spot, grid: Grid, move: Callable, *, inverted: bool = False) -> Volume:
    """Paint three vertebrae in a body, as CT or as something with the opposite contrast."""
    places = move(places_of(grid)) - spot.centre
    image = np.where(((places / [60, 55, 70]) ** 2).sum(axis=-1) < 1, 40.0, -900.0)
    for height, value in ((-38, 300), (0, 350), (38, 280)):
        image[spot.vertebra(grid, lambda p, h=height: move(p) - [0, 0, h])] = value
    image = ndimage.gaussian_filter(image, 0.7) + np.random.default_rng(3).normal(0, 10, grid.shape)
    return Volume((100 - image / 2 if inverted else image).astype(np.int16), grid)


@pytest.fixture(scope="module")
def nudge(spot) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(10) * np.array([2, -1, 2]) / 3).as_matrix() * 1.04
    matrix[:3, 3] = spot.centre + [15.0, -12.0, 20.0] - matrix[:3, :3] @ spot.centre
    return matrix


@pytest.mark.slow
@pytest.mark.parametrize("inverted", [False, True])
def test_mutual_information_lays_images_over_each_other_also_of_another_contrast(spot, nudge, inverted: bool) -> None:
    grid, there = spot.grid("oblique", 3.0), spot.grid("LPS", 3.0)
    fixed = scene(spot, grid, through(nudge))
    moving = scene(spot, there, lambda points: points, inverted=inverted)
    found = register_images(fixed, moving, RegistrationSettings(stages=("rigid", "affine"), spacing=4.0, iterations=25))
    places = spot.landmarks(grid, spot.vertebra(grid, through(nudge)))
    assert errors_mm(found.transform, through(nudge), places).mean() < 3.0
    assert found.quality > found.stages[0].metric_before + 0.05


@pytest.mark.slow
def test_images_bend_from_where_they_are_told_to_begin(spot, waves: Callable) -> None:
    grid = spot.grid("LPS", 3.0)
    fixed, moving = scene(spot, grid, waves), scene(spot, grid, lambda points: points)
    chosen = RegistrationSettings(stages=("deformable",), spacing=4.0, smoothness=40.0, iterations=15)
    found = register_images(fixed, moving, chosen, initial=SpatialTransform.from_matrix(np.eye(4)))
    places = spot.landmarks(grid, spot.vertebra(grid, waves))
    before = np.linalg.norm(waves(places) - places, axis=-1).mean()
    assert errors_mm(found.transform, waves, places).mean() < 0.7 * before
    assert found.jacobian_min > 0


def test_an_image_of_one_value_is_refused(spot) -> None:
    flat = Volume(np.zeros((5, 5, 5), np.int16), Grid((5, 5, 5), np.eye(4)))
    with pytest.raises(VolumeError, match="nothing to register"):
        register_images(flat, flat)


def test_normalised_information_is_one_of_an_image_with_itself_and_nil_of_strangers() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 200_000))
    assert normalised_information(a, a) == pytest.approx(1.0)
    assert normalised_information(a, -3 * a + 2) == pytest.approx(1.0, abs=0.02)
    assert normalised_information(a, b) < 0.01
    assert normalised_information(a, np.full_like(a, np.nan)) == 0.0


@pytest.mark.parametrize("work", ["masks", "images"])
def test_cancel_is_answered_within_seconds(spot, waves: Callable, work: str) -> None:
    grid = spot.grid("LPS", 3.0)
    stop, asked = threading.Event(), []

    def cancelled() -> bool:
        asked.append(time.perf_counter())
        if len(asked) == 12:
            stop.set()
        return stop.is_set()

    masks = spot.vertebra(grid, waves), grid, spot.vertebra(grid), grid, RegistrationSettings()
    images = scene(spot, grid, waves), scene(spot, grid, lambda points: points), RegistrationSettings(spacing=4.0)
    register, those = {"masks": (register_masks, masks), "images": (register_images, images)}[work]
    with pytest.raises(Cancelled):
        register(*those, cancelled=cancelled)
    assert time.perf_counter() - asked[11] < 2.0


def test_work_that_never_looks_up_is_left_to_itself_when_cancelled() -> None:
    began = time.perf_counter()
    with pytest.raises(Cancelled):
        attended(lambda: time.sleep(3), lambda: True)
    assert time.perf_counter() - began < 1.0
    assert attended(lambda: 7, lambda: False) == 7
    with pytest.raises(VolumeError):
        attended(lambda: signed_distance(np.zeros((2, 2, 2)), (1, 1, 1)), lambda: False)


def test_elastix_answers_through_the_same_settings_or_names_what_is_missing(spot, waves: Callable) -> None:
    grid = spot.grid("LPS", 3.0)
    masks = spot.vertebra(grid, waves), grid, spot.vertebra(grid), grid
    chosen = RegistrationSettings(engine="elastix")
    if importlib.util.find_spec("itk") is None:
        with pytest.raises(MissingExtraError, match="itk-elastix"):
            register_masks(*masks, chosen)
        return
    assert register_masks(*masks, chosen).quality > 0.9


@pytest.mark.parametrize("ending", [".h5", ".tfm"])
def test_a_transform_comes_back_from_disk(spot, waves: Callable, tmp_path: Path, ending: str) -> None:
    grid = spot.grid("LPS", 4.0)
    found = register_masks(spot.vertebra(grid, waves), grid, spot.vertebra(grid), grid).transform
    found.save(tmp_path / f"atlas{ending}")
    places = places_of(spot.grid("oblique", 8.0))
    np.testing.assert_allclose(
        SpatialTransform.load(tmp_path / f"atlas{ending}").map(places), found.map(places), atol=1e-4
    )


def test_a_transform_maps_ras_points_and_knows_its_displacement(stretched: np.ndarray, spot) -> None:
    transform, grid = SpatialTransform.from_matrix(stretched), spot.grid("oblique", 20.0)
    np.testing.assert_allclose(transform.map(spot.centre), through(stretched)(spot.centre), atol=1e-9)
    places = places_of(grid)
    np.testing.assert_allclose(transform.displacement(grid), through(stretched)(places) - places, atol=1e-9)
    np.testing.assert_allclose(transform.jacobian(grid), np.linalg.det(stretched[:3, :3]), atol=1e-9)
    assert transform.map(np.zeros((0, 3))).shape == (0, 3)


def test_a_transform_that_cannot_be_read_or_written_says_so(tmp_path: Path) -> None:
    transform = SpatialTransform.from_matrix(np.eye(4))
    with pytest.raises(OutputError, match=r"\.h5"):
        transform.save(tmp_path / "a.txt")
    with pytest.raises(OutputError, match="folder"):
        transform.save(tmp_path / "none" / "a.h5")
    (tmp_path / "b.h5").write_text("no transform")
    with pytest.raises(GeometryError, match=r"b\.h5"):
        SpatialTransform.load(tmp_path / "b.h5")
    with pytest.raises(GeometryError, match="4x4"):
        SpatialTransform.from_matrix(np.zeros((4, 4)))
