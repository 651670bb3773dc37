"""Patches: what is cut out of a case, and that image and masks stay together."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.ct_sam3d.config import TINY
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.patches import SMALLEST_TARGET, PatchSampler
from SAMSpineLib.volume import Volume

KINDS = {label.value: label.group for label in spine_labels()}
SPINE = [value for value, group in KINDS.items() if group.startswith(("cerv", "thor", "lumb", "sacr", "coccy"))]


def _dice(a, b):
    return 2 * (a & b).sum() / max(a.sum() + b.sum(), 1)


def test_a_patch_shows_enough_of_its_target_and_the_aim_lies_inside_the_patch(patches):
    for patch in patches:
        assert (patch.part > 0.5).sum() >= SMALLEST_TARGET
        assert ((patch.aim >= 0) & (patch.aim <= TINY.patch - 1)).all()
        assert patch.image.dtype == np.float32
        assert patch.image.min() >= -1
        assert patch.image.max() <= 1


def test_most_aims_lie_in_their_structure(patches):
    hit = [patch.part[tuple(np.round(patch.aim[::-1]).astype(int))] > 0.5 for patch in patches]
    assert np.mean(hit) > 0.5


@pytest.fixture
def straight_patches(case, monkeypatch):
    """Give patches of bones that are not bent, as the labels show them."""
    monkeypatch.setattr("SAMSpineLib.training.patches.OTHER_BONES", 0.0)
    monkeypatch.setattr("SAMSpineLib.training.patches.SPURS", 0.0)
    sampler, rng = PatchSampler([case], TINY), np.random.default_rng(5)
    return [sampler.draw(rng) for _ in range(40)]


def test_masks_are_the_labels_at_the_same_place_give_or_take_an_annotators_hand(straight_patches):
    scores = []
    for patch in straight_patches:
        labels = sample_labels(patch.case.labels, patch.case.image.grid, patch.grid)
        expected = labels == patch.value
        if expected.sum() > 200:
            scores.append(_dice(patch.part > 0.5, expected))
    assert len(scores) > 10
    assert np.median(scores) > 0.5


def test_without_other_hands_masks_are_the_share_of_each_voxel_that_its_label_fills(case, monkeypatch):
    monkeypatch.setattr("SAMSpineLib.training.patches.OTHER_HANDS", 0.0)
    monkeypatch.setattr("SAMSpineLib.training.patches.OTHER_BONES", 0.0)
    monkeypatch.setattr("SAMSpineLib.training.patches.SPURS", 0.0)
    sampler, rng = PatchSampler([case], TINY), np.random.default_rng(5)
    for patch in (sampler.draw(rng) for _ in range(15)):
        assert 0 <= patch.part.min() < patch.part.max() <= 1
        expected = sample_labels(patch.case.labels, patch.case.image.grid, patch.grid) == patch.value
        if expected.sum() > 200:
            assert _dice(patch.part > 0.5, expected) > 0.7
            assert patch.part.sum() == pytest.approx(expected.sum(), rel=0.15)
        assert ((patch.part > 0.5) & ~_grown(expected)).sum() == 0


def _grown(mask):
    padded = np.pad(mask, 2)
    shifts = np.ndindex(5, 5, 5)
    n = mask.shape[0]
    return np.any([padded[a : a + n, b : b + n, c : c + n] for a, b, c in shifts], axis=0)


def test_a_part_lies_in_its_whole_and_a_vertebras_whole_is_the_spine(straight_patches):
    vertebrae = [p for p in straight_patches if p.value in SPINE]
    assert len(vertebrae) > 20
    assert any(p.whole.sum() > p.part.sum() for p in vertebrae)
    scores = []
    for patch in vertebrae:
        labels = sample_labels(patch.case.labels, patch.case.image.grid, patch.grid)
        scores.append(_dice(patch.whole > 0.5, np.isin(labels, SPINE)))
    assert np.median(scores) > 0.5


def test_grids_are_turned_stretched_and_mirrored_but_always_lead_back(patches):
    signs = set()
    for patch in patches:
        matrix = patch.grid.ijk_to_ras[:3, :3]
        signs.add(float(np.sign(np.linalg.det(matrix))))
        places = np.array([[0, 0, 0], [5.5, 2, 9], [23, 23, 23]])
        assert np.allclose(patch.grid.to_ijk(patch.grid.to_ras(places)), places, atol=1e-9)
        axes = matrix / np.linalg.norm(matrix, axis=0)
        assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
        assert ((patch.grid.spacing > 0.55 * TINY.spacing) & (patch.grid.spacing < 1.6 * TINY.spacing)).all()
    assert signs == {1.0, -1.0}


def test_the_same_generator_draws_the_same_patch(case):
    sampler = PatchSampler([case], TINY)
    first, second, third = (sampler.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.part, second.part)
    assert not np.array_equal(first.image, third.image)


def test_drawing_leaves_the_case_as_it_was(case):
    image, labels = case.image.array.copy(), case.labels.copy()
    PatchSampler([case], TINY).draw(np.random.default_rng(1))
    assert np.array_equal(case.image.array, image)
    assert np.array_equal(case.labels, labels)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_neighbour_shares_the_half_that_faces_it(case, monkeypatch, axis, sign):
    monkeypatch.setattr("SAMSpineLib.training.patches.OTHER_HANDS", 0.0)
    monkeypatch.setattr("SAMSpineLib.training.patches.OTHER_BONES", 0.0)
    monkeypatch.setattr("SAMSpineLib.training.patches.SPURS", 0.0)
    sampler, half, rng = PatchSampler([case], TINY), TINY.patch // 2, np.random.default_rng(5)
    step = np.zeros(3, int)
    step[axis] = sign
    near = slice(half, None) if sign > 0 else slice(0, half)
    far = slice(0, half) if sign > 0 else slice(half, None)
    for patch in (sampler.draw(rng) for _ in range(6)):
        _, part, whole = sampler.neighbour(patch, step)
        for mine, other in ((patch.part, part), (patch.whole, whole)):
            kji = 2 - axis
            here, there = np.moveaxis(mine, kji, 0)[near], np.moveaxis(other, kji, 0)[far]
            # The masks are cut at the patch's faces before they are interpolated: the outermost layers may differ.
            assert ((here > 0.5) != (there > 0.5))[2:-2].mean() < 0.01


def test_cases_are_drawn_by_their_weight(case):
    light = Case(case.image, case.labels, case.structures, weight=1e-12)
    sampler = PatchSampler([light, case], TINY)
    rng = np.random.default_rng(1)
    assert all(sampler.draw(rng).case is case for _ in range(5))


def test_targets_too_small_for_the_patchs_voxels_are_refused_instead_of_trained_on_nothing(monkeypatch):
    monkeypatch.setattr("SAMSpineLib.training.patches.DRAWS", 5)
    labels = np.zeros((60, 60, 60), np.int16)
    labels[30, 30, 28:32] = 21
    image = Volume.from_array(np.zeros(labels.shape, np.int16), np.diag([0.5, 0.5, 0.5, 1.0]), name="fine")
    sampler = PatchSampler([Case.build(image, labels, smallest=1)], TINY)
    with pytest.raises(LabelError, match="shows its structure .*value 21 of 'fine'"):
        sampler.draw(np.random.default_rng(1))
