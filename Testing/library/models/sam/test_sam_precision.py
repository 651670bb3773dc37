"""The image encoder of a SAM computes in the precision that was asked for; the rest stays in float32."""

from __future__ import annotations

import pytest

pytest.importorskip("segment_anything", reason="needs the extra 'sam'")
pytest.importorskip("sam2", reason="needs the extra 'sam'")

import torch

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.models.sam.sam_backbone import SamBackbone


@pytest.mark.parametrize(("kind", "name"), [(SamBackbone, "small_sam_network"), (Sam2Backbone, "small_sam2_network")])
def test_features_in_bfloat16_are_others_and_close_to_those_of_float32(kind, name, request):
    network, image = request.getfixturevalue(name), torch.rand(3, 128, 128, generator=torch.manual_seed(0)) * 255
    plain, wide, narrow = (kind(network, precision=one).encode(image).maps for one in ("auto", "float32", "bfloat16"))
    for a, b, c in zip(plain, wide, narrow, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c.float())
        assert torch.nn.functional.cosine_similarity(a.ravel(), c.float().ravel(), dim=0) > 0.99
    with pytest.raises(ModelError, match="float16"):
        kind(network, precision="float16")
