"""The library opens without its heavy extras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKER = """
import importlib, importlib.abc, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocker())
for name in {modules!r}:
    importlib.import_module(name)
"""
EXTRAS = {"torch", "torchvision", "monai", "slicer", "vtk", "trame", "pydicom", "tensorboard"}
NOUNS = [
    f"SAMSpineLib.{name}"
    for name in ("errors", "volume", "resampling", "prompts", "labels", "resources", "mask_update")
]


def import_without(blocked: set[str], *modules: str) -> subprocess.CompletedProcess[str]:
    code = BLOCKER.format(blocked=blocked, modules=modules)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_nouns_need_no_extra_and_no_simpleitk() -> None:
    done = import_without({*EXTRAS, "SimpleITK"}, "SAMSpineLib", *NOUNS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", ["SAMSpineLib.io", "SAMSpineLib.engine", "SAMSpineLib.engine.session", "SAMSpineLib.cli"]
)
def test_a_room_without_networks_needs_no_extra(module: str) -> None:
    done = import_without(EXTRAS, module)
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks() -> None:
    done = import_without({"numpy"}, "SAMSpineLib.volume")
    assert done.returncode != 0
    assert "blocked: numpy" in done.stderr
