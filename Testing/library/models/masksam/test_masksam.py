"""MaskSAM: published sizes, a SAM that stays as it is, and what a slice learns of those beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.masksam import network as masksam_network
from SAMSpineLib.models.masksam.config import CONFIGS
from SAMSpineLib.models.masksam.network import MaskSam
from SAMSpineLib.models.sam.config import SAM_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam
from SAMSpineLib.models.sam2rad.frozen_sam import FrozenSam


def pictures(stacks: int, depth: int, *, seed: int = 1) -> torch.Tensor:
    return torch.rand(stacks, depth, 64, 64, generator=torch.Generator().manual_seed(seed)) * 255


def test_it_has_the_published_number_of_weights():
    with torch.device("meta"):
        model = MaskSam(CONFIGS["masksam-acdc"], build_sam(SAM_CONFIGS["sam-vit-b"]))
    learnt = sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert sum(one.numel() for one in model.parameters()) / 1e6 == pytest.approx(115.1, rel=0.01)
    assert learnt / 1e6 == pytest.approx(21.4, rel=0.01)
    assert learnt == sum(one.numel() for one in model.learnt().values())


def test_it_answers_for_every_query_and_slice(backbone, built):
    with torch.inference_mode():
        answer = built(backbone, shaken=True)(pictures(2, 3))
    assert answer.kinds.shape == (2, 4, 4)
    assert answer.masks.shape == answer.prompts.masks.shape == (2, 4, 3, 16, 16)
    assert answer.prompts.boxes.shape == (2, 4, 3, 4)
    assert all(torch.isfinite(one).all() for one in (answer.kinds, answer.masks, answer.prompts.masks))


def test_adapters_begin_as_if_they_were_not_there(backbone, built):
    model, alone = built(backbone), FrozenSam(backbone, encoding=True).eval()
    shown, depth = pictures(1, 3), 3
    with torch.inference_mode():
        maps, _ = model.encode(shown)
        wanted = alone.encode(list(shown[0]), {})
        sparse, dense = torch.randn(3, 5, 32), torch.randn(3, 32, 4, 4)
        logits, _ = model.decoder(model.sam, maps, sparse, dense, depth)
        theirs = alone.decode(wanted, sparse, dense)[0][:, 0]
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(maps, wanted, strict=True))
    torch.testing.assert_close(logits, theirs, atol=1e-4, rtol=1e-4)


def test_a_change_in_one_slice_reaches_those_beside_it_and_no_other_stack(backbone, built):
    model, shown = built(backbone, shaken=True), pictures(2, 3)
    other = shown.clone()
    other[0, 0] = 255 - other[0, 0]
    with torch.inference_mode():
        first, second = model(shown), model(other)
        maps, changed = model.encode(shown)[0][0], model.encode(other)[0][0]
    assert (maps[1] - changed[1]).abs().max() > 1e-4  # already the encoder sees depth
    assert (first.masks[0, :, 1] - second.masks[0, :, 1]).abs().max() > 1e-4
    torch.testing.assert_close(first.masks[1], second.masks[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.kinds[1], second.kinds[1], atol=1e-5, rtol=1e-4)


def test_without_adapters_an_encoder_sees_single_slices(backbone, built):
    model, shown = built(backbone), pictures(1, 3)
    other = shown.clone()
    other[0, 0] = 255 - other[0, 0]
    with torch.inference_mode():
        maps, changed = model.encode(shown)[0][0], model.encode(other)[0][0]
    assert torch.equal(maps[1:], changed[1:])


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_the_same_weights_take_stacks_of_any_depth(backbone, built, depth):
    with torch.inference_mode():
        answer = built(backbone, shaken=True)(pictures(1, depth))
    assert answer.masks.shape[2] == depth
    assert torch.isfinite(answer.masks).all()


def test_answers_do_not_depend_on_how_many_are_decoded_or_stacked_at_once(backbone, built, monkeypatch):
    model, shown = built(backbone, shaken=True), pictures(3, 2)
    with torch.inference_mode():
        whole = model(shown)
        monkeypatch.setattr(masksam_network, "AT_ONCE", 1)
        parts = [model(one[None]) for one in shown]
    torch.testing.assert_close(whole.masks, torch.cat([one.masks for one in parts]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole.kinds, torch.cat([one.kinds for one in parts]), atol=1e-4, rtol=1e-4)


def test_every_learnt_weight_has_a_gradient_and_none_of_the_sam_has_one(backbone, built):
    model = built(backbone, shaken=True).train()
    answer = model(pictures(1, 3))
    noise = torch.Generator().manual_seed(5)
    parts = (answer.kinds, answer.masks, answer.prompts.masks, answer.prompts.boxes)
    sum((one * torch.randn(one.shape, generator=noise)).mean() for one in parts).backward()
    learnt = model.learnt()
    for name, weight in model.named_parameters():
        if name in learnt:
            assert weight.grad is not None, name
            assert weight.grad.abs().max() > 0, name
        else:
            assert weight.grad is None, name


def test_a_step_of_learning_changes_no_byte_of_the_sam(backbone, built):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    model = built(backbone).train()
    inside = {name: value.clone() for name, value in model.sam.state_dict().items()}
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.1)
    answer = model(pictures(1, 2))
    (answer.masks.square().mean() + answer.kinds.square().mean()).backward()
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(torch.equal(value, inside[name]) for name, value in model.sam.state_dict().items())


def test_a_shape_for_another_kind_of_sam_is_refused(sam2, built):
    with pytest.raises(ModelError, match="choose the shape for this SAM"):
        built(sam2, replace(CONFIGS["masksam-acdc"], channels=32))
