"""Sam2Rad: published sizes, valid boxes, a SAM that stays as it is, and the three ways of prompting it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.sam.backbone import SlicePrompts
from SAMSpineLib.models.sam.config import OWN_CONFIGS, SAM_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam, build_sam2
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.models.sam.sam_backbone import SamBackbone
from SAMSpineLib.models.sam2rad import segmenter
from SAMSpineLib.models.sam2rad.config import LINEAR, PYRAMID, Sam2RadConfig
from SAMSpineLib.models.sam2rad.correcting import MOST_ELSEWHERE
from SAMSpineLib.models.sam2rad.network import ManualPrompts, Sam2Rad
from SAMSpineLib.models.sam2rad.prompt_predictor import PromptPredictor
from SAMSpineLib.models.sam2rad.segmenter import TaughtSam
from SAMSpineLib.models.sam2rad.taught import TaughtCard, load_taught, read_card, save_taught
from SAMSpineLib.models.taught_file import TaughtStructure, fingerprint
from SAMSpineLib.prompts import Point
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Volume

SMALL = Sam2RadConfig(channels=32, levels=(32, 8, 4), finest=4, heads=4, hidden=64, mask_channels=8)
ALONE = Sam2RadConfig(channels=32, levels=(32,), finest=1, heads=4, hidden=64, mask_channels=8)


@pytest.fixture(scope="module")
def sam2() -> SamPromptable:
    torch.manual_seed(0)
    return SamPromptable(Sam2Backbone(build_sam2(OWN_CONFIGS["sam-spine-smoke"])), name="sam-spine-smoke")


@pytest.fixture(scope="module")
def sam() -> SamPromptable:
    torch.manual_seed(0)
    shape = replace(
        SAM_CONFIGS["sam-vit-b"], width=32, depth=2, heads=2, global_blocks=(1,), image_size=128, channels=32
    )
    return SamPromptable(SamBackbone(build_sam(shape)), name="small sam")


def taught(model: SamPromptable, config: Sam2RadConfig, structures: int = 3) -> Sam2Rad:
    torch.manual_seed(3)
    return Sam2Rad(config, model.backbone.network, structures).eval()


def card_for(model: SamPromptable, config: Sam2RadConfig, structures: int = 3) -> TaughtCard:
    named = tuple(TaughtStructure(40_000 + one, f"part {one}") for one in range(structures))
    return TaughtCard(named, model.name, fingerprint(model.backbone.network), config)


@pytest.mark.parametrize(("config", "millions"), [(PYRAMID, 5.08), (LINEAR, 1.90)])
def test_it_has_the_published_number_of_weights(config, millions):
    with torch.device("meta"):
        count = sum(one.numel() for one in PromptPredictor(config).parameters()) + config.tokens * config.channels
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_learned_boxes_lie_within_the_image(seed, scale):
    torch.manual_seed(seed)
    predictor = PromptPredictor(ALONE).eval()
    found = predictor([scale * torch.randn(2, 32, 4, 4)], scale * torch.randn(2, 10, 32), torch.zeros(2, 32, 1, 1))
    x0, y0, x1, y1 = found.box.unbind(1)
    assert ((found.box >= 0) & (found.box <= 1)).all()
    assert ((x0 <= x1) & (y0 <= y1)).all()
    assert torch.isfinite(found.mask).all()


@pytest.mark.parametrize("way", ["sam2", "sam"])
def test_manual_prompts_alone_are_answered_as_by_the_sam_itself(way, request, monkeypatch):
    model = request.getfixturevalue(way)
    network = taught(model, SMALL if way == "sam2" else ALONE)
    torch.manual_seed(1)
    features = model.backbone.encode(torch.rand(3, 128, 128) * 255)
    maps = tuple(one.float() for one in reversed(features.maps))
    points, labels = np.array([[30.0, 40.0], [80.0, 90.0]], np.float32), np.array([True, False])
    previous = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    places, kinds = torch.tensor(points)[None], torch.tensor([[1, 0]], dtype=torch.int32)
    box = None
    if way == "sam2":  # SAM leaves its mark for "no point" out where there is a box; here it always stands
        box = np.array([10.0, 20.0, 100.0, 110.0], np.float32)
        places = torch.cat([torch.tensor(box).view(1, 2, 2), places], 1)
        kinds = torch.tensor([[2, 3, 1, 0]], dtype=torch.int32)
        decoder = model.backbone.network.sam_mask_decoder
        monkeypatch.setattr(decoder, "_dynamic_multimask_via_stability", lambda masks, iou: (masks[:, :1], iou[:, :1]))
    wanted = model.backbone.decode(features, SlicePrompts(points, labels, box, previous))
    with torch.inference_mode():
        logits, _ = network.decode(maps, None, ManualPrompts(places, kinds, torch.tensor(previous)[None, None]))
    np.testing.assert_allclose(logits[0, 0].numpy(), wanted.logits[0], atol=1e-4)


def test_learned_prompts_beside_a_click_say_more_than_either(sam2):
    network = taught(sam2, SMALL)
    maps = tuple(one.float() for one in reversed(sam2.backbone.encode(torch.rand(3, 128, 128) * 255).maps))
    click = ManualPrompts(torch.tensor([[[30.0, 40.0]]]), torch.tensor([[1]], dtype=torch.int32))
    with torch.inference_mode():
        learned = network.predict(maps, torch.tensor([1]))
        answers = [network.decode(maps, learned)[0], network.decode(maps, None, click)[0]]
        both = network.decode(maps, learned, click)[0]
        with pytest.raises(ValueError, match="neither"):
            network.decode(maps, None)
    assert all((both - one).abs().max() > 1e-4 for one in answers)


def test_a_step_of_learning_moves_no_weight_of_the_sam_and_the_file_holds_none(sam2, tmp_path):
    before = fingerprint(sam2.backbone.network)
    network = taught(sam2, replace(SMALL, rank=4)).train()
    decoder = {name: value.clone() for name, value in network.sam.named_parameters() if not value.requires_grad}
    optimiser = torch.optim.AdamW([one for one in network.parameters() if one.requires_grad], lr=0.1)
    maps = tuple(one.float().clone() for one in reversed(sam2.backbone.encode(torch.rand(3, 128, 128) * 255).maps))
    logits, quality = network.decode(maps, network.predict(maps, torch.tensor([0])))
    (logits.square().mean() + quality.sum()).backward()
    optimiser.step()
    assert fingerprint(sam2.backbone.network) == before
    assert all(torch.equal(dict(network.sam.named_parameters())[name], value) for name, value in decoder.items())
    path = save_taught(tmp_path / "one.safetensors", network, card_for(sam2, network.config))
    assert load_file(path).keys().isdisjoint(f"sam.{name}" for name in decoder)
    assert path.stat().st_size < 25e6


def test_what_was_saved_answers_the_same(sam2, tmp_path):
    network = taught(sam2, SMALL)
    for weight in network.parameters():
        if weight.requires_grad:
            weight.data = weight.data.half().float()
    path = save_taught(tmp_path / "one.safetensors", network, card_for(sam2, SMALL))
    again, card = load_taught(path, sam2.backbone.network)
    assert card == read_card(path) == card_for(sam2, SMALL)
    maps = tuple(one.float() for one in reversed(sam2.backbone.encode(torch.rand(3, 128, 128) * 255).maps))
    with torch.inference_mode():
        first, second = (one.predict(maps, torch.tensor([2])) for one in (network, again))
    assert torch.equal(first.mask, second.mask)
    assert torch.equal(first.box, second.box)


def test_another_backbone_and_a_damaged_file_are_refused(sam2, tmp_path):
    path = save_taught(tmp_path / "one.safetensors", taught(sam2, SMALL), card_for(sam2, SMALL))
    torch.manual_seed(9)
    with pytest.raises(ModelError, match="taught on 'sam-spine-smoke'"):
        load_taught(path, build_sam2(OWN_CONFIGS["sam-spine-smoke"]))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match="damaged"):
        load_taught(path, sam2.backbone.network)
    with pytest.raises(ModelError, match="damaged"):
        read_card(tmp_path / "none.safetensors")


def test_what_is_seen_does_not_depend_on_how_many_are_asked_at_once(sam2, monkeypatch):
    volume = Volume.from_array(np.random.default_rng(0).integers(0, 255, (1, 40, 50)).astype(np.uint8), np.eye(4))
    model = TaughtSam(taught(sam2, SMALL), card_for(sam2, SMALL), sam2, "mine")
    encoded = model.encode(volume, model.slice_grid(stack_along(volume.grid), 0))
    whole = model.look(encoded)
    monkeypatch.setattr(segmenter, "AT_ONCE", 1)
    single = model.look(encoded)
    np.testing.assert_allclose(whole.logits, single.logits, atol=1e-4)
    np.testing.assert_allclose(whole.presence, single.presence, atol=1e-5)
    assert whole.logits.shape == (3, 32, 32)
    assert [one.name for one in model.structures] == ["part 0", "part 1", "part 2"]


def test_a_label_that_was_taught_has_two_answers_and_any_other_one(sam2):
    volume = Volume.from_array(np.random.default_rng(0).integers(0, 255, (1, 40, 50)).astype(np.uint8), np.eye(4))
    model = TaughtSam(taught(sam2, SMALL), card_for(sam2, SMALL), sam2, "mine")
    encoded = model.encode(volume, model.slice_grid(stack_along(volume.grid), 0))
    click = Point((20.0, 20.0, 0.0))
    known, other = (model.offer(encoded, [click], label=value) for value in (40_001, 22))
    assert (len(known.scores), len(other.scores)) == (2, 1)
    np.testing.assert_array_equal(known.logits[1], other.logits[0])
    assert not np.array_equal(known.logits[0], known.logits[1])


@pytest.mark.parametrize("positive", [True, False])
def test_a_click_on_a_mask_of_what_was_taught_changes_little_elsewhere(sam2, positive):
    volume = Volume.from_array(np.random.default_rng(0).integers(0, 255, (1, 64, 64)).astype(np.uint8), np.eye(4))
    model = TaughtSam(taught(sam2, SMALL), card_for(sam2, SMALL), sam2, "mine")
    encoded = model.encode(volume, model.slice_grid(stack_along(volume.grid), 0))
    before = np.full((32, 32), -4.0, np.float32)
    before[4:12, 4:12] = 4.0
    place = model.mask_grid(encoded).to_ras([20, 20, 0] if positive else [8, 8, 0])
    click = Point(tuple(place.tolist()), positive)
    after = model.offer(encoded, [click], previous=before, label=40_001).logits[0] > 0
    other = after & (before <= 0) if not positive else ~after & (before > 0)
    assert other.sum() <= MOST_ELSEWHERE * (before > 0).sum()
    anew = model.offer(encoded, [click], label=40_001).logits[0] > 0
    assert (anew & (before <= 0) if not positive else ~anew & (before > 0)).sum() > MOST_ELSEWHERE * (before > 0).sum()
