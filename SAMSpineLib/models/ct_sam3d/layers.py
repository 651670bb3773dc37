"""Building blocks that encoder and decoder share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """A 3D convolution that uses oneDNN for a single patch too.

    torch takes a slow path of its own for one small float32 image on a CPU, and oneDNN as soon as there are two. In
    use there is one patch at a time: asked for by name, oneDNN is several times faster.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, K, J, I)."""
        plain = x.dtype == self.weight.dtype == torch.float32 and x.device.type == "cpu"
        learning = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        if learning or not plain or isinstance(self.padding, str) or not torch.backends.mkldnn.is_available():
            return super().forward(x)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of (B, C, K, J, I)."""

    def __init__(self, channels: int) -> None:
        """Create scale and shift for `channels`."""
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each voxel's feature vector."""
        normalised: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return normalised


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with instance normalisation around a shortcut."""

    def __init__(self, channels: int) -> None:
        """Create the block; it keeps shape (B, channels, K, J, I)."""
        super().__init__()
        self.body = nn.Sequential(
            Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
            nn.LeakyReLU(0.1, inplace=True),
            Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus what the two convolutions add."""
        return torch.nn.functional.leaky_relu(x + self.body(x), 0.1)


def upsample(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return a layer that doubles every axis: transposed convolution, channel norm, GELU."""
    return nn.Sequential(
        nn.ConvTranspose3d(channels_in, channels_out, 2, stride=2), ChannelNorm(channels_out), nn.GELU()
    )


def initialise(module: nn.Module) -> None:
    """Draw convolution and linear weights from a truncated normal of 0.02, as the published model does."""
    if isinstance(module, (nn.Linear, nn.Conv3d, nn.ConvTranspose3d)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
