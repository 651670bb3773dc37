"""SAM 2 on single images: a Hiera on a square, with finer maps beside the embedding."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from SAMSpineLib.models.precision import Precision, casting, compiled
from SAMSpineLib.models.sam.backbone import Candidates, Features, SlicePrompts, ordered, prompt_tensors
from SAMSpineLib.models.sam.linear import use_onednn
from SAMSpineLib.models.sam.networks import PIXEL_MEAN, PIXEL_STD

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

TOP_LEFT, BOTTOM_RIGHT = 2, 3  # how SAM 2 labels the corners of a box


class Sam2Backbone:
    """Answer prompts with a SAM 2."""

    def __init__(self, network: SAM2Base, device: str = "cpu", precision: Precision = "auto") -> None:
        """Take a network to a device, whose image encoder computes in a precision.

        Raises:
            ModelError: if the device cannot compute in that precision.
        """
        self._precision: Precision = precision
        self._cast = casting(precision, device)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        if self.device.type == "cpu":
            use_onednn(self.network)
        self._trunk = compiled(self.network.image_encoder.trunk, precision, device)
        self.image_size: int = network.image_size
        self._mean = torch.tensor(PIXEL_MEAN, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(PIXEL_STD, device=self.device).view(3, 1, 1)

    @property
    def remembers(self) -> bool:
        """Whether the network has a memory; see `Sam2Config.remembers`."""
        return hasattr(self.network, "memory_attention")

    def changed(self, network: SAM2Base) -> Sam2Backbone:
        """Return the same with another network of its kind."""
        return Sam2Backbone(network, str(self.device), self._precision)

    def frame(self, height: float, width: float) -> tuple[int, int]:  # noqa: ARG002 - the protocol's
        """Return the pixels of a slice: SAM 2 was trained on images that were stretched to a square."""
        return self.image_size, self.image_size

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Features:
        """Encode an image; see `SliceBackbone.encode`."""
        prepared = (image.to(self.device, torch.float32) - self._mean) / self._std
        with self._cast():
            maps = self._maps(self._trunk(prepared[None]))
        return Features(maps, (self.image_size, self.image_size))

    def _maps(self, stages: list[Tensor]) -> tuple[Tensor, ...]:
        """Return what `SAM2Base.forward_image` makes of the stages of the image encoder, finest first.

        On the two finest, two linear maps of channels follow each other, and the one in the middle is large: here they
        are multiplied first.
        """
        neck, decoder = self.network.image_encoder.neck, self.network.sam_mask_decoder
        coarsest, coarse, *finer = neck.convs
        upsampled = F.interpolate(coarsest(stages[3]).float(), scale_factor=2.0, mode="nearest")
        maps = [coarse(stages[2]) + upsampled]
        for stage, first, then in zip(stages[1::-1], finer, (decoder.conv_s1, decoder.conv_s0), strict=True):
            weight = torch.einsum("oc,cihw->oihw", then.weight[:, :, 0, 0], first.conv.weight)
            bias = then.weight[:, :, 0, 0] @ first.conv.bias + then.bias
            maps.append(F.conv2d(stage, weight, bias))
        return tuple(maps[::-1])

    @cached_property
    def _positions(self) -> Tensor:
        """What the decoder is told of places, the same for every prompt."""
        positions: Tensor = self.network.sam_prompt_encoder.get_dense_pe()
        return positions

    @torch.inference_mode()
    def decode(self, features: Features, prompts: SlicePrompts) -> Candidates:
        """Answer prompts; see `SliceBackbone.decode`."""
        *finer, top = (one.float() for one in features.maps)
        points, mask = self.prompt_points(prompts), prompt_tensors(prompts, self.device)[3]
        encoder, decoder = self.network.sam_prompt_encoder, self.network.sam_mask_decoder
        sparse, dense = encoder(points=points, boxes=None, masks=mask)
        logits, scores, _, _ = decoder.predict_masks(
            image_embeddings=top + self.network.no_mem_embed[0, :, :, None, None][0],
            image_pe=self._positions, sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense,
            repeat_image=False, high_res_features=finer,
        )  # fmt: skip
        # Where the mask for prompts that mean one thing is not stable, SAM 2 takes the best of the others for it.
        one, its_score = decoder._dynamic_multimask_via_stability(logits, scores)
        logits, scores = torch.cat([one, logits[:, 1:]], 1), torch.cat([its_score, scores[:, 1:]], 1)
        return ordered(logits[0], scores[0], ambiguous=prompts.is_ambiguous)

    def prompt_points(self, prompts: SlicePrompts) -> tuple[Tensor, Tensor] | None:
        """Return points (1, N, 2) and their labels (1, N), the corners of a box first; None without any."""
        points, labels, box, _ = prompt_tensors(prompts, self.device)
        if box is None:
            return None if points is None or labels is None else (points, labels)
        corners = box.reshape(1, 2, 2)
        kinds = torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]], dtype=torch.int32, device=self.device)
        if points is None or labels is None:
            return corners, kinds
        return torch.cat([corners, points], 1), torch.cat([kinds, labels], 1)
