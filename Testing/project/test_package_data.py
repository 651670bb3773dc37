"""What is installed is whole: the wheel carries every module, and the data inside the package."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("pyproject.toml", "setup.py", "README.md", "LICENSE.txt")


@pytest.fixture(scope="module")
def a_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that the checkout stays clean."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("SAMSpineLib", "Resources"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in NEEDED:
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next((copy / "dist").glob("samspine-*.whl"))


def files_under(folder: Path) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_carries_every_module_and_every_resource(a_wheel: Path) -> None:
    packed = set(zipfile.ZipFile(a_wheel).namelist())
    modules = {name for name in files_under(ROOT / "SAMSpineLib") if name.endswith(".py")}
    resources = {f"SAMSpineLib/{name}" for name in files_under(ROOT / "Resources")}
    assert (modules | resources) - packed == set()


def test_the_wheel_carries_the_script_and_style_of_the_web_app(a_wheel: Path) -> None:
    packed = set(zipfile.ZipFile(a_wheel).namelist())
    assert {"SAMSpineLib/app/web/app.js", "SAMSpineLib/app/web/app.css"} <= packed


def test_the_bundled_weights_are_listed_tracked_and_packed(a_wheel: Path) -> None:
    packed = zipfile.ZipFile(a_wheel)
    entries = json.loads(packed.read("SAMSpineLib/Resources/models.json"))["bundled"]
    assert "ct-sam3d-small" in [entry["name"] for entry in entries]
    for entry in entries:
        content = packed.read(f"SAMSpineLib/Resources/{entry['file']}")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
        command = ["git", "check-ignore", "--quiet", f"Resources/{entry['file']}"]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode != 0, "a fresh clone would lack it"


def test_the_licence_and_who_to_cite_are_there(a_wheel: Path) -> None:
    assert any(name.endswith("licenses/LICENSE.txt") for name in zipfile.ZipFile(a_wheel).namelist())
    assert "Apache License" in (ROOT / "LICENSE.txt").read_text(encoding="utf-8")
    assert "license: Apache-2.0" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_wheel_puts_nothing_beside_the_library(a_wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(a_wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"SAMSpineLib"}


def test_an_installed_library_finds_its_own_resources(a_wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(a_wheel).extractall(tmp_path)
    code = "from SAMSpineLib.resources import resource_path; import sys; sys.stdout.write(str(resource_path('Labels')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout) == tmp_path / "SAMSpineLib" / "Resources" / "Labels"
