"""What every test may ask for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none; torch is not imported for anything else."""
    if item.get_closest_marker("gpu") is not None and not _has_cuda():
        pytest.skip("needs a CUDA device, and there is none here")


def _has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


@pytest.fixture(scope="session", autouse=True)
def _models_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep whoever runs the tests' own models out of them, and the tests' models out of that folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMSPINE_MODELS", str(tmp_path_factory.mktemp("models") / "none yet"))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """Give the root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Give the folder of the real images, or skip."""
    folder = Path(os.environ.get("SAMSPINE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real images: there is no folder {folder}; name yours in SAMSPINE_DATA")
    return folder


@pytest.fixture
def no_file_above() -> Callable[[int], AbstractContextManager[None]]:
    """Give a context in which the system refuses to write more than some bytes into a file, as a full disk does."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(most: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


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
def smoke_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give weights of the smallest SAM there is, drawn at random: what is done with it takes seconds."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("sam2")
    from SAMSpineLib.models.sam.config import OWN_CONFIGS
    from SAMSpineLib.models.sam.networks import build_sam2
    from SAMSpineLib.models.weights import save_weights

    torch.manual_seed(0)
    network = build_sam2(OWN_CONFIGS["sam-spine-smoke"])
    path = tmp_path_factory.mktemp("smoke") / "smoke.safetensors"
    return save_weights(path, network, {"model": "sam-spine-smoke"})


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
