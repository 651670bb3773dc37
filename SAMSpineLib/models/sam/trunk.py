"""Through the image encoder of a SAM or SAM 2, block by block, with room for adapters; its weights stay as they are.

Both encoders have the same blocks: attention, mostly within windows, then an MLP. Adapters find whole slices
(B, H, W, C) at either place, with windows put back together.
"""

from __future__ import annotations

from typing import Any, Protocol

from sam2.modeling.backbones.hieradet import Hiera, do_pool
from sam2.modeling.backbones.utils import window_partition, window_unpartition
from torch import Tensor, nn


class BlockChanges(Protocol):
    """What adapters do to slices (B, H, W, C) on their way."""

    def placed(self, patches: Tensor) -> Tensor:
        """Return patches that know where they are, in place of these."""
        ...

    def attended(self, block: int, change: Tensor) -> Tensor:
        """Return what the attention of a block adds to the slices, in place of this."""
        ...

    def beside(self, block: int, normed: Tensor) -> Tensor | float:
        """Return what is added beside the MLP of a block, which sees `normed`."""
        ...


class Unchanged:
    """The encoder as it is; adapters change what they need of it."""

    def placed(self, patches: Tensor) -> Tensor:
        """Return the patches."""
        return patches

    def attended(self, block: int, change: Tensor) -> Tensor:  # noqa: ARG002 - the protocol's
        """Return the change."""
        return change

    def beside(self, block: int, normed: Tensor) -> Tensor | float:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return 0.0


def walk(trunk: nn.Module, images: Tensor, changes: BlockChanges) -> list[Tensor]:
    """Return the slices (B, H_i, W_i, C_i) after each block, for images (B, 3, S, S).

    Args:
        trunk: of a SAM all of the image encoder, of SAM 2 what is before its pyramid.
        images: as the network sees them.
        changes: of the adapters.
    """
    source: Any = trunk
    x: Tensor = source.patch_embed(images)
    if isinstance(trunk, Hiera):
        x = x + trunk._get_pos_embed(x.shape[1:3])
    elif source.pos_embed is not None:
        x = x + source.pos_embed
    x = changes.placed(x)
    after = []
    for number, block in enumerate(source.blocks):
        shortcut, change = _attention(block, x)
        x = shortcut + changes.attended(number, change)
        normed = block.norm2(x)
        x = x + block.mlp(normed) + changes.beside(number, normed)
        after.append(x)
    return after


def widths(trunk: nn.Module) -> tuple[int, ...]:
    """Return the channels that each block gives."""
    source: Any = trunk
    return tuple(int(block.norm2.normalized_shape[0]) for block in source.blocks)


def levels(trunk: nn.Module) -> tuple[int, ...]:
    """Return the blocks whose slices show most, from the coarsest and deepest to the finest and first.

    Of SAM 2 these are the last ones of each stage; of SAM, whose slices are all alike, those that attend to all of it.
    """
    source: Any = trunk
    if isinstance(trunk, Hiera):
        return tuple(trunk.stage_ends[::-1])
    return tuple(number for number, block in enumerate(source.blocks) if block.window_size == 0)[::-1]


def _attention(block: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the attention of a block is added to, and what it adds, both of the size that the block gives."""
    normed = block.norm1(x)
    widens = getattr(block, "dim", 0) != getattr(block, "dim_out", 0)
    shortcut: Tensor = do_pool(block.proj(normed), block.pool) if widens else x
    if not block.window_size:
        return shortcut, block.attn(normed)
    windows, _ = window_partition(normed, block.window_size)
    size = shortcut.shape[1:3]
    side = block.window_size // (getattr(block, "q_stride", None) or (1, 1))[0]  # attention may make slices coarser
    padded = tuple(n + -n % side for n in size)
    return shortcut, window_unpartition(block.attn(windows), side, padded, size)
