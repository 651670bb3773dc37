"""Training as a whole: it learns, it is repeatable, it can be interrupted."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.ct_sam3d.config import CONFIGS as PROMPT_CONFIGS
from SAMSpineLib.models.ct_sam3d.config import TINY
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.models.localiser.config import CONFIGS as LOCALISER_CONFIGS
from SAMSpineLib.models.ma_sam.config import CONFIGS as MA_SAM_CONFIGS
from SAMSpineLib.models.masksam.config import CONFIGS as MASKSAM_CONFIGS
from SAMSpineLib.models.sam.config import OWN_CONFIGS
from SAMSpineLib.models.weights import load_weights
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.loop import learning_rate, train
from SAMSpineLib.training.prompt_task import PromptTask, click_target
from SAMSpineLib.training.recipes import RECIPES, PromptRecipe, Recipe

SMOKE = RECIPES["ct-sam3d-smoke"]
SIX = replace(SMOKE, steps=6)
COLUMNS = ("step", "loss", "dice_first", "dice_last", "heat", "rate", "seconds")


class StopError(Exception):
    pass


def _stop_at(step, error):
    def progress(done, total, figures):
        if done == step:
            raise error

    return progress


def _same(a, b):
    first, second = load_file(a), load_file(b)
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def straight(case, tmp_path_factory):
    """Give the folder of six steps without a break."""
    folder = tmp_path_factory.mktemp("straight")
    train(SIX, [case], folder)
    return folder


def test_the_loss_goes_down_on_one_case(case, tmp_path):
    """Forty steps on one vertebra of one phantom: little enough to be quick, enough to learn something."""
    lumbar = tuple(s for s in case.structures if s.value == 22)
    losses = []
    one = Case(case.image, case.labels, lumbar)
    recipe = replace(SMOKE, steps=40, batch=2, learning_rate=4e-3, whole_share=0.0)
    train(recipe, [one], tmp_path, progress=lambda done, total, figures: losses.append(figures["loss"]))
    assert len(losses) == 40
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.03


def test_the_weights_of_a_run_can_be_loaded_and_are_the_moving_average(straight):
    network = CTSAM3D(TINY)
    assert load_weights(straight / "ct-sam3d-tiny.safetensors", network)["model"] == "ct-sam3d-tiny"
    stored = torch.load(straight / "checkpoint.pt", weights_only=True)
    assert stored["step"] == 6
    for name, value in network.state_dict().items():
        assert torch.equal(value, stored["average"][name].half().float()), name
    drift = [(stored["average"][n] - stored["network"][n]).abs().max().item() for n in stored["network"]]
    assert max(drift) > 0


def test_a_run_can_begin_with_weights_of_an_earlier_one(case, straight, tmp_path):
    """A single step at a rate of nothing leaves what it was given, to half precision."""
    still = replace(SIX, steps=1, learning_rate=0.0, weight_decay=0.0)
    earlier = straight / f"{SIX.model}.safetensors"
    assert _same(train(still, [case], tmp_path / "warm", start=earlier), earlier)
    assert not _same(train(still, [case], tmp_path / "cold"), earlier)


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(case, straight, tmp_path):
    again = train(SIX, [case], tmp_path / "again")
    other = train(replace(SIX, seed=2), [case], tmp_path / "other")
    assert _same(again, straight / "ct-sam3d-tiny.safetensors")
    assert not _same(other, again)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StopError()], ids=["ctrl-c", "another error"])
def test_an_interrupted_run_continues_to_the_same_weights_bit_for_bit(case, straight, tmp_path, error):
    with pytest.raises(type(error)):
        train(SIX, [case], tmp_path, progress=_stop_at(3, error))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3
    assert not list(tmp_path.glob("*.safetensors"))
    torch.manual_seed(99)  # whatever else the process has done in the meantime
    assert _same(train(SIX, [case], tmp_path), straight / "ct-sam3d-tiny.safetensors")
    ours, theirs = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (tmp_path, straight))
    assert all(torch.equal(ours["network"][n], theirs["network"][n]) for n in theirs["network"])
    assert ours["rng"] == theirs["rng"]


def test_a_step_that_is_broken_off_halfway_is_taken_again_the_same_way(case, straight, tmp_path, monkeypatch):
    honest, calls = PromptTask._prompted, []

    def breaks_in_the_fourth(*arguments):
        calls.append(1)
        result = honest(*arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(PromptTask, "_prompted", breaks_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train(SIX, [case], tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3
    assert _same(train(SIX, [case], tmp_path), straight / "ct-sam3d-tiny.safetensors")


def test_a_finished_run_is_not_trained_again(case, straight):
    before = (straight / "log.csv").read_bytes()
    train(SIX, [case], straight)
    assert (straight / "log.csv").read_bytes() == before


def test_the_log_has_a_line_for_every_step_and_one_head_also_after_a_break(case, tmp_path):
    with pytest.raises(StopError):
        train(SIX, [case], tmp_path, progress=_stop_at(2, StopError()))
    train(SIX, [case], tmp_path)
    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as handle:
        head, *rows = csv.reader(handle)
    assert tuple(head) == COLUMNS
    assert [int(row[0]) for row in rows] == [1, 2, 3, 4, 5, 6]
    values = np.array([[float(cell) for cell in row] for row in rows])
    assert np.isfinite(values).all()
    assert ((values[:, 2:4] >= 0) & (values[:, 2:4] <= 1)).all()
    assert [float(f"{learning_rate(SIX, n):.5g}") for n in range(6)] == values[:, 5].tolist()


def test_tensorboard_shows_the_same_figures_as_the_log(straight):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(straight / "events"))
    events.Reload()
    with (straight / "log.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for name in COLUMNS[1:]:
        shown = events.Scalars(name)
        assert [one.step for one in shown] == [int(row["step"]) for row in rows]
        assert [one.value for one in shown] == pytest.approx([float(row[name]) for row in rows], rel=1e-3, abs=1e-6)


def test_the_recipe_lies_beside_the_weights(straight):
    assert PromptRecipe(**json.loads((straight / "recipe.json").read_text(encoding="utf-8"))) == SIX
    assert asdict(SIX)["model"] == "ct-sam3d-tiny"


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "list", "other network", "no step", "rng"])
def test_a_damaged_checkpoint_is_refused_and_left_alone(case, straight, tmp_path, damage):
    content, path = (straight / "checkpoint.pt").read_bytes(), tmp_path / "checkpoint.pt"
    plain = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"a checkpoint, honestly"}
    if damage in plain:
        path.write_bytes(plain[damage])
    else:
        stored = torch.load(straight / "checkpoint.pt", weights_only=True)
        stored = [1, 2] if damage == "list" else stored
        if damage == "other network":
            stored["network"] = torch.nn.Linear(2, 2).state_dict()
        elif damage == "no step":
            del stored["step"]
        elif damage == "rng":
            stored["rng"] = {"bit_generator": "PCG64"}
        torch.save(stored, path)
    before = path.read_bytes()
    with pytest.raises(ModelError, match=r"checkpoint\.pt' cannot be continued .*remove it to start afresh"):
        train(SIX, [case], tmp_path)
    assert path.read_bytes() == before


def test_the_rate_warms_up_stays_and_falls_to_zero():
    recipe = Recipe("ct-sam3d-tiny", steps=100, batch=1, warmup=10, cooldown=0.4, learning_rate=1.0)
    rates = [learning_rate(recipe, step) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10:60] == [1.0] * 50
    assert np.allclose(np.diff(rates[60:]), -1 / 40)
    assert rates[100] == 0


def test_the_click_to_suggest_is_the_deepest_place_of_what_the_neighbour_shows():
    mask = np.zeros((24, 24, 24), bool)
    assert not click_target(mask, TINY).any()
    mask[4:11, 6:13, 14:21] = True
    heat = click_target(mask, TINY)
    assert np.unravel_index(int(heat.argmax()), heat.shape) == (7, 9, 17)
    assert heat.max() == 1
    mask[:] = False
    mask[0, 0, :29] = True
    assert not click_target(mask, TINY).any()


def test_every_recipe_names_a_size_and_leaves_the_odds_sane():
    for recipe in RECIPES.values():
        known = {**PROMPT_CONFIGS, **LOCALISER_CONFIGS, **OWN_CONFIGS, **MASKSAM_CONFIGS, **MA_SAM_CONFIGS}
        assert recipe.model in known
        assert 0 < recipe.cooldown <= 1
        assert recipe.warmup < recipe.steps
