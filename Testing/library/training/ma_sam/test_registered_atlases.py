"""Atlases as if they were registered: near the truth, wrong as registrations are, and the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.training.cases import Case, phantom_case
from SAMSpineLib.training.localiser_targets import level_kinds
from SAMSpineLib.training.ma_sam import registered
from SAMSpineLib.training.ma_sam.losses import mean_dice
from SAMSpineLib.training.ma_sam.registered import SACRUM, RegisteredAtlases
from SAMSpineLib.training.ma_sam.slices import PromptedSlices, class_shares
from SAMSpineLib.training.slices import plane_through
from SAMSpineLib.training.synthetic.settings import PhantomSettings

LOOKUP = (level_kinds() + 1).astype(np.uint8)
ERRORS = ("COARSE_ERROR", "OWN_ERROR", "MOST_BENT", "SIZE_ERROR", "LOST_BY_ALL", "MISTAKEN_BY_ALL", "LOST", "MISTAKEN")


@pytest.fixture(scope="module")
def other() -> Case:
    """Give a small subject, of another build, in a scanner of another orientation."""
    wanted = replace(
        PhantomSettings.small(), clean=False, pathology=0.0, metal=0.0, adult_scale=0.85, orientation="RAS"
    )
    return phantom_case(8, wanted)


@pytest.fixture
def faultless(monkeypatch):
    """Leave nothing wrong with registrations, until a test turns a fault on again."""
    for name in (*ERRORS, "FITS_WELL"):
        monkeypatch.setattr(registered, name, 0.0)
    return monkeypatch


def a_slice(case: Case, seed: int = 0):
    level = next(one for one in case.structures if one.value == 22)
    return plane_through(level, 128, "sagittal", (1.0, 1.0), np.random.default_rng(seed))


def truth_on(case: Case, grid) -> np.ndarray:
    return class_shares(case, grid, LOOKUP).argmax(axis=0)


def dice(labels: np.ndarray, truth: np.ndarray) -> float:
    return mean_dice(torch.from_numpy(labels.astype(np.int64))[None], torch.from_numpy(truth)[None])


def test_the_subject_itself_without_a_fault_gives_its_own_labels(case, faultless):
    grid = a_slice(case)
    (said,) = RegisteredAtlases([case], LOOKUP).draw(0, grid, 1, np.random.default_rng(0))
    assert dice(said, truth_on(case, grid)) > 0.95


def test_another_subject_is_laid_over_level_by_level(case, other, faultless):
    """Far better than where it lies by itself."""
    grid = a_slice(case)
    truth = truth_on(case, grid)
    atlases = RegisteredAtlases([case, other], LOOKUP)
    drawn = atlases.draw(0, grid, 12, np.random.default_rng(0))
    scores = np.array([dice(one, truth) for one in drawn])
    assert 2 < (scores < 0.95).sum() < 10  # the subject itself is one of the two
    assert scores.min() > 0.6
    as_it_lies = class_shares(other, grid, LOOKUP).argmax(axis=0)
    assert dice(as_it_lies, truth) < 0.6 * scores.min()


@pytest.mark.parametrize("fault", ["COARSE_ERROR", "OWN_ERROR", "MOST_BENT"])
def test_each_error_makes_atlases_worse(case, faultless, fault):
    grid = a_slice(case)
    truth = truth_on(case, grid)
    scores = []
    for size in (0.0, 2.0, 8.0):
        faultless.setattr(registered, fault, size)
        atlases = RegisteredAtlases([case], LOOKUP)
        drawn = [atlases.draw(0, grid, 2, np.random.default_rng(seed)) for seed in range(6)]
        scores.append(np.mean([dice(one, truth) for one in np.concatenate(drawn)]))
    assert scores[0] > scores[1] + 0.02
    assert scores[1] > scores[2] + 0.02


def test_a_coarse_mask_that_is_off_leads_all_atlases_the_same_way(case, faultless):
    grid = a_slice(case)
    faultless.setattr(registered, "COARSE_ERROR", 6.0)
    first, second = RegisteredAtlases([case], LOOKUP).draw(0, grid, 2, np.random.default_rng(3))
    assert np.array_equal(first, second)
    faultless.setattr(registered, "OWN_ERROR", 6.0)
    first, second = RegisteredAtlases([case], LOOKUP).draw(0, grid, 2, np.random.default_rng(3))
    assert not np.array_equal(first, second)


def test_levels_are_lost_or_mistaken_by_one_atlas_or_by_all(case, faultless):
    grid = a_slice(case)
    every = {kind for kind in np.unique(truth_on(case, grid)) if kind}
    atlases = RegisteredAtlases([case], LOOKUP)

    def seen(fault: str) -> list[list[set]]:
        faultless.setattr(registered, fault, 1.0)
        groups = [atlases.draw(0, grid, 3, np.random.default_rng(seed)) for seed in range(12)]
        faultless.setattr(registered, fault, 0.0)
        return [[set(np.unique(one)) - {0} for one in group] for group in groups]

    lost, lost_by_all = seen("LOST"), seen("LOST_BY_ALL")
    assert any(one < every for group in lost for one in group)
    assert any(group[0] != group[1] for group in lost)
    assert any(group[0] < every for group in lost_by_all)
    assert all(group[0] == group[1] == group[2] for group in lost_by_all)
    mistaken = seen("MISTAKEN")
    assert any(one != every for group in mistaken for one in group)
    assert all(kind <= SACRUM for group in mistaken for one in group for kind in one)
    assert all((SACRUM in one) == (SACRUM in every) for group in mistaken for one in group)


def test_only_levels_that_both_subjects_have_are_said(case, other, faultless):
    some = Case(other.image, other.labels, tuple(one for one in other.structures if one.value == 22))
    drawn = RegisteredAtlases([case, some], LOOKUP).draw(0, a_slice(case), 12, np.random.default_rng(0))
    kinds = [set(np.unique(one)) - {0} for one in drawn]
    assert {LEVEL_VALUES.index(22) + 1} in kinds
    none = Case(other.image, other.labels, tuple(one for one in other.structures if one.value > 1000))
    drawn = RegisteredAtlases([none, case], LOOKUP).draw(0, a_slice(case), 2, np.random.default_rng(0))
    assert drawn.shape == (2, 128, 128)
    assert not drawn.any()


def test_shares_are_those_of_the_case_and_sum_to_one(case):
    grid = a_slice(case)
    shares = class_shares(case, grid, LOOKUP)
    assert shares.shape == (26, 128, 128)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-5)
    ijk = np.rint(case.image.grid.to_ijk(grid.to_ras([[64, 64, 0], [40, 50, 0], [70, 80, 0]]))).astype(int)
    for (x, y), (i, j, k) in zip([(64, 64), (40, 50), (70, 80)], ijk, strict=True):
        if 0 <= k < case.labels.shape[0] and 0 <= j < case.labels.shape[1] and 0 <= i < case.labels.shape[2]:
            sure = shares[:, y, x].max() > 0.95
            value = case.labels[k, j, i]
            assert not sure or shares[:, y, x].argmax() == LOOKUP[min(value, len(LOOKUP) - 1)]
    beyond = grid.crop((5000, 5063, 0, 63, 0, 0))
    assert (class_shares(case, beyond, LOOKUP)[0] == 1).all()


def test_the_same_seed_draws_the_same_slice_and_another_draws_another(case, other):
    slices = PromptedSlices([case, other], 64, 1.5, "sagittal")
    first, second, third = (slices.draw(np.random.default_rng(seed), 3) for seed in (5, 5, 6))
    for name in ("picture", "shares", "said"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.picture, third.picture)
    assert first.said.shape == (3, 64, 64)
    assert first.picture.shape == (64, 64)
    assert 0 <= first.picture.min() <= first.picture.max() <= 255


def test_bone_is_brighter_than_what_surrounds_it(case, monkeypatch):
    """Were pictures and truth shifted or turned against each other, this would not hold."""
    monkeypatch.setattr("SAMSpineLib.training.masksam.stacks.OTHER_CONTRAST", 0.0)
    slices, rng, gains = PromptedSlices([case], 128, 1.0, "sagittal"), np.random.default_rng(1), []
    for one in (slices.draw(rng, 1) for _ in range(15)):
        bone = 1 - one.shares[0]
        if (bone > 0.9).any():
            gains.append(one.picture[bone > 0.9].mean() - one.picture[bone < 0.1].mean())
    assert len(gains) > 12
    assert np.mean(np.array(gains) > 20) > 0.9
