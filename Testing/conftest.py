"""What every test may ask for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

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
