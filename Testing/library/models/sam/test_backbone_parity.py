"""With the same weights our masks are those of Meta's predictors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor
from segment_anything import SamPredictor

from SAMSpineLib.models.sam.backbone import Candidates, SlicePrompts
from SAMSpineLib.models.sam.config import SAM2_CONFIGS, SAM_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam, build_sam2
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.models.sam.sam_backbone import SamBackbone

POINT = {"point_coords": [[60.0, 40.0]], "point_labels": [1]}
POINTS = {"point_coords": [[60.0, 40.0], [20.0, 70.0], [70.0, 30.0]], "point_labels": [1, 0, 1]}
BOX = {"box": [30.0, 20.0, 90.0, 70.0]}
KINDS = {
    "a point": POINT,
    "points": POINTS,
    "a box": BOX,
    "a mask": {"mask_input": True},
    "a point and a mask": POINT | {"mask_input": True},
    "a box and points": BOX | POINTS,
    "all": BOX | POINTS | {"mask_input": True},
}


def ours(asked: dict[str, Any], scale: float) -> SlicePrompts:
    """Return prompts as we say them, in pixels of the network."""
    return SlicePrompts(
        np.array(asked.get("point_coords", np.zeros((0, 2))), np.float32) * np.float32(scale),
        np.array(asked.get("point_labels", []), bool),
        np.array(asked["box"], np.float32) * np.float32(scale) if "box" in asked else None,
        asked["mask_input"][0] if "mask_input" in asked else None,
    )


def theirs(asked: dict[str, Any]) -> dict[str, Any]:
    """Return prompts as the predictors want them."""
    return {name: np.array(value, np.float32) for name, value in asked.items()}


def with_mask(asked: dict[str, Any], side: int) -> dict[str, Any]:
    """Return prompts with logits at random (1, side, side) where a mask is asked for."""
    logits = np.random.default_rng(3).normal(0, 6, (1, side, side)).astype(np.float32)
    return asked | ({"mask_input": logits} if "mask_input" in asked else {})


def check(candidates: Candidates, predictor: Any, asked: dict[str, Any], *, one_point: bool) -> None:
    """Compare with what a predictor says: all three masks, and the one where prompts mean one thing."""
    _, scores, logits = predictor.predict(**theirs(asked), multimask_output=True)
    order = np.argsort(-scores, kind="stable")
    scale = max(1.0, float(np.abs(logits).max()))
    close = {"atol": 2e-5 * min(scale, 32.0), "rtol": 1e-4}
    three = candidates.logits if one_point else candidates.logits[1:]
    limit = 32.0 if isinstance(predictor, SAM2ImagePredictor) else np.inf  # it cuts what it hands out
    np.testing.assert_allclose(three.clip(-limit, limit), logits[order], **close)
    np.testing.assert_allclose(candidates.scores[-3:], scores[order], atol=1e-4)
    if not one_point:
        _, scores, logits = predictor.predict(**theirs(asked), multimask_output=False)
        np.testing.assert_allclose(candidates.logits[:1].clip(-limit, limit), logits, **close)
        np.testing.assert_allclose(candidates.scores[:1], scores, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_our_sam_says_what_its_predictor_says(kind: str, small_sam_network: Any, a_picture: np.ndarray) -> None:
    predictor, backbone = SamPredictor(small_sam_network), SamBackbone(small_sam_network)
    predictor.set_image(a_picture)
    features = backbone.encode(torch.from_numpy(a_picture).permute(2, 0, 1))
    asked = with_mask(KINDS[kind], 32)
    prompts = ours(asked, 1.0)
    assert features.size == (96, 128)
    check(backbone.decode(features, prompts), predictor, asked, one_point=prompts.is_ambiguous)


@pytest.mark.parametrize("kind", KINDS)
def test_our_sam2_says_what_its_predictor_says(kind: str, small_sam2_network: Any, a_picture: np.ndarray) -> None:
    square = np.pad(a_picture, ((0, 32), (0, 0), (0, 0)), mode="reflect")
    predictor, backbone = SAM2ImagePredictor(small_sam2_network), Sam2Backbone(small_sam2_network)
    predictor._bb_feat_sizes = [(32, 32), (16, 16), (8, 8)]  # written for images of 1024 pixels
    predictor.set_image(square)
    features = backbone.encode(torch.from_numpy(square).permute(2, 0, 1))
    asked = with_mask(KINDS[kind], 32)
    prompts = ours(asked, 1.0)
    check(backbone.decode(features, prompts), predictor, asked, one_point=prompts.is_ambiguous)


def test_half_precision_moves_no_mask_by_more_than_a_pixel_in_a_hundred(
    small_sam_network: Any, a_picture: np.ndarray
) -> None:
    backbone = SamBackbone(small_sam_network)
    features = backbone.encode(torch.from_numpy(a_picture).permute(2, 0, 1))
    half = features.to(torch.float16)
    assert half.nbytes * 2 == features.nbytes
    full, rounded = (backbone.decode(one, ours(POINTS, 1.0)).logits[0] > 0 for one in (features, half))
    assert full.any()
    assert np.mean(full != rounded) < 0.01


@pytest.mark.slow
def test_vit_b_says_what_its_predictor_says(a_picture: np.ndarray) -> None:
    torch.manual_seed(0)
    network = build_sam(SAM_CONFIGS["sam-vit-b"])
    large = np.repeat(np.repeat(a_picture, 8, axis=0), 8, axis=1)
    predictor, backbone = SamPredictor(network), SamBackbone(network)
    predictor.set_image(large)
    features = backbone.encode(torch.from_numpy(large).permute(2, 0, 1))
    for kind in KINDS.values():
        asked = with_mask({name: np.multiply(value, 8) if name in {"point_coords", "box"} else value
                           for name, value in kind.items()}, 256)  # fmt: skip
        prompts = ours(asked, 1.0)
        check(backbone.decode(features, prompts), predictor, asked, one_point=prompts.is_ambiguous)


@pytest.mark.slow
def test_sam21_tiny_says_what_its_predictor_says(a_picture: np.ndarray) -> None:
    torch.manual_seed(0)
    network = build_sam2(SAM2_CONFIGS["sam2.1-tiny"])
    large = np.repeat(np.repeat(np.pad(a_picture, ((0, 32), (0, 0), (0, 0))), 8, axis=0), 8, axis=1)
    predictor, backbone = SAM2ImagePredictor(network), Sam2Backbone(network)
    predictor.set_image(large)
    features = backbone.encode(torch.from_numpy(large).permute(2, 0, 1))
    for kind in KINDS.values():
        asked = with_mask({name: np.multiply(value, 8) if name in {"point_coords", "box"} else value
                           for name, value in kind.items()}, 256)  # fmt: skip
        prompts = ours(asked, 1.0)
        check(backbone.decode(features, prompts), predictor, asked, one_point=prompts.is_ambiguous)
