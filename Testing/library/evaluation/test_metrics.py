"""Metrics against what can be worked out by hand, and against MONAI and a brute-force reference."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy import ndimage

from SAMSpineLib.errors import GeometryError, MissingExtraError
from SAMSpineLib.evaluation.metrics import (
    bounding_extent,
    centroid,
    dice,
    hausdorff95,
    identified,
    iou,
    json_number,
    mean_of,
    surface_dice,
    volume_cm3,
)
from SAMSpineLib.volume import Grid

OBLIQUE = np.array([[0.8, -0.3, 0.0, 10.0], [0.3, 0.8, 0.0, -20.0], [0.0, 0.0, 2.5, 30.0], [0.0, 0.0, 0.0, 1.0]])


def _block(shape, corner, size):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] = 1
    return mask


def _surface(mask):
    padded = np.pad(mask != 0, 1)
    return (padded & ~ndimage.binary_erosion(padded))[1:-1, 1:-1, 1:-1]


def _directed(a, b, spacing):
    """Brute force: every surface voxel of a to every one of b."""
    from_points, to_points = np.argwhere(_surface(a)) * spacing, np.argwhere(_surface(b)) * spacing
    return np.sqrt(((from_points[:, None] - to_points[None]) ** 2).sum(-1)).min(axis=1)


def _random_pair(seed):
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=(9, 14, 12)), 1.2) for _ in range(2)]
    return [(s > np.quantile(s, q)).astype(np.uint8) for s, q in zip(smooth, (0.8, 0.7), strict=True)]


def test_dice_of_half_overlapping_cubes_is_one_half():
    a, b = _block((10, 10, 10), (0, 2, 2), (4, 4, 4)), _block((10, 10, 10), (2, 2, 2), (4, 4, 4))
    assert dice(a, b) == pytest.approx(0.5)


def test_iou_of_half_overlapping_cubes_is_a_third_of_nothing_nan_and_of_strangers_zero():
    a, b = _block((10, 10, 10), (0, 2, 2), (4, 4, 4)), _block((10, 10, 10), (2, 2, 2), (4, 4, 4))
    assert iou(a, b) == pytest.approx(1 / 3)
    assert math.isnan(iou(a * 0, b * 0))
    assert iou(a * 0, b) == 0.0


def test_dice_takes_any_nonzero_value_as_inside_and_does_not_overflow():
    a, b = np.full((9, 9, 9), 255, np.uint8), np.ones((9, 9, 9), np.int16)
    assert dice(a, b) == 1.0


def test_two_empty_masks_score_nan_and_one_empty_mask_scores_worst():
    empty, full = np.zeros((5, 5, 5), np.uint8), _block((5, 5, 5), (1, 1, 1), (2, 2, 2))
    assert math.isnan(dice(empty, empty))
    assert math.isnan(surface_dice(empty, empty, (1, 1, 1)))
    assert math.isnan(hausdorff95(empty, empty, (1, 1, 1)))
    for a, b in ((empty, full), (full, empty)):
        assert dice(a, b) == 0.0
        assert surface_dice(a, b, (1, 1, 1)) == 0.0
        assert hausdorff95(a, b, (1, 1, 1)) == math.inf


def test_masks_of_different_shape_are_refused():
    with pytest.raises(GeometryError, match="one grid"):
        dice(np.ones((3, 3, 3)), np.ones((3, 3, 4)))


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["K", "J", "I"])
def test_a_shift_within_the_tolerance_costs_no_surface_and_one_beyond_it_does(axis):
    spacing = np.array([3.0, 1.0, 0.5])
    for voxels in (1, 2, 5):
        corner = np.array([6, 6, 6])
        shifted = corner + voxels * np.eye(3, dtype=int)[axis]
        a, b = _block((24, 24, 24), corner, (8, 8, 8)), _block((24, 24, 24), shifted, (8, 8, 8))
        score = surface_dice(a, b, spacing, 2.0)
        assert (score == 1.0) == (voxels * spacing[axis] <= 2.0)


def test_hausdorff_of_a_shifted_slab_is_the_shift_in_millimetres():
    a, b = _block((20, 12, 12), (3, 0, 0), (4, 12, 12)), _block((20, 12, 12), (5, 0, 0), (4, 12, 12))
    assert hausdorff95(a, b, (2.5, 1, 1)) == pytest.approx(5.0)


def test_concentric_spheres_two_millimetres_apart_agree_at_three_and_not_at_one():
    z, y, x = np.ogrid[-15:16, -15:16, -15:16]
    radius = np.sqrt(z**2 + y**2 + x**2)
    assert surface_dice(radius <= 12, radius <= 10, (1, 1, 1), 3.0) == 1.0
    assert surface_dice(radius <= 12, radius <= 10, (1, 1, 1), 1.0) == 0.0
    assert hausdorff95(radius <= 12, radius <= 10, (1, 1, 1)) == pytest.approx(2.0, abs=0.5)


def test_a_mask_cut_off_by_the_image_border_has_a_surface_there():
    whole = np.ones((6, 6, 6), np.uint8)
    assert surface_dice(whole, whole, (1, 1, 1)) == 1.0
    assert surface_dice(whole, _block((6, 6, 6), (0, 0, 0), (6, 6, 2)), (1, 1, 1), 1.0) < 0.8


@pytest.mark.parametrize("seed", range(6))
def test_surface_metrics_agree_with_brute_force_on_random_masks(seed):
    a, b = _random_pair(seed)
    spacing = np.array([2.5, 0.9, 0.7])
    ab, ba = _directed(a, b, spacing), _directed(b, a, spacing)
    expected = ((ab <= 2.0).sum() + (ba <= 2.0).sum()) / (len(ab) + len(ba))
    assert surface_dice(a, b, spacing, 2.0) == pytest.approx(expected, abs=1e-6)
    assert hausdorff95(a, b, spacing) == pytest.approx(max(np.percentile(ab, 95), np.percentile(ba, 95)), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_all_metrics_agree_with_monai_on_the_uncropped_masks(seed):
    metrics, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
    a, b = _random_pair(seed)
    spacing = [2.5, 0.9, 0.7]
    big_a, big_b = (torch.from_numpy(np.pad(m, ((5, 2), (0, 7), (3, 3))))[None, None] for m in (a, b))
    options = {"include_background": True}
    assert dice(a, b) == pytest.approx(float(metrics.DiceMetric(**options)(big_a, big_b)), abs=1e-6)
    assert iou(a, b) == pytest.approx(float(metrics.compute_iou(big_a, big_b, **options)), abs=1e-6)
    expected = float(metrics.compute_surface_dice(big_a, big_b, [2.0], spacing=spacing, **options))
    assert surface_dice(a, b, spacing) == pytest.approx(expected, abs=1e-6)
    expected = float(metrics.compute_hausdorff_distance(big_a, big_b, percentile=95, spacing=spacing, **options))
    assert hausdorff95(a, b, spacing) == pytest.approx(expected, abs=1e-5)


def test_without_monai_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    mask = np.ones((3, 3, 3), np.uint8)
    with pytest.raises(MissingExtraError, match=r"samspine\[sam\]"):
        surface_dice(mask, mask, (1, 1, 1))
    assert dice(mask, mask) == 1.0


def test_the_bounding_extent_is_tight_and_in_the_order_i_j_k():
    assert bounding_extent(_block((10, 11, 12), (1, 3, 5), (2, 3, 4))) == (5, 8, 3, 5, 1, 2)
    assert bounding_extent(np.zeros((2, 2, 2))) is None


def test_volume_and_centroid_follow_an_oblique_grid():
    grid = Grid((8, 9, 10), OBLIQUE)
    mask = _block(grid.shape, (1, 2, 3), (1, 3, 5))
    assert volume_cm3(mask, grid) == pytest.approx(15 * 0.73 * 2.5 / 1000)
    assert centroid(mask, grid) == pytest.approx(grid.to_ras([5, 3, 1]))
    assert centroid(np.zeros_like(mask), grid) is None


def test_a_vertebra_is_identified_only_under_its_own_name_and_within_20_mm():
    truth = {1: (0, 0, 0), 2: (0, 0, 30), 3: (0, 0, 60), 4: (0, 0, 90)}
    predicted = {1: (0, 3, 1), 2: (0, 0, 58), 4: (0, 25, 90)}
    assert identified(predicted, truth) == {1: True, 2: False, 3: False, 4: False}
    assert identified({1: (0, 0, 16)}, {1: (0, 0, 0), 2: (0, 0, 30)})[1] is False


def test_means_skip_what_cannot_be_scored_and_json_knows_no_nan():
    assert mean_of([1.0, math.nan, 0.0, math.inf]) == 0.5
    assert math.isnan(mean_of([]))
    assert [json_number(v) for v in (0.123456789, math.nan, math.inf)] == [0.12346, None, None]
