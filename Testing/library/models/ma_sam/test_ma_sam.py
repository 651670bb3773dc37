"""MA-SAM: published sizes, a SAM that stays as it is, and prompts that know no order of atlases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.ma_sam.adapters import ADAPTERS, BottleneckAdapter, PublishedAdapter
from SAMSpineLib.models.ma_sam.config import CONFIGS, MaSamConfig
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.ma_sam.prompt_encoder import class_probabilities
from SAMSpineLib.models.sam.config import OWN_CONFIGS, SAM_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam, build_sam2
from SAMSpineLib.models.sam2rad.frozen_sam import FrozenSam

from .conftest import SMALL


def pictures(count: int, *, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 64, 64, generator=torch.Generator().manual_seed(seed)) * 255


def maps(count: int, atlases: int, *, seed: int = 2) -> torch.Tensor:
    return torch.randint(0, 4, (count, atlases, 64, 64), generator=torch.Generator().manual_seed(seed))


def prompts(count: int, atlases: int = 3) -> torch.Tensor:
    return class_probabilities(maps(count, atlases), 4)


def millions(weights) -> float:
    return sum(one.numel() for one in weights) / 1e6


def test_it_has_the_published_numbers_of_weights():
    with torch.device("meta"):
        sam = build_sam(replace(SAM_CONFIGS["sam-vit-b"], image_size=512))
        model = MaSam(CONFIGS["ma-sam-paper"], sam)
    assert millions(model.parameters()) == pytest.approx(273.1, rel=0.01)
    assert millions(one for one in model.parameters() if one.requires_grad) == pytest.approx(185.8, rel=0.01)
    assert millions(model.learnt().values()) == pytest.approx(185.8, rel=0.01)
    assert millions(model.adapters.blocks[0].parameters()) == pytest.approx(15.04, rel=0.01)
    assert len(model.adapters.blocks) == 12
    assert millions(model.prompts.parameters()) == pytest.approx(0.244, rel=0.01)
    assert millions(model.decoder.parameters()) == pytest.approx(5.10, rel=0.01)
    assert model.config.prompt_channels == 20


def test_the_small_one_is_small_and_fits_the_bundled_sam():
    model = MaSam(CONFIGS["ma-sam-small"], build_sam2(OWN_CONFIGS["sam-spine-tiny"]))
    assert millions(model.learnt().values()) < 0.65
    assert millions(model.adapters.parameters()) < 0.15


def test_a_bottlenecked_adapter_has_a_fortieth_of_the_weights_of_the_published_one():
    published, narrow = (millions(kind(768, 4).parameters()) for kind in (PublishedAdapter, BottleneckAdapter))
    assert narrow < published / 40


def test_every_pixel_has_a_logit_for_each_class(backbone, config, built):
    with torch.inference_mode():
        logits = built(backbone, config, shaken=True)(pictures(2), prompts(2))
    assert logits.shape == (2, 4, 64, 64)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 1)])
@pytest.mark.parametrize("kind", list(ADAPTERS))
def test_adapters_take_slices_of_any_size_and_begin_with_nothing(kind, size):
    adapter = ADAPTERS[kind](16, 4)
    slices = torch.randn(2, *size, 16)
    assert adapter(slices).shape == slices.shape
    assert adapter(slices).abs().max() == 0


def test_an_encoder_begins_as_if_there_were_no_adapters(backbone, config, built):
    model, alone = built(backbone, config), FrozenSam(backbone, encoding=True).eval()
    shown = pictures(2)
    with torch.inference_mode():
        embedding, *finer = model.encode(shown)
        wanted = alone.encode(list(shown), {})
        finer = [lift(one) for lift, one in zip(model.decoder.finer, finer, strict=True)]
        torch.testing.assert_close(embedding, alone.alone(wanted[0]), atol=1e-5, rtol=1e-5)
        for one, other in zip(finer, wanted[1:], strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_the_decoder_begins_with_the_transformer_of_the_sam(sam2, sam, built):
    for network, name in ((sam2, "sam_mask_decoder"), (sam, "mask_decoder")):
        theirs = network.get_submodule(name).transformer.state_dict()
        ours = built(network).decoder.transformer.state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
        assert set(ours) == set(theirs)


def test_a_lean_one_leaves_the_transformer_as_it_is_and_has_one_voice_for_all_classes(backbone, built):
    whole, lean = (built(backbone, replace(SMALL, lean=lean)) for lean in (False, True))
    assert not any(name.startswith("decoder.transformer") for name in lean.learnt())
    assert any(name.startswith("decoder.transformer") for name in whole.learnt())
    assert (len(whole.decoder.speaks), len(lean.decoder.speaks)) == (4, 1)
    with torch.inference_mode():
        logits = lean(pictures(1), prompts(1))
    assert (logits[:, 0] - logits[:, 1]).abs().max() > 1e-4  # tokens still tell classes apart


@pytest.mark.parametrize("atlases", [0, 3])
def test_with_a_prior_the_answer_begins_with_what_atlases_say(backbone, built, atlases):
    shape = replace(SMALL, atlases=atlases)
    model, free = (built(backbone, replace(shape, prior=prior)) for prior in (1.0, 0.0))
    free.load_state_dict(model.state_dict())
    said = maps(1, 3)
    prompt = said.float() if atlases else class_probabilities(said, 4)
    with torch.inference_mode():
        added = model(pictures(1), prompt) - free(pictures(1), prompt)
    torch.testing.assert_close(added, class_probabilities(said, 4).clamp(min=0.02).log(), atol=1e-4, rtol=1e-4)


def test_neither_order_nor_number_of_atlases_is_left_in_class_probabilities(backbone, built):
    model, said, shown = built(backbone, shaken=True), maps(1, 5), pictures(1)
    turned, twice = said.flip(1), said.repeat(1, 3, 1, 1)
    with torch.inference_mode():
        first, second, third = (model(shown, class_probabilities(one, 4)) for one in (said, turned, twice))
        alone = model(shown, class_probabilities(said[:, :1], 4))
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(first, third, atol=1e-5, rtol=1e-5)
    assert alone.shape == first.shape
    assert (alone - first).abs().max() > 1e-3


def test_class_probabilities_are_the_shares_of_the_votes():
    said = torch.tensor([0, 2, 2, 1]).view(1, 4, 1, 1)
    assert class_probabilities(said, 4).flatten().tolist() == [0.25, 0.25, 0.5, 0.0]
    torch.testing.assert_close(prompts(2).sum(dim=1), torch.ones(2, 64, 64))


def test_the_published_prompt_has_a_channel_for_each_atlas(backbone, built):
    model = built(backbone, MaSamConfig(4, 7, 32, widths=(4, 6, 8, 12), image_size=64), shaken=True)
    said = maps(1, 7).float()
    with torch.inference_mode():
        assert model(pictures(1), said).shape == (1, 4, 64, 64)
        assert (model(pictures(1), said) - model(pictures(1), said.flip(1))).abs().max() > 1e-3


def test_the_prompt_reaches_the_answer_at_every_resolution(backbone, built):
    """Each of its maps, silenced alone, changes what is answered: the finest ones near the pixel, the others too."""
    model, shown, prompt = built(backbone, shaken=True), pictures(1), prompts(1)
    with torch.inference_mode():
        seen = model.encode(shown)
        coarse, finer = model.prompts(prompt)
        whole = model.decoder(seen, coarse, finer)
        assert [one.shape[-1] for one in (coarse, *finer)] == [4, 8, 16, 32, 64]
        assert (model.decoder(seen, coarse * 0, finer) - whole).abs().max() > 1e-4
        for place in range(4):
            silenced = [one * (place != other) for other, one in enumerate(finer)]
            assert (model.decoder(seen, coarse, silenced) - whole).abs().max() > 1e-4, place


def test_answers_do_not_depend_on_how_many_slices_are_answered_at_once(backbone, config, built):
    model, shown, said = built(backbone, config, shaken=True), pictures(3), prompts(3)
    with torch.inference_mode():
        whole = model(shown, said)
        parts = torch.cat([model(shown[one : one + 1], said[one : one + 1]) for one in range(3)])
    torch.testing.assert_close(whole, parts, atol=1e-4, rtol=1e-4)


def test_another_prompt_costs_no_other_encoding(backbone, built):
    model, shown = built(backbone, shaken=True), pictures(1)
    with torch.inference_mode():
        seen = model.encode(shown)
        first, second = model.decode(seen, prompts(1, 3)), model.decode(seen, prompts(1, 1))
        assert (first - second).abs().max() > 1e-3
        assert torch.equal(second, model(shown, prompts(1, 1)))


def test_every_learnt_weight_has_a_gradient_and_none_of_the_encoder_has_one(backbone, config, built):
    model = built(backbone, config, shaken=True).train()
    truth = torch.randint(0, 4, (2, 64, 64), generator=torch.Generator().manual_seed(5))
    F.cross_entropy(model(pictures(2), prompts(2)), truth).backward()
    learnt = model.learnt()
    for name, weight in model.named_parameters():
        if name in learnt:
            assert weight.grad is not None, name
            assert weight.grad.abs().max() > 0, name
        else:
            assert weight.grad is None, name
            assert name.startswith("sam."), name


def test_a_step_of_learning_changes_no_byte_of_the_sam(backbone, config, built):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    model = built(backbone, config).train()
    inside = {name: value.clone() for name, value in model.sam.state_dict().items()}
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        model(pictures(1), prompts(1)).square().mean().backward()
        optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(torch.equal(value, inside[name]) for name, value in model.sam.state_dict().items())
    assert max(one.abs().max() for one in model.adapters.blocks[0](torch.randn(1, 4, 4, model_width(model)))) > 0


def model_width(model: MaSam) -> int:
    return next(iter(model.adapters.blocks[0].parameters())).shape[1]


def test_a_shape_for_another_sam_is_refused(sam2, built):
    with pytest.raises(
        ModelError, match="needs a SAM of 128 channels for images of 128 pixels, this one has 32 and 64"
    ):
        built(sam2, CONFIGS["ma-sam-smoke"])
    with pytest.raises(ModelError, match="no adapters 'wide'; choose one of: published, bottleneck"):
        built(sam2, replace(CONFIGS["ma-sam-smoke"], adapter="wide"))
