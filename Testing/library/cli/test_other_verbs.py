"""`samspine info`, `phantom`, `train`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.io import read_segmentation, read_volume
from SAMSpineLib.training.synthetic.settings import PhantomSettings


def test_info_says_where_an_image_lies_and_what_it_holds(case: Any, samspine: Any) -> None:
    image = case.phantom.image
    told = json.loads(samspine("info", case.image, "--json").out)
    assert told["grid"]["size"] == list(image.shape[::-1])
    assert told["grid"]["spacing"] == [2.0, 2.0, 2.0]
    assert told["grid"]["orientation"] == "LPS"
    np.testing.assert_allclose(told["grid"]["origin"], image.ijk_to_ras[:3, 3], atol=1e-3)
    assert told["voxels"] == {"type": "int16", "minimum": image.array.min(), "maximum": image.array.max()}
    text = samspine("info", case.image).out
    assert "2 x 2 x 2 mm" in text
    assert "LPS" in text


def test_info_lists_the_series_of_a_folder(make_series: Any, samspine: Any) -> None:
    make_series(4)
    folder = make_series(5)
    told = json.loads(samspine("info", folder, "--json").out)
    assert [(one["number"], one["slices"]) for one in told["series"]] == [(4, 4), (5, 4)]
    assert "grid" not in told
    assert "Choose one with --series" in samspine("info", folder).out
    chosen = json.loads(samspine("info", folder, "--series", "5", "--json").out)
    assert chosen["voxels"]["maximum"] == 50


def test_info_counts_segments(case: Any, tmp_path: Path, samspine: Any, tiny: Any) -> None:
    samspine("segment", case.image, tmp_path / "a.seg.nrrd", "--click", "L3:+:2,35,105", *tiny)
    found = json.loads(samspine("info", tmp_path / "a.seg.nrrd", "--json").out)["segments"]
    assert [one["name"] for one in found] == ["L3"]
    assert found[0]["voxels"] == int((read_segmentation(tmp_path / "a.seg.nrrd").labels == 22).sum())


def test_a_phantom_is_an_image_its_labels_and_their_table(case: Any, tmp_path: Path, samspine: Any) -> None:
    ended = samspine("phantom", tmp_path / "p.nii.gz", "--seed", 1, "--small", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert [Path(told[key]).name for key in ("image", "labels", "table")] == [
        "p.nii.gz",
        "p_labels.nii.gz",
        "p_labels.labels.csv",
    ]
    np.testing.assert_array_equal(read_volume(told["image"]).array, case.phantom.image.array)
    np.testing.assert_array_equal(read_volume(told["labels"]).array, case.phantom.labels.array)
    with Path(told["table"]).open(encoding="utf-8", newline="") as file:
        assert {int(row["value"]) for row in csv.DictReader(file)} == set(np.unique(case.phantom.labels.array)) - {0}


def test_a_phantom_is_no_segmentation(tmp_path: Path, samspine: Any) -> None:
    ended = samspine("phantom", tmp_path / "p.seg.nrrd", "--small")
    assert ended.code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training make small phantoms."""
    monkeypatch.setattr("SAMSpineLib.training.cases.TRAINING_PHANTOMS", PhantomSettings.small())


@pytest.mark.usefixtures("small_phantoms")
@pytest.mark.slow
def test_a_training_writes_weights_that_segment_and_goes_on_where_it_was(
    case: Any, tmp_path: Path, samspine: Any
) -> None:
    (tmp_path / "cases.csv").write_text(f"image,labels,ids\n{case.image},{case.labels},samspine\n", encoding="utf-8")
    words = ("train", "ct-sam3d-smoke", "--data", tmp_path / "cases.csv", "--out", tmp_path / "run", "--json")
    ended = samspine(*words, "--steps", 2)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["cases"] == 2
    told = json.loads(samspine(*words, "--steps", 3).out)
    log = (tmp_path / "run" / "log.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in log] == ["step", "1", "2", "3"]
    out = tmp_path / "a.seg.nrrd"
    model = ("--model", "ct-sam3d-tiny", "--weights", told["weights"])
    assert samspine("segment", case.image, out, "--click", "L3:+:2,35,105", *model).code == 0


@pytest.mark.usefixtures("small_phantoms")
@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["ct-sam3d-smoke", "localiser-smoke"])
def test_every_kind_of_training_takes_a_step_and_keeps_its_curve(recipe: str, tmp_path: Path, samspine: Any) -> None:
    ended = samspine("train", recipe, "--out", tmp_path / "run", "--steps", 1)
    assert ended.code == 0, ended.err
    assert (tmp_path / "run" / "log.csv").is_file()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--phantoms", "0"], "nothing to train on"),
        (["--data", "none.csv"], "none.csv' does not exist"),
    ],
)
def test_a_training_without_cases_is_refused(words: list[str], expected: str, tmp_path: Path, samspine: Any) -> None:
    ended = samspine("train", "ct-sam3d-smoke", "--out", tmp_path / "run", *words)
    assert ended.code == 2
    assert expected in ended.err


def test_a_training_needs_a_folder_to_write_to(case: Any, samspine: Any) -> None:
    ended = samspine("train", "ct-sam3d-smoke", "--out", case.image / "run")
    assert ended.code == 2
    assert "cannot be made" in ended.err
