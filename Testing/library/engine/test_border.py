"""A mask's border moves to where the image has it, where the image is clear, and no further than it may."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from SAMSpineLib.engine.border import REACH_MM, settled_border
from SAMSpineLib.evaluation.metrics import dice

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 0.7, 0.7), (0.6, 1.1, 0.8)]


def ball(spacing, radius, centre=(0.0, 0.0, 0.0)):
    """Mark a ball (mm) in the middle of 60 mm."""
    axes = [np.arange(-30, 30, step) - at for step, at in zip(spacing, centre, strict=True)]
    k, j, i = np.meshgrid(*axes, indexing="ij", sparse=True)
    return k**2 + j**2 + i**2 < radius**2


def scanned(bone, spacing, *, inside=500.0, outside=40.0, noise=15.0):
    """Return HU of bone in soft tissue, as blurred and noisy as a CT."""
    image = np.where(bone, inside, outside)
    image = ndimage.gaussian_filter(image, 0.6 / np.array(spacing))
    return (image + np.random.default_rng(0).normal(0, noise, bone.shape)).astype(np.int16)


def settled(mask, image, spacing, share=0.5):
    return settled_border(mask, image, np.array(spacing), share=share)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("error", [-1.0, 1.0])
def test_a_border_that_is_a_millimetre_off_comes_to_lie_where_the_bone_ends(spacing, error):
    bone = ball(spacing, 15.0)
    rough = ball(spacing, 15.0 + error)
    found = settled(rough, scanned(bone, spacing), spacing)
    assert dice(bone, rough) < 0.91
    assert dice(bone, found) > 0.955


def test_metal_fat_and_faint_bone_have_a_threshold_of_their_own():
    spacing = SPACINGS[0]
    bone, rough = ball(spacing, 15.0), ball(spacing, 14.0)
    for inside, outside in ((1200.0, 300.0), (250.0, -90.0), (280.0, 60.0)):
        found = settled(rough, scanned(bone, spacing, inside=inside, outside=outside), spacing)
        assert dice(bone, found) > 0.955


def test_a_smaller_share_takes_along_what_is_partly_bone():
    spacing = SPACINGS[1]
    bone = ball(spacing, 15.0)
    image = scanned(bone, spacing, noise=0.0)
    sizes = [int(settled(bone, image, spacing, share=share).sum()) for share in (0.3, 0.5, 0.7)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_where_the_image_shows_no_border_the_mask_keeps_its_own():
    spacing = SPACINGS[0]
    rough = ball(spacing, 15.0)
    for inside in (40.0, 130.0):  # as bright as its surroundings; a disc
        image = scanned(rough, spacing, inside=inside, noise=0.0)
        assert np.array_equal(settled(rough, image, spacing), rough)
    dark = scanned(rough, spacing, inside=-60.0, outside=400.0)
    assert np.array_equal(settled(rough, dark, spacing), rough)


def test_the_border_moves_no_further_than_it_may_and_a_neighbour_beyond_is_not_swallowed():
    spacing = SPACINGS[0]
    mask = ball(spacing, 10.0, (0.0, 0.0, -9.0))
    bone = mask | ball(spacing, 10.0, (0.0, 0.0, 12.0))
    found = settled(mask, scanned(bone, spacing), spacing)
    away = ndimage.distance_transform_edt(~mask)
    assert away[found].max() <= REACH_MM + 1.0
    assert dice(mask, found) > 0.95


def test_nothing_everything_and_values_that_are_no_numbers_are_taken_as_they_come():
    spacing, shape = SPACINGS[0], (6, 7, 8)
    image = np.full(shape, np.nan, np.float32)
    for mask in (np.zeros(shape, bool), np.ones(shape, bool)):
        assert np.array_equal(settled(mask, image, spacing), mask)
    half = np.zeros(shape, bool)
    half[:3] = True
    assert np.array_equal(settled(half, image, spacing), half)
    thin = np.ones((1, 7, 8), bool)
    thin[0, 0] = False
    assert settled(thin, image[:1], spacing).shape == thin.shape
