"""Which network a checkpoint fills, told from the shapes of its own tensors: no name is believed.

SAM (Kirillov et al. 2023) has a ViT in three sizes, SAM 2 (Ravi et al. 2024) a Hiera in four; 2.1 adds two parts that
deal with objects out of sight. A fine-tune such as MedSAM has the shapes of what it was tuned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from SAMSpineLib.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]

# Channels and blocks of the image encoder.
SAM_SIZES = {(768, 12): "sam-vit-b", (1024, 24): "sam-vit-l", (1280, 32): "sam-vit-h"}
SAM2_SIZES = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base-plus", (144, 48): "large"}
# What all sizes of SAM 2 were published for, and the side of SAM's patches (pixels).
SAM2_IMAGE_SIZE = 1024
PATCH = 16

_VIT = "image_encoder.patch_embed.proj.weight"
_POSITIONS = "image_encoder.pos_embed"
_HIERA = "image_encoder.trunk.patch_embed.proj.weight"
_OF_21 = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias")
# Tensors of a whole network: those outside the blocks of the image encoder, and those of a block.
_SAM_TENSORS, _SAM_BLOCK_TENSORS = 146, 14
_SAM2_TENSORS, _SAM2_BLOCK_TENSORS = 324, 12


@dataclass(frozen=True)
class Recognised:
    """A network, and the side in pixels of the square image that it takes; None where shapes do not tell."""

    architecture: str
    image_size: int | None


def recognise(shapes: Shapes) -> Recognised:
    """Tell which network tensors of these names and shapes fill.

    SAM tells with its positions how large its image is, SAM 2 does not.

    Raises:
        ModelError: if none that is known does.
    """
    if _VIT in shapes and _POSITIONS in shapes:
        return _recognise_sam(shapes)
    if _HIERA in shapes:
        return _recognise_sam2(shapes)
    first = ", ".join(sorted(shapes)[:3]) or "no tensor at all"
    msg = f"This is no checkpoint of SAM or SAM 2: it has neither {_VIT} nor {_HIERA}, but {first}, ..."
    raise ModelError(msg)


def _recognise_sam(shapes: Shapes) -> Recognised:
    size = (shapes[_VIT][0], _blocks(shapes, "image_encoder.blocks."))
    if size not in SAM_SIZES:
        raise ModelError(_unknown_size("SAM", size, SAM_SIZES))
    name = SAM_SIZES[size]
    _check_whole(shapes, name, _SAM_TENSORS + _SAM_BLOCK_TENSORS * size[1], ("prompt_encoder", "mask_decoder"))
    return Recognised(name, PATCH * shapes[_POSITIONS][1])


def _recognise_sam2(shapes: Shapes) -> Recognised:
    size = (shapes[_HIERA][0], _blocks(shapes, "image_encoder.trunk.blocks."))
    if size not in SAM2_SIZES:
        raise ModelError(_unknown_size("SAM 2", size, SAM2_SIZES))
    newer = [part for part in _OF_21 if part in shapes]
    name = f"sam2.1-{SAM2_SIZES[size]}" if newer else f"sam2-{SAM2_SIZES[size]}"
    tensors = _SAM2_TENSORS + _SAM2_BLOCK_TENSORS * size[1] + (len(_OF_21) if newer else 0)
    _check_whole(shapes, name, tensors, ("sam_prompt_encoder", "sam_mask_decoder", "memory_attention"))
    return Recognised(name, None)


def _blocks(shapes: Shapes, prefix: str) -> int:
    """Count the numbered parts below a name."""
    return len({name[len(prefix) :].partition(".")[0] for name in shapes if name.startswith(prefix)})


def _check_whole(shapes: Shapes, name: str, tensors: int, parts: tuple[str, ...]) -> None:
    """Refuse a part of a network, and one with parts of its own: adapters, another decoder."""
    missing = [part for part in parts if not any(key.startswith(f"{part}.") for key in shapes)]
    if missing:
        msg = f"This checkpoint has the image encoder of {name}, but no {' and no '.join(missing)}: give the whole one"
        raise ModelError(msg)
    if len(shapes) != tensors:
        msg = (
            f"This checkpoint has the image encoder of {name}, but {len(shapes)} tensors, expected {tensors}: it lacks "
            "parts, or has parts of its own such as adapters; only fine-tunes of the same shape can be used"
        )
        raise ModelError(msg)


def _unknown_size(family: str, size: tuple[int, int], known: Mapping[tuple[int, int], str]) -> str:
    sizes = ", ".join(f"{name}: {channels} and {blocks}" for (channels, blocks), name in known.items())
    return (
        f"This is no size of {family} that is known: its image encoder has {size[0]} channels and {size[1]} blocks; "
        f"known are {sizes}"
    )
