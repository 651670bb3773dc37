"""Teach, use what was taught, and choose what to label next: the whole way on the command line, with a tiny SAM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture
def small_sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smoke_sam: Path, samspine: Any) -> str:
    """Add a SAM with weights at random to the user's models and give its name."""
    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "models"))
    ended = samspine("models", "add", smoke_sam, "--name", "small")
    assert ended.code == 0, ended.err
    return "small"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Write six pictures of bright discs, their labels, and the list of them."""
    rows = ["image,labels"]
    for number in range(6):
        rng = np.random.default_rng(number)
        y, x = np.mgrid[:64, :64]
        disc = np.hypot(y - rng.uniform(20, 44), x - rng.uniform(20, 44)) < 9
        image = (rng.normal(60, 10, disc.shape) + 120 * disc).clip(0, 255).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(image), str(tmp_path / f"disc{number}.png"))
        sitk.WriteImage(sitk.GetImageFromArray(disc.astype(np.uint8)), str(tmp_path / f"mask{number}.png"))
        rows.append(f"disc{number}.png,mask{number}.png")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    return tmp_path / "list.csv"


@pytest.fixture
def disc(small_sam: str, pictures: Path, samspine: Any, tmp_path: Path) -> str:
    """Teach discs for a few steps and give the name of the model."""
    ended = samspine(
        "teach", "--data", pictures, "--structure", "my disc", "--model", small_sam, "--steps", 30,
        "--out", tmp_path / "taught", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["name"] == "my-disc"
    assert told["steps"] == 30
    assert 0 <= told["held"]["dice"] <= 1
    assert Path(told["model"]).stat().st_size < 25e6
    return told["name"]


def test_what_was_taught_is_a_model_that_finds_and_takes_clicks(disc: str, samspine: Any, tmp_path: Path) -> None:
    listed = json.loads(samspine("models", "list", "--json").out)["models"]
    (row,) = [one for one in listed if one["name"] == disc]
    assert row["architecture"] == "sam2rad"
    assert "my disc on small" in row["summary"]
    assert samspine("models", "verify").code == 0
    ended = samspine(
        "auto", tmp_path / "disc5.png", tmp_path / "out.seg.nrrd", "--method", "sam2rad", "--model", disc, "--json"
    )
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert set(found["levels"]) <= {"my disc"}
    clicked = samspine(
        "simulate", tmp_path / "disc5.png", tmp_path / "mask5.png", "--ids", "any", "--model", disc, "--clicks", 2,
        "--json",
    )  # fmt: skip
    assert clicked.code == 0, clicked.err
    assert samspine("models", "remove", disc).code == 0


def test_scans_come_in_the_order_of_doubt(disc: str, samspine: Any, tmp_path: Path) -> None:
    folder = tmp_path / "unlabelled"
    folder.mkdir()
    for number in (3, 4, 5):
        (tmp_path / f"disc{number}.png").rename(folder / f"scan{number}.png")
    ended = samspine("rank", folder, "--model", disc, "--json")
    assert ended.code == 0, ended.err
    gains = [one["gain"] for one in json.loads(ended.out)["scans"]]
    assert len(gains) == 3
    assert gains == sorted(gains, reverse=True)
    assert "scan" in samspine("rank", folder, "--model", disc).out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--structure", "a=0"), "NAME=VALUE"),
        (("--structure", "disc=7"), "has 'disc'"),
        (("--structure", "disc", "--model", "ct-sam3d-small"), "no SAM"),
        (("--structure", "disc", "--name", "small"), "already"),
    ],
)
def test_what_cannot_be_taught_is_said_before_anything_begins(
    words: tuple[str, ...], why: str, small_sam: str, pictures: Path, samspine: Any, tmp_path: Path
) -> None:
    model = () if "--model" in words else ("--model", small_sam)
    ended = samspine("teach", "--data", pictures, *words, *model, "--out", tmp_path / "taught")
    assert ended.code == 2
    assert why in ended.err


def test_a_model_that_was_taught_nothing_neither_finds_nor_ranks(
    small_sam: str, pictures: Path, samspine: Any, tmp_path: Path
) -> None:
    image, out = tmp_path / "disc0.png", tmp_path / "out.seg.nrrd"
    for words in (("auto", image, out, "--method", "sam2rad"), ("rank", tmp_path)):
        ended = samspine(*words, "--model", small_sam)
        assert ended.code == 2
        assert "was not taught" in ended.err
    assert samspine("rank", tmp_path / "nowhere", "--model", small_sam).code == 2
