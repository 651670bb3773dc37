"""The image encoder of the bundled size: plain residual convolutions, one stage per scale."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from SAMSpineLib.models.ct_sam3d.layers import Conv3d, ResidualBlock


class ResidualEncoder(nn.Module):
    """Encode (B, 1, N, N, N) into one feature map per scale, finest first: N, N/2, N/4, ...

    A convolutional encoder learns from few images and runs about ten times faster on a CPU than the published one.
    """

    def __init__(self, dims: Sequence[int], depths: Sequence[int], skips: Sequence[int]) -> None:
        """Create stages of `dims` channels with `depths` residual blocks, each mapped to `skips` channels."""
        super().__init__()
        inputs = (1, *dims[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(
                Conv3d(previous, width, 3, stride=1 if scale == 0 else 2, padding=1, bias=False),
                nn.InstanceNorm3d(width, affine=True),
                nn.LeakyReLU(0.1, inplace=True),
                *(ResidualBlock(width) for _ in range(depth)),
            )
            for scale, (previous, width, depth) in enumerate(zip(inputs, dims, depths, strict=True))
        )
        self.mappers = nn.ModuleList(
            Conv3d(width, skip, 1) if width != skip else nn.Identity() for width, skip in zip(dims, skips, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the pyramid, finest scale first."""
        pyramid, x = [], image
        for stage, mapper in zip(self.stages, self.mappers, strict=True):
            x = stage(x)
            pyramid.append(mapper(x))
        return pyramid
