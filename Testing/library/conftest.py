"""Checkpoints as others write them, for all rooms that have to do with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class MetaFiles:
    """Two checkpoints, and the weights in them by name."""

    sam: Path
    sam_weights: dict[str, Any]
    sam2: Path
    sam2_weights: dict[str, Any]


@pytest.fixture(scope="session")
def meta_files(tmp_path_factory: pytest.TempPathFactory) -> MetaFiles:
    """Give checkpoints in Meta's own formats, of weights drawn at random: SAM's ViT-B, SAM 2.1's tiny Hiera.

    SAM is saved as a state dict, SAM 2 below the key `model`. ViT-B is in half precision, for the disk's sake.
    """
    torch = pytest.importorskip("torch")
    from sam2.build_sam import build_sam2
    from segment_anything import sam_model_registry

    folder = tmp_path_factory.mktemp("meta")
    torch.manual_seed(6)
    sam = sam_model_registry["vit_b"]().half().state_dict()
    torch.save(sam, folder / "sam_vit_b_01ec64.pth")
    sam2 = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", None, device="cpu").state_dict()
    torch.save({"model": sam2}, folder / "sam2.1_hiera_tiny.pt")
    return MetaFiles(folder / "sam_vit_b_01ec64.pth", sam, folder / "sam2.1_hiera_tiny.pt", sam2)


@pytest.fixture(scope="session")
def small_sam() -> dict[str, Any]:
    """Give tensors with the names and the telling shapes of SAM's ViT-B, and almost no content."""
    torch = pytest.importorskip("torch")
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        names = sam_model_registry["vit_b"]().state_dict()
    telling = {"image_encoder.patch_embed.proj.weight": (768, 3, 16, 16), "image_encoder.pos_embed": (1, 64, 64, 768)}
    # An expanded tensor has a shape, and one number of content, also on disk.
    return {name: torch.zeros(1).expand(telling.get(name, (2,))) for name in names}
