"""The mask decoder: prompts are injected at every scale by spatially adaptive normalisation (SPADE).

Source: CT-SAM3D (arXiv 2403.15063), "progressively and spatially aligned prompt"; SPADE: Park et al., CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.models.ct_sam3d.click_maps import PROMPT_CHANNELS, shrink_prompt
from SAMSpineLib.models.ct_sam3d.layers import Conv3d, upsample


class Spade(nn.Module):
    """Normalise features (B, C, ...) and modulate them by scale and shift read off the prompt maps."""

    def __init__(self, channels: int, hidden: int) -> None:
        """Create the layer for `channels` features and a hidden width of `hidden`."""
        super().__init__()
        self.norm = nn.InstanceNorm3d(channels, affine=False)
        self.shared = Conv3d(PROMPT_CHANNELS, hidden, 3, padding=1)
        self.gamma = Conv3d(hidden, channels, 3, padding=1)
        self.beta = Conv3d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        """Return normalised x * (1 + gamma) + beta; `prompt` has the spatial size of `x`."""
        hidden = F.relu(self.shared(prompt))
        modulated: Tensor = self.norm(x) * (1 + self.gamma(hidden)) + self.beta(hidden)
        return modulated


class SpadeBlock(nn.Module):
    """Residual block of two prompt-modulated convolutions; keeps the shape of its input."""

    def __init__(self, channels: int, hidden: int) -> None:
        """Create the block for `channels` features."""
        super().__init__()
        self.spades = nn.ModuleList(Spade(channels, hidden) for _ in range(2))
        self.convs = nn.ModuleList(Conv3d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        """Return x plus the modulated branch."""
        branch = x
        for spade, conv in zip(self.spades, self.convs, strict=True):
            branch = conv(F.leaky_relu(spade(branch, prompt), 0.2))
        return x + branch


class MaskDecoder(nn.Module):
    """Turn a feature pyramid and prompt maps into two mask logits and two quality scores.

    Mask 0 is the structure that was clicked, mask 1 the larger whole it belongs to (a vertebra's whole is the spine).

    Args:
        skips: channels of the pyramid, finest scale first.
        hidden: SPADE widths, finest block first. There is one block per skip from the coarsest upwards; further blocks
            follow on finer scales without skip. The last upsampling to full size has no block.
        head: features at full size.
        full_size_skip: whether the finest skip has full size; it is then added (so it must have `head` channels), and
            the prompt with it: a correction, and what was right before it, are then known to the voxel.
    """

    def __init__(self, skips: Sequence[int], hidden: Sequence[int], head: int, *, full_size_skip: bool) -> None:
        """Create blocks from the coarsest scale to the finest."""
        super().__init__()
        self.full_size_skip = full_size_skip
        inner = list(reversed(skips[1:] if full_size_skip else skips))
        widths = [inner[0]] + [2 * skip for skip in inner[1:]]
        widths += [inner[-1]] * (len(hidden) - len(widths))
        outputs = [*(width // 2 for width in widths[1 : len(inner)]), *widths[len(inner) :], head]
        self.blocks = nn.ModuleList(SpadeBlock(w, h) for w, h in zip(widths, reversed(hidden), strict=True))
        self.ups = nn.ModuleList(upsample(w, out) for w, out in zip(widths, outputs, strict=True))
        self.detail = Conv3d(PROMPT_CHANNELS, head, 3, padding=1) if full_size_skip else nn.Identity()
        self.fuse = nn.Sequential(*_mix(head), *_mix(head)) if full_size_skip else nn.Identity()
        self.masks = Conv3d(head, 2, 3, padding=1)
        self.quality = nn.Sequential(nn.Linear(head, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2))

    def forward(self, pyramid: Sequence[Tensor], prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Decode `prompt` (B, 4, N, N, N) on `pyramid` into logits (B, 2, N, N, N) and quality (B, 2)."""
        coarse_first = list(reversed(pyramid))
        x = coarse_first[0]
        for index, (block, up) in enumerate(zip(self.blocks, self.ups, strict=True)):
            x = up(block(x, shrink_prompt(prompt, x.shape[2:])))
            if index + 1 < len(coarse_first) - self.full_size_skip:
                x = torch.cat([x, coarse_first[index + 1]], dim=1)
        if self.full_size_skip:
            x = x + pyramid[0] + self.detail(prompt)
        x = self.fuse(x)
        return self.masks(x), self.quality(x.mean(dim=(2, 3, 4)))


def _mix(channels: int) -> tuple[nn.Module, nn.Module]:
    """Return the layers that mix, at full size, what the scales below, the image and the prompt say."""
    return Conv3d(channels, channels, 3, padding=1), nn.LeakyReLU(0.1, inplace=True)
