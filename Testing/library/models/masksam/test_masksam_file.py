"""What was learnt is kept without its SAM, and goes back onto that one alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.build import build_backbone, build_segmenter
from SAMSpineLib.models.masksam.config import CONFIGS
from SAMSpineLib.models.masksam.learnt import MaskSamCard, load_masksam, read_masksam, save_masksam
from SAMSpineLib.models.masksam.network import MaskSam
from SAMSpineLib.models.sam.config import OWN_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam2
from SAMSpineLib.models.taught_file import TaughtStructure, fingerprint
from SAMSpineLib.volume import Volume


def card_for(model: MaskSam, network: torch.nn.Module, name: str = "sam-spine-smoke") -> MaskSamCard:
    named = tuple(TaughtStructure(40_000 + one, f"part {one}") for one in range(model.config.classes))
    return MaskSamCard(named, name, fingerprint(network), model.config, figures={"dice": 0.5})


def halved(model: MaskSam) -> MaskSam:
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.half().float()
    return model


def test_what_was_saved_answers_the_same(backbone, built, tmp_path):
    model = halved(built(backbone, shaken=True))
    card = card_for(model, backbone)
    again, read = load_masksam(save_masksam(tmp_path / "one.safetensors", model, card), backbone)
    assert read == card
    shown = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        first, second = model(shown), again(shown)
    assert torch.equal(first.masks, second.masks)
    assert torch.equal(first.kinds, second.kinds)


def test_the_file_holds_nothing_of_the_sam(sam2, built, tmp_path):
    model = built(sam2)
    tensors = load_file(save_masksam(tmp_path / "one.safetensors", model, card_for(model, sam2)))
    assert not any(name.startswith("sam.") for name in tensors)
    assert set(tensors) == {name for name, one in model.named_parameters() if one.requires_grad}


def test_another_sam_and_a_file_that_lacks_something_are_refused(sam2, built, tmp_path):
    model = built(sam2)
    path = save_masksam(tmp_path / "one.safetensors", model, card_for(model, sam2))
    torch.manual_seed(9)
    other = build_sam2(replace(OWN_CONFIGS["sam-spine-smoke"], image_size=64))
    with pytest.raises(ModelError, match="taught on 'sam-spine-smoke'"):
        load_masksam(path, other)
    tensors, _ = read_masksam(path)
    tensors.pop("kind")
    metadata = {"kind": "masksam", "card": _card_text(path)}
    save_file(tensors, path, metadata)
    with pytest.raises(ModelError, match="does not hold the weights"):
        load_masksam(path, sam2)
    save_file(tensors, path, metadata | {"kind": "sam2rad"})
    with pytest.raises(ModelError, match="no taught model"):
        read_masksam(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ModelError, match="damaged"):
        read_masksam(path)


def test_a_model_is_built_on_the_bundled_sam_that_its_card_names(tmp_path):
    config = CONFIGS["masksam-smoke"]
    sam = build_backbone("sam-spine-tiny", image_size=config.image_size)
    model = halved(MaskSam(config, sam.backbone.network).eval())
    card = card_for(model, sam.backbone.network, "sam-spine-tiny")
    prompter = build_segmenter("masksam", weights=save_masksam(tmp_path / "mine.safetensors", model, card))
    assert (prompter.name, prompter.card) == ("mine", card)
    assert fingerprint(sam.backbone.network) == fingerprint(build_backbone("sam-spine-tiny").backbone.network)
    with pytest.raises(ModelError, match="is no SAM"):
        build_backbone("ct-sam3d-small")


def _card_text(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as handle:
        return handle.metadata()["card"]


@pytest.mark.parametrize("grey", ["air", "water", "noise"])
def test_in_a_volume_without_a_structure_the_bundled_network_sees_no_object(grey):
    shape = (40, 60, 40)
    values = {"air": np.full(shape, -1000), "water": np.full(shape, 30)}
    image = values.get(grey, np.random.default_rng(0).normal(40, 40, shape)).astype(np.int16)
    volume = Volume.from_array(image, np.diag([3.0, 3.0, 3.0, 1.0]), modality="CT")
    assert not build_segmenter("masksam").segment(volume).labels.any()
