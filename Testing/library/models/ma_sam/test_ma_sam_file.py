"""What was learnt is kept without its SAM, and goes back onto that one alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.ma_sam.learnt import MaSamCard, load_ma_sam, read_ma_sam, save_ma_sam
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.sam.config import OWN_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam2
from SAMSpineLib.models.taught_file import TaughtStructure, fingerprint


def card_for(model: MaSam, network: torch.nn.Module) -> MaSamCard:
    named = tuple(TaughtStructure(40_000 + one, f"part {one}") for one in range(model.config.classes - 1))
    return MaSamCard(named, "sam-spine-smoke", fingerprint(network), model.config, figures={"dice": 0.5})


def test_what_was_saved_answers_the_same(backbone, config, built, tmp_path):
    model = built(backbone, config, shaken=True)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.half().float()
    card = card_for(model, backbone)
    again, read = load_ma_sam(save_ma_sam(tmp_path / "one.safetensors", model, card), backbone)
    assert read == card
    shown, prompt = torch.rand(1, 64, 64) * 255, torch.rand(1, 4, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(shown, prompt), again(shown, prompt))


def test_the_file_holds_nothing_of_the_image_encoder(sam2, built, tmp_path):
    model = built(sam2)
    tensors = load_file(save_ma_sam(tmp_path / "one.safetensors", model, card_for(model, sam2)))
    assert {name.partition(".")[0] for name in tensors} == {"adapters", "prompts", "decoder"}
    assert set(tensors) == {name for name, one in model.named_parameters() if one.requires_grad}


def test_another_sam_and_a_file_that_lacks_something_are_refused(sam2, built, tmp_path):
    model = built(sam2)
    path = save_ma_sam(tmp_path / "one.safetensors", model, card_for(model, sam2))
    torch.manual_seed(9)
    other = build_sam2(replace(OWN_CONFIGS["sam-spine-smoke"], image_size=64))
    with pytest.raises(ModelError, match="taught on 'sam-spine-smoke'"):
        load_ma_sam(path, other)
    with safe_open(path, "pt") as handle:
        metadata = handle.metadata()
    tensors, _ = read_ma_sam(path)
    tensors.pop("decoder.classes.weight")
    save_file(tensors, path, metadata)
    with pytest.raises(ModelError, match="does not hold the weights"):
        load_ma_sam(path, sam2)
    save_file(tensors, path, metadata | {"kind": "masksam"})
    with pytest.raises(ModelError, match="no taught model"):
        read_ma_sam(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ModelError, match="damaged"):
        read_ma_sam(path)
