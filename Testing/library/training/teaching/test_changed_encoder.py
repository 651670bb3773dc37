"""Teaching that changes the image encoder too: the SAM stays, and the changed encoder is the same wherever it runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from SAMSpineLib.models.sam.config import SAM_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam
from SAMSpineLib.models.sam.sam_backbone import SamBackbone
from SAMSpineLib.models.sam2rad.config import Sam2RadConfig
from SAMSpineLib.models.sam2rad.encoder_adapters import adapted
from SAMSpineLib.models.sam2rad.network import Sam2Rad
from SAMSpineLib.models.sam2rad.taught import load_taught
from SAMSpineLib.models.taught_file import fingerprint
from SAMSpineLib.training.teaching import teach as teaching
from SAMSpineLib.training.teaching.plan import SMALL_RANK
from SAMSpineLib.training.teaching.teach import teach


@pytest.fixture
def changing(plan):
    return replace(plan, recipe=replace(plan.recipe, encoder_rank=4))


def test_a_small_encoder_is_changed_and_a_large_one_is_not(plan, monkeypatch):
    free = replace(plan, recipe=replace(plan.recipe, encoder_rank=None))
    assert free.config.encoder_rank == SMALL_RANK
    monkeypatch.setattr("SAMSpineLib.training.teaching.plan.SMALL_ENCODER", 10)
    assert free.config.encoder_rank == 0


def test_at_first_the_changed_encoder_sees_what_the_sam_sees(changing, model):
    torch.manual_seed(1)
    network = Sam2Rad(changing.config, model.backbone.network, 1).eval()
    shown = torch.rand(128, 128) * 255
    with torch.inference_mode():
        maps = network.encode([shown])
    own = model.backbone.encode(shown.expand(3, -1, -1)).maps[::-1]
    assert [one.shape for one in maps] == [one.shape for one in own]
    for found, wanted in zip(maps, own, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_frozen_sam_stays_and_the_taught_encoder_is_another(changing, model, picture, tmp_path):
    before = fingerprint(model.backbone.network)
    done = teach(changing, [picture(seed) for seed in range(5)], tmp_path)
    assert fingerprint(model.backbone.network) == before
    network, card = load_taught(done.path, model.backbone.network)
    assert card.config.encoder_rank == 4
    changed = adapted(model.backbone.network, network.adapters)
    assert fingerprint(changed) != before
    shown = torch.rand(128, 128) * 255
    with torch.inference_mode():
        taught = network.encode([shown])
    merged = model.backbone.changed(changed).encode(shown.expand(3, -1, -1)).maps[::-1]
    for found, wanted in zip(taught, merged, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_every_change_of_the_encoder_gets_a_gradient(changing, model):
    torch.manual_seed(1)
    network = Sam2Rad(changing.config, model.backbone.network, 1)
    for change in network.adapters.changes:
        torch.nn.init.normal_(change.up)
    sum(one.square().mean() for one in network.encode([torch.rand(128, 128) * 255])).backward()
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in network.adapters.parameters())
    assert all(one.grad is None for one in network.sam.encoder.parameters())


def test_an_encoder_that_is_not_changed_does_not_encode(plan, model):
    with pytest.raises(ValueError, match="not changed"):
        Sam2Rad(plan.config, model.backbone.network, 1).encode([torch.zeros(128, 128)])


def test_a_picture_of_sam_is_padded_as_sam_pads_it():
    torch.manual_seed(0)
    small = replace(
        SAM_CONFIGS["sam-vit-b"], width=32, depth=2, heads=2, global_blocks=(1,), image_size=128, channels=32
    )
    backbone = SamBackbone(build_sam(small))
    config = Sam2RadConfig(channels=32, levels=(32,), finest=1, heads=4, hidden=32, mask_channels=8, encoder_rank=2)
    network = Sam2Rad(config, backbone.network, 1).eval()
    shown = torch.rand(96, 128) * 255
    with torch.inference_mode():
        (found,) = network.encode([shown])
    torch.testing.assert_close(found, backbone.encode(shown.expand(3, -1, -1)).maps[0], rtol=1e-4, atol=1e-4)


def test_a_killed_run_with_a_changed_encoder_ends_in_the_same_weights(changing, picture, tmp_path, monkeypatch):
    images = [picture(seed) for seed in range(5)]
    whole = teach(changing, images, tmp_path / "whole")
    real, left = teaching.train_step, [3]

    def dies(*given):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(*given)

    monkeypatch.setattr(teaching, "train_step", dies)
    with pytest.raises(KeyboardInterrupt):
        teach(changing, images, tmp_path / "killed")
    monkeypatch.setattr(teaching, "train_step", real)
    continued = teach(changing, images, tmp_path / "killed")
    first, second = load_file(whole.path), load_file(continued.path)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
