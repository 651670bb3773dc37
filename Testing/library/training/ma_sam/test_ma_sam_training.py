"""A run that learns from what atlases say, and one that is broken off and goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.build import build_backbone, build_segmenter
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.models.ma_sam import config as shapes
from SAMSpineLib.models.ma_sam.pseudo_masks import AtlasMaps
from SAMSpineLib.models.taught_file import fingerprint
from SAMSpineLib.training.loop import train
from SAMSpineLib.training.ma_sam.task import MaSamTask
from SAMSpineLib.training.recipes import RECIPES

SMOKE = replace(RECIPES["ma-sam-smoke"], steps=4)


@pytest.fixture(scope="module")
def straight(case, tmp_path_factory):
    """Give the folder of four steps without a break."""
    folder = tmp_path_factory.mktemp("straight")
    train(SMOKE, [case], folder)
    return folder / "ma-sam-smoke.safetensors"


def _same(a, b):
    first, second = load_file(a), load_file(b)
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


def _shaken(network):
    torch.manual_seed(0)
    learnt = network.learnt()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name in learnt:
                weight.add_(0.05 * torch.randn_like(weight))
    return network


def test_the_loss_goes_down_on_one_slice(case, monkeypatch):
    task = MaSamTask(SMOKE, [case])
    one = task.slices.draw(np.random.default_rng(3), 2)
    assert len(np.unique(one.shares.argmax(axis=0))) > 2
    monkeypatch.setattr(task.slices, "draw", lambda rng, count: one)
    torch.manual_seed(0)
    network = task.network()
    optimiser = torch.optim.AdamW([w for w in network.parameters() if w.requires_grad], lr=3e-3)
    losses = []
    for _ in range(40):
        loss, figures = task.loss(network, np.random.default_rng(0), torch.device("cpu"))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    assert figures[0] > 0.5


@pytest.mark.parametrize("atlases", [0, 5])
def test_every_weight_that_is_learnt_has_a_gradient_of_the_loss(case, monkeypatch, atlases):
    """Also with the published prompt, which has a channel for each atlas."""
    shape = replace(shapes.CONFIGS["ma-sam-smoke"], atlases=atlases)
    monkeypatch.setitem(shapes.CONFIGS, "ma-sam-smoke", shape)
    task = MaSamTask(replace(SMOKE, batch=2), [case])
    network = _shaken(task.network())
    task.loss(network, np.random.default_rng(3), torch.device("cpu"))[0].backward()
    learnt = network.learnt()
    still = [name for name, one in network.named_parameters() if name in learnt and not one.grad.abs().max() > 0]
    assert still == []


def test_each_slice_may_have_another_number_of_atlases(case, monkeypatch):
    task, counts = MaSamTask(replace(SMOKE, atlases=9, batch=6), [case]), []
    draw = task.slices.draw
    monkeypatch.setattr(task.slices, "draw", lambda rng, count: counts.append(count) or draw(rng, count))
    with torch.no_grad():
        loss, (dice, said) = task.loss(task.network(), np.random.default_rng(0), torch.device("cpu"))
    assert torch.isfinite(loss)
    assert len(set(counts)) > 2
    assert min(counts) >= 1
    assert max(counts) <= 9
    assert 0 <= dice < said <= 1  # atlases know something, a network that learnt nothing does not


def test_a_run_ends_in_a_file_that_can_be_used(straight, case):
    segmenter = build_segmenter("ma-sam", weights=straight)
    card = segmenter.card
    assert [one.value for one in card.structures] == list(LEVEL_VALUES)
    assert (card.backbone, card.direction, card.seed) == ("sam-spine-tiny", "sagittal", 1)
    assert card.fingerprint == fingerprint(build_backbone("sam-spine-tiny").backbone.network)
    assert straight.stat().st_size < 6e6
    labels = np.where(case.labels < 30, case.labels, 0)
    found = segmenter.segment(case.image, AtlasMaps([labels, labels], case.image.grid)).labels
    assert found.shape == case.image.shape


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
    only = replace(SMOKE, steps=2, only="decoder")
    first, second = load_file(straight), load_file(train(only, [case], tmp_path, start=straight))
    changed = {name.partition(".")[0] for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"decoder"}
    with pytest.raises(ModelError, match="no part 'sam'"):
        train(replace(only, only="sam"), [case], tmp_path / "sam")
