"""Slices for Segment Anything: what they show, how users prompt on them, that a network learns from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from SAMSpineLib.errors import LabelError
from SAMSpineLib.models.sam.config import OWN_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam2
from SAMSpineLib.models.sam.sam2_forward import decode_slices, encode_slices
from SAMSpineLib.training import slices
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.loop import train
from SAMSpineLib.training.losses import candidate_losses
from SAMSpineLib.training.recipes import RECIPES
from SAMSpineLib.training.slice_styles import as_magnetic_resonance, as_ultrasound, layers
from SAMSpineLib.training.slice_task import SliceTask
from SAMSpineLib.training.slice_user import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE, SliceUser, prompts_of
from SAMSpineLib.training.slices import Slice, SliceSampler

SMOKE = RECIPES["sam-spine-smoke"]


def _disc(side=64, middle=(30, 34), radius=9):
    y, x = np.mgrid[:side, :side]
    inside = (np.hypot(y - middle[0], x - middle[1]) < radius).astype(np.float32)
    return Slice(inside * 2 - 1, inside)


def test_every_slice_shows_its_target_in_the_networks_range(case):
    sampler = SliceSampler([case], 64)
    rng = np.random.default_rng(0)
    drawn = [sampler.draw(rng) for _ in range(40)]
    assert all((one.target > 0.5).sum() >= slices.SMALLEST_TARGET for one in drawn)
    assert all(one.image.shape == one.target.shape == (64, 64) for one in drawn)
    assert all(one.image.min() >= -1 and one.image.max() <= 1 and one.image.dtype == np.float32 for one in drawn)


def test_the_same_seed_draws_the_same_slice(case):
    first, second = (SliceSampler([case], 64).draw(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.target, second.target)


def test_bone_is_brighter_than_what_surrounds_it_in_slices_of_ct(case, monkeypatch):
    """Image and truth lie on one plane: were they shifted or turned against each other, this would not hold."""
    monkeypatch.setattr(slices, "STYLES", {"ct": 1.0})
    monkeypatch.setattr(slices, "KIND_WEIGHTS", {"bone": 1.0, "disc": 0.0, "canal": 0.0, "other": 0.0})
    monkeypatch.setattr(slices, "WHOLE", 1.0)
    sampler = SliceSampler([case], 64)
    rng = np.random.default_rng(1)
    gains = []
    for _ in range(20):
        one = sampler.draw(rng)
        gains.append(one.image[one.target > 0.9].mean() - one.image[one.target < 0.1].mean())
    assert np.median(gains) > 0.2


def test_a_case_of_specks_only_is_refused(case, monkeypatch):
    monkeypatch.setattr(slices, "STYLES", {"ct": 1.0})
    speck = np.zeros_like(case.labels)
    speck[4, 4, 4] = 22
    with pytest.raises(LabelError, match="few voxels"):
        SliceSampler([Case.build(case.image, speck, smallest=1)], 64).draw(np.random.default_rng(0))


def test_other_modalities_keep_the_shapes(case):
    """A disc stays a disc: its border is where the look changes most."""
    rng = np.random.default_rng(2)
    for look in (as_magnetic_resonance, as_ultrasound):
        shown = look(_disc(128, (60, 66), 25).image, rng)
        assert shown.shape == (128, 128)
        assert shown.min() >= -1
        assert shown.max() <= 1
        assert shown.std() > 0.05


def test_a_sheath_between_layers_is_brighter_than_the_rest_on_average():
    rng = np.random.default_rng(3)
    gains = []
    for _ in range(12):
        shown, share = layers(128, rng)
        gains.append(shown[share > 0.5].mean() - shown[share < 0.5].mean())
    assert np.mean(gains) > 0.1


def test_first_prompts_point_at_the_target():
    shown = _disc()
    for seed in range(60):
        user = SliceUser(shown, np.random.default_rng(seed))
        for (x, y), label in zip(user.points, user.labels, strict=True):
            inside = shown.target[min(63, int(y)), min(63, int(x))] > 0.5
            assert inside or label != POSITIVE or user.mask is not None
        if BOX_START in user.labels:
            (left, top), (right, bottom) = user.points
            assert user.labels == [BOX_START, BOX_END]
            assert np.allclose([left, top, right, bottom], [26, 22, 43, 39], atol=8)


def test_corrections_say_whether_the_place_was_missed_or_too_much():
    user = SliceUser(_disc(), np.random.default_rng(0))
    user.points, user.labels = [], []
    user.correct(np.zeros((64, 64), bool))
    user.correct(np.ones((64, 64), bool))
    assert user.labels == [POSITIVE, NEGATIVE]


def test_attention_begins_near_the_prompt(case):
    """A token that carries nothing but a place sees that place most, before anything was taught."""
    torch.manual_seed(0)
    network = SliceTask(SMOKE, [case]).network()
    where = network.sam_prompt_encoder.get_dense_pe().flatten(2)[0].T  # (places, C)
    for layer in network.sam_mask_decoder.transformer.layers:
        seen = layer.cross_attn_token_to_image
        nearness = seen.q_proj(where) @ seen.k_proj(where).T
        assert float((nearness.argmax(dim=1) == torch.arange(len(where))).float().mean()) > 0.5


def test_prompts_of_several_users_are_padded():
    users = [SliceUser(_disc(), np.random.default_rng(seed)) for seed in range(3)]
    for user, count in zip(users, (0, 1, 3), strict=True):
        user.points, user.labels = [(1.0, 2.0)] * count, [POSITIVE] * count
    points, labels = prompts_of(users)
    assert points.shape == (3, 3, 2)
    assert (labels == PADDING).sum(dim=1).tolist() == [3, 2, 0]


@pytest.mark.parametrize(("ambiguous", "taught"), [(True, 2), (False, 0)])
def test_only_the_best_of_the_masks_that_a_prompt_may_mean_is_taught(ambiguous, taught):
    truth = torch.from_numpy(_disc().target)[None]
    good = torch.nn.functional.interpolate(truth[None], size=(32, 32)) * 8 - 4
    logits = torch.cat([torch.zeros_like(good), -good, good, -good], dim=1).requires_grad_()
    quality, presence = torch.zeros(1, 4), torch.zeros(1, 1)
    loss, best, _ = candidate_losses(logits, quality, presence, truth, torch.tensor([ambiguous]))
    loss.backward()
    assert torch.equal(best, logits[:, taught : taught + 1])
    assert (logits.grad[0].abs().sum(dim=(1, 2)) > 0).nonzero().flatten().tolist() == [taught]


def test_a_slice_without_an_earlier_mask_is_answered_as_if_none_were_known():
    """What other slices of the batch have must not change its answer."""
    network = build_sam2(OWN_CONFIGS["sam-spine-smoke"])
    images, points = torch.randn(2, 3, 128, 128), torch.full((2, 1, 2), 60.0)
    labels, masks = torch.ones(2, 1, dtype=torch.int32), torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        features = encode_slices(network, images)
        mixed = decode_slices(network, features, points, labels, masks, torch.tensor([True, False]))
        encoder = network.sam_prompt_encoder
        sparse, dense = encoder(points=(points[1:], labels[1:]), boxes=None, masks=None)
        alone, *_ = network.sam_mask_decoder.predict_masks(
            image_embeddings=features.embedding[1:], image_pe=encoder.get_dense_pe(), sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense, repeat_image=False, high_res_features=[one[1:] for one in features.fine],
        )  # fmt: skip
    assert torch.allclose(mixed.logits[1:], alone, atol=1e-4)


def test_every_weight_that_answers_prompts_is_taught(case):
    task = SliceTask(replace(SMOKE, batch=4, rounds=4), [case])
    network = task.network()
    rng = np.random.default_rng(4)
    for _ in range(6):
        task.loss(network, rng, torch.device("cpu"))[0].backward()
    untaught = {name for name, weight in network.named_parameters() if weight.grad is None}
    later = ("memory_", "maskmem_tpos_enc", "no_mem_pos_enc", "no_obj_", "obj_ptr_", "mask_downsample")
    assert {name for name in untaught if not name.startswith(later)} <= {
        "image_encoder.neck.convs.0.conv.weight",
        "image_encoder.neck.convs.0.conv.bias",
    }


def test_two_trainings_with_one_seed_end_in_the_same_weights(case, tmp_path):
    recipe = replace(SMOKE, steps=3)
    first, second = (load_file(train(recipe, [case], tmp_path / name)) for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)
