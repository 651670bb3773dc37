"""Block by block, an image encoder gives what it gives as a whole; adapters find whole slices."""

from __future__ import annotations

import pytest
import torch

from SAMSpineLib.models.sam.trunk import Unchanged, levels, walk, widths


def test_a_sam_walked_through_without_change_gives_what_it_gives_itself(small_sam_network):
    encoder, images = small_sam_network.image_encoder, torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        after = walk(encoder, images, Unchanged())
        assert torch.equal(encoder.neck(after[-1].permute(0, 3, 1, 2)), encoder(images))
    assert widths(encoder) == (32, 32)
    assert levels(encoder) == (1,)


def test_a_sam2_walked_through_without_change_gives_what_it_gives_itself(small_sam2_network):
    trunk, images = small_sam2_network.image_encoder.trunk, torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        after, stages = walk(trunk, images, Unchanged()), trunk(images)
    assert [len(after[block]) for block in levels(trunk)] == [2, 2, 2, 2]
    for block, stage in zip(levels(trunk), stages[::-1], strict=True):
        assert torch.equal(after[block].permute(0, 3, 1, 2), stage)
    assert tuple(one.shape[-1] for one in after) == widths(trunk)


@pytest.mark.parametrize("which", ["small_sam_network", "small_sam2_network"])
def test_adapters_see_whole_slices_with_their_windows_put_back_together(which, request):
    network = request.getfixturevalue(which)
    trunk = getattr(network.image_encoder, "trunk", network.image_encoder)
    seen = []

    class Looking(Unchanged):
        def attended(self, block, change):
            seen.append(tuple(change.shape))
            return change

    with torch.inference_mode():
        after = walk(trunk, torch.randn(3, 3, 128, 128), Looking())
    assert seen == [tuple(one.shape) for one in after]
