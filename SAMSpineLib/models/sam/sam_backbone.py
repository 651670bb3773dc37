"""SAM: a ViT on an image whose longer side it fills."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from SAMSpineLib.models.precision import Precision, casting, compiled
from SAMSpineLib.models.sam.backbone import Candidates, Features, SlicePrompts, ordered, prompt_tensors
from SAMSpineLib.models.sam.linear import use_onednn

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


class SamBackbone:
    """Answer prompts with a SAM."""

    def __init__(self, network: Sam, device: str = "cpu", precision: Precision = "auto") -> None:
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
        self._encoder = compiled(self.network.image_encoder, precision, device)
        self.image_size: int = network.image_encoder.img_size

    def changed(self, network: Sam) -> SamBackbone:
        """Return the same with another network of its kind."""
        return SamBackbone(network, str(self.device), self._precision)

    def frame(self, height: float, width: float) -> tuple[int, int]:
        """Return the pixels of a slice: square ones, `image_size` along its longer side; what is left is padded."""
        scale = self.image_size / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Features:
        """Encode an image; see `SliceBackbone.encode`."""
        height, width = (int(n) for n in image.shape[-2:])
        prepared = self.network.preprocess(image.to(self.device, torch.float32))[None]
        with self._cast():
            return Features((self._encoder(prepared),), (height, width))

    @cached_property
    def _positions(self) -> Tensor:
        """What the decoder is told of places, the same for every prompt."""
        positions: Tensor = self.network.prompt_encoder.get_dense_pe()
        return positions

    @torch.inference_mode()
    def decode(self, features: Features, prompts: SlicePrompts) -> Candidates:
        """Answer prompts; see `SliceBackbone.decode`."""
        points, labels, box, mask = prompt_tensors(prompts, self.device)
        encoder = self.network.prompt_encoder
        sparse, dense = encoder(points=None if points is None else (points, labels), boxes=box, masks=mask)
        logits, scores = self.network.mask_decoder.predict_masks(
            image_embeddings=features.maps[-1].float(), image_pe=self._positions,
            sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense,
        )  # fmt: skip
        return ordered(logits[0], scores[0], ambiguous=prompts.is_ambiguous)
