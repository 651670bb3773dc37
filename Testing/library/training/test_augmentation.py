"""Changes of grid and intensities: where they act, and where they must not."""

from __future__ import annotations

import numpy as np

from SAMSpineLib.resampling import AIR_HU
from SAMSpineLib.training.augmentation import (
    arthrotic,
    augmented_grid,
    bent,
    bright_discs,
    in_other_contrast,
    scanned_otherwise,
    with_spurs,
)

SHAPE = (20, 16, 12)


def test_the_middle_of_a_patch_stays_where_it_was_asked_for_whatever_its_shape():
    centre = np.array([12.5, -40.0, 333.0])
    for seed in range(20):
        grid = augmented_grid(centre, SHAPE, 3.0, np.random.default_rng(seed))
        assert grid.shape == SHAPE
        assert np.allclose(grid.to_ras(np.array(SHAPE[::-1]) // 2), centre)


def test_another_scanner_leaves_the_image_it_was_given_and_sometimes_cuts_the_field_of_view():
    image = np.random.default_rng(1).normal(100, 200, SHAPE).astype(np.float32)
    before, cut = image.copy(), 0
    for seed in range(60):
        other = scanned_otherwise(image, np.random.default_rng(seed))
        assert other.shape == SHAPE
        assert np.isfinite(other).all()
        faces = [other.take(end, axis=axis) for axis in range(3) for end in (0, -1)]
        cut += any((face == AIR_HU).all() for face in faces)
    assert np.array_equal(image, before)
    assert 1 <= cut <= 20


def test_another_contrast_maps_equal_intensities_to_equal_ones_and_can_turn_their_order():
    image = np.linspace(-1, 1, 2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    turned = 0
    for seed in range(20):
        other = in_other_contrast(np.stack([image, image]), np.random.default_rng(seed))
        assert np.array_equal(other[0], other[1])
        assert other.min() >= -1
        assert other.max() <= 1
        turned += bool((np.diff(other[0].ravel()) < 0).any())
    assert turned > 10


def test_a_bright_disc_fills_the_gap_and_leaves_bone_and_what_is_far_as_they_were():
    part, other = np.zeros((24, 24, 24), bool), np.zeros((24, 24, 24), bool)
    part[4:20, 4:20, 4:11], other[4:20, 4:20, 14:20] = True, True
    image = np.where(part | other, 600.0, 0.0).astype(np.float32)
    gaps = [
        bright_discs(image, part, part | other, np.random.default_rng(seed))[8:16, 8:16, 12].mean() for seed in range(9)
    ]
    changed = bright_discs(image, part, part | other, np.random.default_rng(0))
    assert np.mean(np.array(gaps) > 60) > 0.5
    assert max(gaps) < 400
    assert np.abs(changed[:, :, :2]).max() < 1
    assert bright_discs(image, part, part, np.random.default_rng(0)) is image


def test_spurs_are_bright_belong_to_the_structure_and_leave_its_neighbour_alone():
    part, other = np.zeros((30, 30, 30), np.float32), np.zeros((30, 30, 30), np.float32)
    part[8:22, 8:22, 6:14], other[8:22, 8:22, 15:24] = 1, 1
    whole = np.maximum(part, other)
    image = np.where(whole > 0, 600.0, 0.0).astype(np.float32)
    grown = 0
    for seed in range(10):
        spurred, now_part, now_whole = with_spurs(image, part, whole, np.random.default_rng(seed))
        new = now_part > part
        grown += int(new.sum())
        assert (now_part >= part).all()
        assert not (now_part[other > 0] > 0).any()
        assert (now_whole >= now_part).all()
        assert (spurred >= image - 1e-3).all()
        assert spurred[now_part > 0.99].mean() > 400
        beside = ~new & (part == 0)
        assert np.array_equal(spurred[beside], image[beside])
    assert grown > 50
    assert with_spurs(image, 0 * part, whole, np.random.default_rng(0))[0] is image


def test_arthrosis_adds_bone_only_where_the_structure_meets_its_neighbours():
    part, other = np.zeros((24, 24, 24), bool), np.zeros((24, 24, 24), bool)
    part[4:20, 4:20, 4:11], other[4:20, 4:20, 13:20] = True, True
    image = np.where(part | other, 600.0, 0.0).astype(np.float32)
    changed = arthrotic(image, part, part | other, np.random.default_rng(3))
    gap, far = changed[6:18, 6:18, 11:13], changed[:, :, :2]
    assert gap.max() > 250
    assert gap.min() < 100
    assert np.abs(far).max() < 1
    assert arthrotic(image, part, part, np.random.default_rng(3)) is image


def test_bending_moves_image_and_masks_together_by_a_few_voxels_and_smoothly():
    shape = (48, 46, 44)
    places = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")).astype(np.float32)
    for seed in range(10):
        moved = np.stack(bent(list(places), np.random.default_rng(seed)))
        way = (moved - places)[:, 4:-4, 4:-4, 4:-4]
        assert 0.2 < np.abs(way).max() < 8
        assert all(np.abs(np.diff(way, axis=axis)).max() < 1.5 for axis in (1, 2, 3))
        again = bent([places[0], places[0]], np.random.default_rng(seed))
        assert np.array_equal(again[0], again[1])
        assert np.array_equal(again[0], moved[0])
