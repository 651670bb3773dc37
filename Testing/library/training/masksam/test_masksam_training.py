"""Stacks to learn from, a run that learns from them, and one that is broken off and goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.build import build_backbone, build_segmenter
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.models.taught_file import fingerprint
from SAMSpineLib.training.localiser_targets import level_kinds
from SAMSpineLib.training.loop import train
from SAMSpineLib.training.masksam import stacks
from SAMSpineLib.training.masksam.stacks import StackSampler, shares_of
from SAMSpineLib.training.masksam.task import MaskSamTask
from SAMSpineLib.training.recipes import RECIPES

SMOKE = replace(RECIPES["masksam-smoke"], steps=4)


@pytest.fixture(scope="module")
def sampler(case):
    return StackSampler([case], 64, 3.0, (1.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def straight(case, tmp_path_factory):
    """Give the folder of four steps without a break."""
    folder = tmp_path_factory.mktemp("straight")
    train(SMOKE, [case], folder)
    return folder / "masksam-smoke.safetensors"


def _same(a, b):
    first, second = load_file(a), load_file(b)
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_stacks_show_slices_and_what_is_marked_on_them(case, sampler, depth):
    rng = np.random.default_rng(0)
    for one in (sampler.draw(rng, depth) for _ in range(15)):
        assert one.pictures.shape == (depth, 64, 64)
        assert one.pictures.dtype == np.float32
        assert one.pictures.min() >= 0
        assert one.pictures.max() <= 255
        assert one.shares.shape == (len(one.kinds), depth, 16, 16)
        assert {LEVEL_VALUES[kind] for kind in one.kinds} <= {there.value for there in case.structures}
        assert ((one.shares >= 0) & (one.shares <= 1)).all()
        assert (one.shares.sum(axis=0) <= 1 + 1e-6).all()
        assert (one.shares.sum(axis=(1, 2, 3)) >= stacks.SMALLEST - 1e-6).all()


def test_the_same_seed_draws_the_same_stack_and_another_draws_another(sampler):
    first, second, other = (sampler.draw(np.random.default_rng(seed), 3) for seed in (5, 5, 6))
    assert np.array_equal(first.pictures, second.pictures)
    assert np.array_equal(first.shares, second.shares)
    assert not np.array_equal(first.pictures, other.pictures)


def test_bone_is_brighter_than_what_surrounds_it_in_every_slice_of_a_stack(case, monkeypatch):
    """Were pictures and truth shifted or turned against each other, this would not hold."""
    monkeypatch.setattr(stacks, "OTHER_CONTRAST", 0.0)
    monkeypatch.setattr(stacks, "BESIDE_THE_SPINE", 0.0)
    sampler, rng, gains = StackSampler([case], 128, 3.0, (1.0, 0.0, 0.0)), np.random.default_rng(1), []
    for one in (sampler.draw(rng, 3) for _ in range(15)):
        coarse = one.pictures.reshape(3, 32, 4, 32, 4).mean(axis=(2, 4))
        share = one.shares.sum(axis=0)
        for picture, bone in zip(coarse, share, strict=True):
            near = (bone > 0.9).any() and bone < 0.1
            if (bone > 0.9).any() and np.any(near):
                gains.append(picture[bone > 0.9].mean() - picture[bone < 0.1].mean())
    assert len(gains) > 20
    assert np.mean(np.array(gains) > 10) > 0.9


def test_what_is_marked_is_shared_out_and_crumbs_are_left_out():
    marked = np.full((2, 32, 32), -1)
    marked[0, 4:12, 6:13] = 3
    marked[1, 20:22, 20:22] = 7
    kinds, shares = shares_of(marked)
    assert kinds.tolist() == [3]
    assert shares.shape == (1, 2, 16, 16)
    assert shares[0, 0].sum() * 4 == 56
    assert set(np.unique(shares)) == {0.0, 0.5, 1.0}
    none, empty = shares_of(np.full((2, 32, 32), -1))
    assert (len(none), empty.shape) == (0, (0, 2, 16, 16))


def test_levels_that_few_people_have_are_taught_as_their_neighbours():
    kinds = level_kinds()
    known = {value: LEVEL_VALUES[kinds[value]] for value in (1, 19, 20, 24, 25, 26, 27, 28)}
    assert known == {1: 1, 19: 19, 20: 20, 24: 24, 25: 24, 26: 26, 27: 26, 28: 19}
    assert kinds[-1] == -1
    assert kinds[0] == -1


def test_the_loss_goes_down_on_one_stack(case, monkeypatch):
    task = MaskSamTask(replace(SMOKE, depth=1), [case])
    one = task.sampler.draw(np.random.default_rng(3), 2)
    assert len(one.kinds) > 1
    monkeypatch.setattr(task.sampler, "draw", lambda rng, depth: one)
    torch.manual_seed(0)
    network = task.network()
    optimiser = torch.optim.AdamW([w for w in network.parameters() if w.requires_grad], lr=3e-3)
    losses = []
    for _ in range(20):
        loss, figures = task.loss(network, np.random.default_rng(0), torch.device("cpu"))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert figures[0] > 0.5


def test_every_weight_that_is_learnt_has_a_gradient_of_the_loss(case):
    task = MaskSamTask(SMOKE, [case])
    one = task.sampler.draw(np.random.default_rng(3), 3)
    torch.manual_seed(0)
    network = task.network()
    learnt = network.learnt()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name in learnt:
                weight.add_(0.05 * torch.randn_like(weight))
    task.sampler.draw = lambda rng, depth: one
    task.loss(network, np.random.default_rng(0), torch.device("cpu"))[0].backward()
    still = [name for name, one in network.named_parameters() if name in learnt and not one.grad.abs().max() > 0]
    assert still == []


def test_a_run_ends_in_a_file_that_can_be_used(straight, case):
    prompter = build_segmenter("masksam", weights=straight)
    card = prompter.card
    assert [one.value for one in card.structures] == list(LEVEL_VALUES)
    assert (card.backbone, card.direction, card.seed) == ("sam-spine-tiny", "sagittal", 1)
    assert card.fingerprint == fingerprint(build_backbone("sam-spine-tiny").backbone.network)
    assert straight.stat().st_size < 2e6
    assert prompter.segment(case.image).labels.shape == case.image.shape


def test_an_interrupted_run_continues_to_the_same_weights_bit_for_bit(case, straight, tmp_path):
    def stop(done, total, figures):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SMOKE, [case], tmp_path, progress=stop)
    torch.manual_seed(99)
    assert _same(train(SMOKE, [case], tmp_path), straight)


def test_another_seed_gives_other_weights_and_a_run_can_begin_with_earlier_ones(case, straight, tmp_path):
    still = replace(SMOKE, steps=1, learning_rate=0.0, weight_decay=0.0)
    assert _same(train(still, [case], tmp_path / "warm", start=straight), straight)
    assert not _same(train(replace(still, seed=2), [case], tmp_path / "other"), straight)


def test_one_part_can_be_taught_and_never_the_sam(case, straight, tmp_path):
    only = replace(SMOKE, steps=2, only="generator")
    first, second = load_file(straight), load_file(train(only, [case], tmp_path, start=straight))
    changed = {name.partition(".")[0] for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"generator"}
    with pytest.raises(ModelError, match="no part 'sam'"):
        train(replace(only, only="sam"), [case], tmp_path / "sam")
