"""Through a stack: SAM 2's memory as in its own video predictor, and SAM's chain of masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sam2 import sam2_video_predictor
from torch.nn import functional as F

from SAMSpineLib.models.protocols import SliceMasks
from SAMSpineLib.models.sam.backbone import Candidates, SlicePrompts
from SAMSpineLib.models.sam.promptable import EncodedSlice, SamPromptable
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.models.sam.sam_backbone import SamBackbone
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Volume

COUNT, SIZE = 9, 128
POINT = SlicePrompts(np.array([[60, 50]], np.float32), np.array([True]))
PROMPTS = {
    "a point": POINT,
    "points": SlicePrompts(np.array([[60, 50], [20, 90]], np.float32), np.array([True, False])),
    "a box": SlicePrompts(box=np.array([30, 20, 95, 85], np.float32)),
    "a box and a point": SlicePrompts(POINT.points, POINT.positive, np.array([30, 20, 95, 85], np.float32)),
}


@pytest.fixture(scope="module")
def a_stack() -> Volume:
    """Give slices (9, 128, 128) of 1 mm, voxels in the order of a screen, with a ball that drifts."""
    k, j, i = np.mgrid[:COUNT, :SIZE, :SIZE]
    ball = np.hypot(i - 60 - 2 * k, j - 50) < 20
    array = (80 + 60 * np.sin(i / 9) * np.cos(j / 11) + 70 * ball).clip(0, 255).astype(np.uint8)
    return Volume.from_array(array, np.diag([-1.0, -1.0, 1.0, 1.0]), modality="MR")


@pytest.fixture(scope="module")
def model(small_sam2_network: Any) -> SamPromptable:
    """Give a SAM 2 whose features are kept in full precision."""
    return SamPromptable(Sam2Backbone(small_sam2_network), name="small", kept=torch.float32)


@pytest.fixture
def begun(small_video_predictor: Any, a_stack: Volume, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the video predictor's state for the same images."""
    mean, std = (
        np.array(three, np.float32).reshape(3, 1, 1) for three in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    frames = torch.from_numpy((a_stack.array[:, None].astype(np.float32) / 255 - mean) / std)
    monkeypatch.setattr(sam2_video_predictor, "load_video_frames", lambda **_: (frames, SIZE, SIZE))
    return small_video_predictor.init_state("these")


def encoded(model: SamPromptable, volume: Volume) -> list[EncodedSlice]:
    stack = stack_along(volume.grid)
    return [model.encode(volume, model.slice_grid(stack, index)) for index in range(stack.count)]


def followed(
    model: SamPromptable, slices: list[EncodedSlice], tracker: Any, order: range
) -> dict[int, np.ndarray | None]:
    found = {index: tracker.follow(index, slices[index], backwards=order.step < 0) for index in order}
    return {index: None if one is None else one.logits[0].astype(np.float32) for index, one in found.items()}


def check(ours: dict[int, np.ndarray | None], tracker: Any, state: Any) -> None:
    """Compare the masks of all slices, and what is remembered of them, which tells small differences."""
    theirs = state["output_dict_per_obj"][0]["non_cond_frame_outputs"]
    assert ours
    assert ours.keys() == theirs.keys()
    for index, mine in ours.items():
        assert mine is not None
        np.testing.assert_allclose(mine, theirs[index]["pred_masks"][0, 0], rtol=1e-3, atol=1e-2)
        remembered = tracker._outputs["non_cond_frame_outputs"][index]
        np.testing.assert_allclose(remembered["obj_ptr"], theirs[index]["obj_ptr"], atol=1e-4)
        features = [one["maskmem_features"].float() for one in (remembered, theirs[index])]
        np.testing.assert_allclose(*features, rtol=0.02, atol=1e-2)  # bfloat16


def followed_to_the_end(predictor: Any, state: Any, start: int, *, last: int | None = None, **how: Any) -> None:
    """Let the video predictor go through its frames."""
    for _ in predictor.propagate_in_video(state, start, None if last is None else last - start, **how):
        pass


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("backwards", [False, True])
def test_our_memory_says_what_the_video_predictor_says(
    kind: str, backwards: bool, model: SamPromptable, a_stack: Volume, small_video_predictor: Any, begun: Any
) -> None:
    prompts, slices, start = PROMPTS[kind], encoded(model, a_stack), 4
    box = None if prompts.box is None else prompts.box
    small_video_predictor.add_new_points_or_box(
        begun, start, 1, points=prompts.points if len(prompts.points) else None, box=box,
        labels=prompts.positive.astype(np.int32) if len(prompts.points) else None,
    )  # fmt: skip
    followed_to_the_end(small_video_predictor, begun, start, reverse=backwards)
    tracker = model.tracker(COUNT)
    tracker.learn(start, slices[start], model.ask(slices[start], prompts), 0)
    order = range(start - 1, -1, -1) if backwards else range(start + 1, COUNT)
    check(followed(model, slices, tracker, order), tracker, begun)


def test_between_two_prompted_slices_both_are_remembered_as_in_the_video_predictor(
    model: SamPromptable, a_stack: Volume, small_video_predictor: Any, begun: Any
) -> None:
    slices, tracker = encoded(model, a_stack), model.tracker(COUNT)
    for index in (1, 7):
        small_video_predictor.add_new_points_or_box(begun, index, 1, points=POINT.points, labels=[1])
        tracker.learn(index, slices[index], model.ask(slices[index], POINT), 0)
    followed_to_the_end(small_video_predictor, begun, 1, last=6)
    check(followed(model, slices, tracker, range(2, 7)), tracker, begun)


def test_a_mask_starts_the_memory_as_in_the_video_predictor(
    model: SamPromptable, a_stack: Volume, small_video_predictor: Any, begun: Any
) -> None:
    slices, tracker = encoded(model, a_stack), model.tracker(COUNT)
    y, x = np.mgrid[:32, :32]
    logits = (10 - 2 * np.hypot(x - 15, y - 12)).astype(np.float32)
    mask = F.interpolate(torch.from_numpy(logits)[None, None], size=(SIZE, SIZE), mode="bilinear")[0, 0] > 0
    small_video_predictor.add_new_mask(begun, 2, 1, mask)
    followed_to_the_end(small_video_predictor, begun, 2)
    given = SliceMasks(
        model.placed(slices[2], Candidates(logits[None], np.ones(1))).grid, logits[None].astype(np.float16), (1.0,)
    )
    tracker.learn(2, slices[2], given, 0)
    check(followed(model, slices, tracker, range(3, COUNT)), tracker, begun)


@pytest.fixture
def drawn_boxes(small_sam_network: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[SamPromptable, list[SlicePrompts]]:
    """Give a SAM that answers with the box that it is told, and what it was told."""
    backbone, told = SamBackbone(small_sam_network), []

    def decode(features: Any, prompts: SlicePrompts) -> Candidates:
        told.append(prompts)
        y, x = np.mgrid[:32, :32] * 4 + 1.5
        x0, y0, x1, y1 = prompts.box
        inside = np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y)) - 8
        return Candidates(np.stack([inside] * 4).astype(np.float32), np.full(4, 0.9, np.float32))

    monkeypatch.setattr(backbone, "decode", decode)
    return SamPromptable(backbone, name="boxes"), told


