"""The simulated user: prompts that a person could have made."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.models.ct_sam3d.config import TINY
from SAMSpineLib.prompts import Box, Point, Scribble
from SAMSpineLib.training.simulation import CORRECTION_MM, START_ODDS, SimulatedUser, _wrong_mask, stack_maps
from SAMSpineLib.volume import Grid

# The patch's own frame, in which users speak.
FRAME = Grid.centred_on((0, 0, 0), shape=(TINY.patch,) * 3, spacing=TINY.spacing)


def _users(patches, *, wants_whole=False, start=None, monkeypatch=None):
    if start is not None:
        monkeypatch.setattr("SAMSpineLib.training.simulation.START_ODDS", {start: 1.0})
    return [SimulatedUser(patch, wants_whole, TINY, np.random.default_rng(n)) for n, patch in enumerate(patches)]


def _at(mask, ras):
    return mask[FRAME.voxel_at(ras)]


@pytest.mark.parametrize("wants_whole", [False, True], ids=["part", "whole"])
def test_a_first_click_lies_on_the_structure_that_is_meant(patches, monkeypatch, wants_whole):
    for user in _users(patches, wants_whole=wants_whole, start="click", monkeypatch=monkeypatch):
        (click,) = user.prompts
        assert isinstance(click, Point)
        assert click.positive
        assert _at(user.part, click.ras)
        assert user.previous is None


def test_a_scribble_starts_on_the_structure_and_a_box_holds_most_of_it(patches, monkeypatch):
    for user in _users(patches, start="scribble", monkeypatch=monkeypatch):
        (scribble,) = user.prompts
        assert isinstance(scribble, Scribble)
        assert _at(user.part, scribble.points[0])
    shares = []
    for user in _users(patches, start="box", monkeypatch=monkeypatch):
        (box,) = user.prompts
        assert isinstance(box, Box)
        places = FRAME.to_ras(np.argwhere(user.truth)[:, ::-1])
        shares.append(((places >= box.corner_a) & (places <= box.corner_b)).all(axis=1).mean())
    assert np.mean(shares) > 0.6


def test_a_correction_lies_in_the_error_with_the_errors_sign(patches):
    for number, user in enumerate(_users(patches)):
        before = len(user.prompts)
        answer = np.random.default_rng(number).random(user.truth.shape).astype(np.float32)
        answer[:, :, : TINY.patch // 2] *= 0.4
        user.correct(answer)
        click = user.prompts[before]
        assert isinstance(click, Point)
        wanted, said = bool(_at(user.truth, click.ras)), bool(_at(answer, click.ras) > 0.5)
        assert wanted != said
        assert click.positive == wanted
        assert user.previous is answer


def test_who_sees_a_perfect_answer_clicks_no_more_and_feeds_it_back(patches):
    for user in _users(patches[:5]):
        before = list(user.prompts)
        user.correct(user.truth.astype(np.float32))
        assert user.prompts == before
        assert np.array_equal(user.maps()[0].numpy(), user.truth)


def test_a_perfect_logit_needs_one_sigmoid_and_no_correction(patches):
    """A second sigmoid lifts everything above one half, so that a perfect answer would look wrong everywhere."""
    for user in _users(patches[:5]):
        before = len(user.prompts)
        user.correct(torch.sigmoid(torch.from_numpy(20.0 * (user.truth - 0.5))).numpy().astype(np.float32))
        assert len(user.prompts) == before


def test_previous_masks_are_wrong_in_many_ways_but_always_soft():
    rng, dices = np.random.default_rng(1), []
    truth = (np.linalg.norm(np.indices((24, 24, 24)).T - (11, 12, 10), axis=-1).T < 7).astype(np.uint8)
    for _ in range(40):
        mask = _wrong_mask(truth, rng)
        assert mask.dtype == np.float32
        assert mask.min() >= 0
        assert mask.max() <= 1 + 1e-6
        marked = mask > 0.5
        dices.append(2 * (marked & (truth > 0)).sum() / (marked.sum() + truth.sum()))
    assert np.std(dices) > 0.05
    assert max(dices) < 1
    assert np.median(dices) > 0.3


def test_a_user_who_starts_from_a_mask_has_one(patches, monkeypatch):
    users = _users(patches, start="mask", monkeypatch=monkeypatch)
    assert all(user.previous is not None for user in users)
    assert 0.3 < np.mean([len(user.prompts) > 0 for user in users]) < 0.9


def test_all_kinds_of_first_prompts_are_learnt(patches):
    assert sum(START_ODDS.values()) == pytest.approx(1)
    users = [SimulatedUser(patches[n % 40], False, TINY, np.random.default_rng(n)) for n in range(200)]
    kinds = {type(prompt) for user in users for prompt in user.prompts}
    assert kinds == {Point, Box, Scribble}
    assert any(user.previous is not None for user in users)


def test_the_same_generator_makes_the_same_user(patches):
    first, second = (_users(patches[:8]) for _ in range(2))
    assert [u.prompts for u in first] == [u.prompts for u in second]
    assert torch.equal(stack_maps(first), stack_maps(second))


def test_users_in_one_batch_do_not_hear_each_other(patches):
    users = _users(patches[:3])
    assert torch.equal(stack_maps(users)[1], stack_maps(users[1:2])[0])
    assert stack_maps(users).shape == (3, 4, 24, 24, 24)


def test_what_lies_around_corrections_is_marked_and_a_first_click_is_none(patches, monkeypatch):
    for user in _users(patches, start="click", monkeypatch=monkeypatch):
        assert not user.around_corrections().any()
        user.correct(np.zeros(FRAME.shape, np.float32))
        around = user.around_corrections()
        assert _at(around, user.corrections[-1])
        away = FRAME.to_ras(np.argwhere(around)[:, ::-1]) - np.array(user.corrections[-1])
        assert np.linalg.norm(away, axis=1).max() < CORRECTION_MM
