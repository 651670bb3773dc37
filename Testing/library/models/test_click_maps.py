"""Clicks as images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.models.ct_sam3d.click_maps import gaussian_map, shrink_prompt


def test_a_click_falls_off_as_a_gaussian_of_its_distance():
    heat = gaussian_map(torch.tensor([[4.0, 5.0, 6.0]]), (9, 11, 13), 1.5).numpy()
    k, j, i = np.indices(heat.shape)
    squared = (k - 4.0) ** 2 + (j - 5.0) ** 2 + (i - 6.0) ** 2
    assert np.abs(heat - np.exp(-squared / (2 * 1.5**2))).max() < 1e-6


def test_of_overlapping_clicks_the_nearer_one_counts_and_their_order_does_not():
    first, second = [3.0, 4.0, 4.0], [6.0, 4.0, 4.0]
    both = gaussian_map(torch.tensor([first, second]), (10, 9, 9), 2.0)
    alone = [gaussian_map(torch.tensor([place]), (10, 9, 9), 2.0) for place in (first, second)]
    assert torch.equal(both, torch.maximum(*alone))
    assert both[3, 4, 4] == both[6, 4, 4] == 1  # overwriting would leave the first at exp(-9/8)
    assert torch.equal(both, gaussian_map(torch.tensor([second, first]), (10, 9, 9), 2.0))


def test_two_clicks_at_the_same_place_are_one_click():
    once = gaussian_map(torch.tensor([[2.0, 3.0, 4.0]]), (8, 8, 8), 2.0)
    assert torch.equal(gaussian_map(torch.tensor([[2.0, 3.0, 4.0]] * 2), (8, 8, 8), 2.0), once)


@pytest.mark.parametrize("place", [[0.0, 0.0, 0.0], [7.0, 0.0, 7.0], [-0.5, 3.4, 7.5], [3.5, 3.5, 3.5]])
def test_a_click_at_the_border_or_between_voxels_is_as_strong_as_any(place):
    heat = gaussian_map(torch.tensor([place]), (8, 8, 8), 1.5)
    assert heat.max() == 1
    peak = np.array(np.unravel_index(int(heat.argmax()), heat.shape))
    assert np.abs(peak - place).max() <= 0.5


def test_no_click_is_an_empty_map():
    heat = gaussian_map(torch.zeros((0, 3)), (4, 5, 6), 2.0)
    assert heat.shape == (4, 5, 6)
    assert not heat.any()


def test_a_click_survives_on_the_coarsest_scale_of_the_decoder():
    prompt = torch.zeros(1, 4, 64, 64, 64)
    prompt[0, 1] = gaussian_map(torch.tensor([[17.0, 40.0, 55.0]]), (64, 64, 64), 2.0)
    coarse = shrink_prompt(prompt, (2, 2, 2))
    assert coarse[0, 1].max() == 1
    assert coarse[0, 1, 0, 1, 1] == 1
    plain = torch.nn.functional.interpolate(prompt, size=(2, 2, 2), mode="trilinear")
    assert plain[0, 1].max() < 0.01  # what the published interpolation would leave


def test_masks_and_boxes_shrink_to_the_share_that_they_fill():
    prompt = torch.zeros(1, 4, 8, 8, 8)
    prompt[0, 0, :2], prompt[0, 3, :, :4] = 1, 1
    coarse = shrink_prompt(prompt, (2, 2, 2))
    assert torch.equal(coarse[0, 0], torch.tensor([0.5, 0.0])[:, None, None].expand(2, 2, 2))
    assert torch.equal(coarse[0, 3], torch.tensor([1.0, 0.0])[None, :, None].expand(2, 2, 2))
    assert not coarse[0, 1:3].any()


def test_channels_keep_their_places_and_full_size_is_left_as_it_is():
    prompt = torch.rand(2, 4, 8, 8, 8)
    assert shrink_prompt(prompt, (8, 8, 8)) is prompt
    halved = shrink_prompt(prompt, (4, 4, 4))
    blocks = prompt.unflatten(4, (4, 2)).unflatten(3, (4, 2)).unflatten(2, (4, 2))
    assert torch.allclose(halved[:, [0, 3]], blocks[:, [0, 3]].mean(dim=(3, 5, 7)))
    assert torch.equal(halved[:, [1, 2]], blocks[:, [1, 2]].amax(dim=(3, 5, 7)))