def test_sam_goes_from_the_box_around_a_mask_to_the_next_slice(
    drawn_boxes: tuple[SamPromptable, list[SlicePrompts]], a_stack: Volume
) -> None:
    model, told = drawn_boxes
    slices, tracker = encoded(model, a_stack), model.tracker(COUNT)
    tracker.learn(4, slices[4], model.ask(slices[4], SlicePrompts(box=np.array([20, 20, 90, 90], np.float32))), 0)
    for index, backwards in ((5, False), (6, False), (3, True)):
        assert tracker.follow(index, slices[index], backwards=backwards) is not None
    for prompts in told[1:]:
        assert prompts.mask is not None
        x0, y0, x1, y1 = prompts.box
        assert max(x0, y0) < 28
        assert min(x1, y1) > 81


def end(kind: str) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    return {
        "nothing is marked": lambda one: (one * 0 - 5, 0.9),
        "sam doubts it": lambda one: (one, 0.2),
        "it is elsewhere": lambda one: (np.roll(one, 16, axis=-1), 0.9),
    }[kind]


@pytest.mark.parametrize("kind", ["nothing is marked", "sam doubts it", "it is elsewhere"])
def test_the_chain_ends_where(
    kind: str, drawn_boxes: tuple[SamPromptable, list[SlicePrompts]], a_stack: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = drawn_boxes
    slices, tracker = encoded(model, a_stack), model.tracker(COUNT)
    tracker.learn(0, slices[0], model.ask(slices[0], SlicePrompts(box=np.array([20, 20, 90, 90], np.float32))), 0)
    before = model.backbone.decode

    def decode(features: Any, prompts: SlicePrompts) -> Candidates:
        logits, score = end(kind)(before(features, prompts).logits)
        return Candidates(logits, np.full(4, score, np.float32))

    monkeypatch.setattr(model.backbone, "decode", decode)
    assert tracker.follow(1, slices[1], backwards=False) is None
    assert tracker.follow(2, slices[2], backwards=False) is None
