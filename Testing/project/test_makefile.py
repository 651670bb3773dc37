"""`make segment` hands over what it was given, word by word."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDER = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n'


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Give a folder that make takes for a finished environment; its `samspine` prints its arguments, one a line."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "samspine").write_text(RECORDER, encoding="utf-8")
    (folder / "bin" / "samspine").chmod(0o755)
    (folder / "bin" / "pip").touch()
    (folder / ".segment").touch()
    return folder


def segment(environment: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Whatever make runs this test must not decide how the inner one behaves.
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    command = ["make", "--no-print-directory", "segment", f"VENV={environment}", *words]
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("clicks", "expected"),
    [
        ("L3:+:21,-171,-132", ["L3:+:21,-171,-132"]),
        ("L3:+:21,-171,-132; L4:+:23,-174,-165", ["L3:+:21,-171,-132", "L4:+:23,-174,-165"]),
        ("L3:+:1,2,3 L3:-:4,5,6.5", ["L3:+:1,2,3", "L3:-:4,5,6.5"]),
        ("disc L3-L4:+:1,2,3;spinal canal:+:4,5,6;", ["disc L3-L4:+:1,2,3", "spinal canal:+:4,5,6"]),
    ],
)
def test_every_click_arrives_as_one_word(clicks: str, expected: list[str], environment: Path) -> None:
    done = segment(environment, "CT=my scans/ct 1.nii.gz", f"CLICKS={clicks}", "OUT=a result.seg.nrrd")
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert words[:3] == ["segment", "my scans/ct 1.nii.gz", "a result.seg.nrrd"]
    assert words[3::2] == ["--click"] * len(expected)
    assert [word.strip() for word in words[4::2]] == expected


def test_further_options_go_through(environment: Path) -> None:
    done = segment(environment, "CT=dicom", "CLICKS=L3:+:1,2,3", "OUT=a.nii.gz", "ARGS=--series 3 --overwrite")
    assert done.stdout.splitlines()[-3:] == ["--series", "3", "--overwrite"]


@pytest.mark.parametrize("given", [(), ("CT=a.nii.gz",), ("CT=a.nii.gz", "CLICKS=L3:+:1,2,3")])
def test_what_is_missing_is_said_with_an_example(given: tuple[str, ...], environment: Path) -> None:
    done = segment(environment, *given)
    assert done.returncode != 0
    assert 'CT=ct.nii.gz CLICKS="L3:+:10,-20,30"' in done.stderr
