"""MaskSAM and MA-SAM on the command line: added, listed, run, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from SAMSpineLib.io import read_segmentation, write_volume
from SAMSpineLib.training.recipes import RECIPES
from SAMSpineLib.training.synthetic.phantom import make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings
from SAMSpineLib.training.tasks import task_of

FEW = PhantomSettings(spacing=(3.0, 3.0, 3.0), levels=(21, 23), fov=(120.0, 120.0), clean=True, oblique=0.0)


@pytest.fixture(params=["masksam", "ma-sam"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def learnt(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a network that has learnt nothing yet, on the bundled SAM, as training keeps it."""
    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "models"))
    task = task_of(RECIPES[f"{method}-smoke"], [])
    return task.keep(task.network(), tmp_path / "mine.safetensors")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_volume(tmp_path / "ct.nii.gz", make_phantom(3, FEW).image)
    return tmp_path / "ct.nii.gz"


def test_one_that_was_added_segments(method: str, learnt: Path, image: Path, samspine: Any, tmp_path: Path) -> None:
    assert samspine("models", "add", learnt).code == 0
    (row,) = [one for one in json.loads(samspine("models", "list", "--json").out)["models"] if one["name"] == "mine"]
    assert row["architecture"] == method
    assert "25 structures on sam-spine-tiny" in row["summary"]
    out = tmp_path / "out.seg.nrrd"
    ended = samspine("auto", image, out, "--method", method, "--segmenter", "mine", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert list(told["seconds"])[-1] == "segment"
    assert ("localise" in told["seconds"]) == (method == "ma-sam")
    if told["levels"]:  # weights at random may mark anything
        assert {one.name for one in read_segmentation(out).segments} == set(told["levels"])
    assert samspine("models", "verify").code == 0


def test_one_of_the_other_kind_is_refused(method: str, learnt: Path, image: Path, samspine: Any) -> None:
    assert samspine("models", "add", learnt).code == 0
    other = {"masksam": "ma-sam", "ma-sam": "masksam"}[method]
    ended = samspine("auto", image, image.with_name("out.seg.nrrd"), "--method", other, "--segmenter", "mine")
    assert ended.code == 2
    assert "There is no model 'mine'" in ended.err
