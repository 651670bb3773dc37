"""CT-SAM3D: image encoder, prompt-driven mask decoder, cross-patch prompter.

Source: Guo et al., arXiv 2403.15063, AAAI 2025.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from SAMSpineLib.models.ct_sam3d.config import CTSAM3DConfig
from SAMSpineLib.models.ct_sam3d.decoder import MaskDecoder
from SAMSpineLib.models.ct_sam3d.layers import initialise
from SAMSpineLib.models.ct_sam3d.residual_encoder import ResidualEncoder
from SAMSpineLib.models.ct_sam3d.restv2 import ResTv2Encoder

ENCODERS = {"restv2": ResTv2Encoder, "residual": ResidualEncoder}


class CTSAM3D(nn.Module):
    """The network on patches (B, 1, N, N, N) of normalised intensity; it knows nothing of millimetres."""

    def __init__(self, config: CTSAM3DConfig) -> None:
        """Create the network of `config` with fresh weights."""
        super().__init__()
        self.config = config
        full_size_skip = config.encoder == "residual"
        self.encoder = ENCODERS[config.encoder](config.dims, config.depths, config.skips)
        self.decoder = MaskDecoder(config.skips, config.prompt_hidden, config.head, full_size_skip=full_size_skip)
        self.cross_patch = UNet(
            spatial_dims=3,
            in_channels=3,
            out_channels=1,
            channels=config.cross_patch,
            strides=(2,) * (len(config.cross_patch) - 1),
            num_res_units=2,
        )
        if config.encoder == "restv2":
            self.encoder.apply(initialise)
            self.decoder.apply(initialise)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return the feature pyramid of patches (B, 1, N, N, N), finest scale first."""
        pyramid: list[Tensor] = self.encoder(image)
        return pyramid

    def decode(self, pyramid: Sequence[Tensor], prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits (B, 2, N, N, N) and quality scores (B, 2) for prompt maps (B, 4, N, N, N)."""
        logits, quality = self.decoder(pyramid, prompt)
        return logits, quality

    def suggest(self, image: Tensor, mask: Tensor, neighbour: Tensor) -> Tensor:
        """Return the heat map (B, 1, N, N, N) of where to click in `neighbour`, given `mask` on `image`."""
        heat: Tensor = self.cross_patch(torch.cat([image, mask, neighbour], dim=1))
        return heat
