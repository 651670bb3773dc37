"""From a click in a volume to voxels: what SAM's own predictor would have marked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from SAMSpineLib.models.protocols import Promptable, SlicePromptable
from SAMSpineLib.models.sam.channels import grey, grey_window
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.models.sam.sam_backbone import SamBackbone
from SAMSpineLib.prompts import Point
from SAMSpineLib.resampling import sample
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Volume


@pytest.fixture
def pictures(a_picture: np.ndarray) -> Volume:
    """Give a volume of three slices (96, 128), voxels in the order of a screen, of 8 bits."""
    array = np.stack([a_picture[..., 0], a_picture[::-1, :, 0], a_picture[:, ::-1, 0]])
    return Volume.from_array(array, np.diag([-1.0, -1.0, 4.0, 1.0]), modality="OT")


@pytest.fixture
def model(small_sam_network: Any) -> SamPromptable:
    return SamPromptable(SamBackbone(small_sam_network), name="small", kept=torch.float32)


def test_it_is_promptable_in_slices(model: SamPromptable) -> None:
    assert isinstance(model, Promptable)
    assert isinstance(model, SlicePromptable)
    assert model.slicewise is model


@pytest.mark.parametrize("index", [0, 2])
def test_a_click_in_a_volume_marks_what_sam_s_predictor_marks(
    index: int, model: SamPromptable, pictures: Volume, small_sam_network: Any
) -> None:
    predictor = SamPredictor(small_sam_network)
    predictor.set_image(np.repeat(pictures.array[index][..., None], 3, axis=2))
    masks, scores, _ = predictor.predict(np.array([[60.0, 40.0]]), np.array([1]))
    encoded = model.encode(pictures, model.grid_at((-60.0, -40.0, 4.0 * index), pictures))
    assert encoded.grid.shape == (1, 96, 128)
    found = model.offer(encoded, [Point((-60.0, -40.0, 4.0 * index))])
    ours = sample(found.logits[:1].astype(np.float32), found.grid, pictures.grid, fill=-1.0)[index] > 0
    theirs = masks[scores.argmax()]
    assert 0 < theirs.mean() < 1
    assert np.mean(ours != theirs) < 0.002  # half precision of the logits
    assert found.scores[0] == pytest.approx(float(scores.max().clip(0, 1)), abs=1e-3)


def test_an_answer_on_the_slice_itself_is_a_probability_that_goes_on_from_the_one_before(
    model: SamPromptable, pictures: Volume
) -> None:
    encoded = model.encode(pictures, model.grid_at((-60.0, -40.0, 4.0), pictures))
    first = model.decode(encoded, [Point((-60.0, -40.0, 4.0))])
    assert first.probability.shape == encoded.grid.shape
    assert 0 <= first.probability.min() < first.probability.max() <= 1
    second = model.decode(encoded, [Point((-60.0, -40.0, 4.0))], previous=first.probability)
    assert (second.probability != first.probability).any()


def test_the_heat_in_a_neighbour_is_highest_in_the_middle_of_the_mask(model: SamPromptable, pictures: Volume) -> None:
    here, there = (model.encode(pictures, model.grid_at((-60.0, -40.0, s), pictures)) for s in (0.0, 4.0))
    mask = np.zeros(here.grid.shape, bool)
    mask[0, 30:51, 50:71] = True
    heat = model.suggest(here, mask, there)
    assert heat.shape == there.grid.shape
    assert np.unravel_index(heat.argmax(), heat.shape) == (0, 40, 60)


def test_features_are_kept_in_half_precision(small_sam2_network: Any, pictures: Volume) -> None:
    model = SamPromptable(Sam2Backbone(small_sam2_network), name="small")
    encoded = model.encode(pictures, model.grid_at((-60.0, -40.0, 4.0), pictures))
    assert {one.dtype for one in encoded.features.maps} == {torch.float16}
    assert encoded.nbytes == sum(2 * one.numel() for one in encoded.features.maps)
    assert encoded.grid.shape == (1, 128, 128)  # stretched, as SAM 2 was trained


def test_thick_slices_are_shown_with_square_pixels(model: SamPromptable, pictures: Volume) -> None:
    stack = stack_along(pictures.grid, (1.0, 0.0, 0.0))
    grid = model.slice_grid(stack, 60)
    assert grid.shape == (1, 16, 128)  # 12 mm high, 96 mm wide
    np.testing.assert_allclose(grid.spacing[:2], 0.75)


@pytest.mark.parametrize(
    ("modality", "dtype", "window"),
    [("CT", np.int16, (-200.0, 1000.0)), ("MR", np.uint8, (0.0, 255.0)), ("US", np.int16, (-700.0, 2900.0))],
)
def test_each_modality_has_its_window(modality: str, dtype: type, window: tuple[float, float]) -> None:
    array = np.linspace(-700, 2900, 1000).reshape(10, 10, 10).astype(dtype)
    assert grey_window(Volume.from_array(array, np.eye(4), modality=modality)) == window


def test_magnetic_resonance_is_shown_between_its_percentiles() -> None:
    array = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    low, high = grey_window(Volume.from_array(array, np.eye(4), modality="MR"))
    assert (low, high) == (pytest.approx(5, abs=1), pytest.approx(994, abs=1))
    np.testing.assert_allclose(grey(np.array([low, high, -9.0, 5000.0]), (low, high)), [0, 255, 0, 255], atol=1e-3)


def test_it_decodes_only_what_it_has_encoded(model: SamPromptable) -> None:
    with pytest.raises(TypeError, match="SAM decodes what it has encoded itself"):
        model.features_of(object())  # type: ignore[arg-type]
