"""`samspine evaluate` over folders and manifests, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("monai")


@pytest.fixture
def folders(case: Any, tmp_path: Path) -> tuple[Path, Path, Path]:
    """Give folders of two results, their truths and their images; the second result lacks its upper half."""
    results, truths, images = (tmp_path / name for name in ("results", "truths", "images"))
    for folder in (results, truths, images):
        folder.mkdir()
    for name in ("sub-1", "sub-2"):
        shutil.copy(case.labels, truths / f"{name}_seg.nii.gz")
        shutil.copy(case.image, images / f"{name}_ct.nii.gz")
        shutil.copy(case.labels, results / f"{name}.nii.gz")
    image = sitk.ReadImage(str(results / "sub-2.nii.gz"))
    image[:, :, : image.GetSize()[2] // 2] = 0
    sitk.WriteImage(image, str(results / "sub-2.nii.gz"))
    return results, truths, images


def test_two_folders_are_scored_over_subjects(folders: Any, samspine: Any) -> None:
    results, truths, _ = folders
    ended = samspine("evaluate", results, truths, "--ids", "samspine", "--json")
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 1
    found = json.loads(ended.out)
    assert found["subjects"] == 2
    first, second = (one["labels"] for one in found["cases"])
    assert {score["dice"] for score in first.values()} == {1.0}
    halved = [score["dice"] for score in second.values()]
    assert min(halved) < 0.6
    assert found["mean"]["dice"]["mean"] == pytest.approx((1 + np.mean(halved)) / 2, abs=1e-4)
    assert found["mean"]["dice"]["low"] < found["mean"]["dice"]["mean"] < found["mean"]["dice"]["high"]
    shown = samspine("evaluate", results, truths, "--ids", "samspine").out
    for word in ("L3", "IoU", "surface Dice", "presence", "2 cases of 2 subjects", "1.000]"):
        assert word in shown


def test_a_report_shows_the_worst_cases_in_their_images(folders: Any, samspine: Any, tmp_path: Path) -> None:
    results, truths, images = folders
    words = ("--ids", "samspine", "--images", images, "--report", tmp_path / "report.html", "--worst", 1)
    ended = samspine("evaluate", results, truths, *words)
    assert ended.code == 0, ended.err
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<img ") == 1
    assert "<figcaption>sub-2, " in text


def test_a_manifest_says_who_the_subjects_are(folders: Any, samspine: Any, tmp_path: Path) -> None:
    rows = [f"results/{name}.nii.gz,truths/{name}_seg.nii.gz,ann,samspine" for name in ("sub-1", "sub-2")]
    (tmp_path / "list.csv").write_text("\n".join(["prediction,truth,subject,ids", *rows]), encoding="utf-8")
    ended = samspine("evaluate", tmp_path / "list.csv", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["subjects"] == 1
    assert found["mean"]["dice"]["low"] is None


def test_two_files_with_a_report_are_a_cohort_of_one(folders: Any, samspine: Any, tmp_path: Path) -> None:
    results, truths, images = folders
    files = (results / "sub-2.nii.gz", truths / "sub-2_seg.nii.gz", "--ids", "samspine")
    report = tmp_path / "one.html"
    ended = samspine("evaluate", *files, "--images", images / "sub-2_ct.nii.gz", "--report", report, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["subjects"] == 1
    assert report.is_file()
    assert set(json.loads(samspine("evaluate", *files, "--json").out)) == {"labels", "mean", "missed", "extra"}


def test_results_without_a_truth_are_named_and_truths_without_a_result_refused(folders: Any, samspine: Any) -> None:
    results, truths, _ = folders
    (truths / "sub-1_seg.nii.gz").unlink()
    ended = samspine("evaluate", results, truths, "--ids", "samspine", "--json")
    assert ended.code == 0
    assert "not scored: sub-1.nii.gz" in ended.err
    (results / "sub-2.nii.gz").unlink()
    refused = samspine("evaluate", results, truths, "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "no result for sub-2_seg.nii.gz" in refused.err


def test_a_result_alone_is_refused(case: Any, samspine: Any, tmp_path: Path) -> None:
    for path in (case.labels, tmp_path):
        ended = samspine("evaluate", path)
        assert ended.code == 2
        assert "needs a TRUTH" in ended.err


def test_a_report_that_cannot_be_written_is_refused_before_the_scoring(
    folders: Any, samspine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, truths, _ = folders
    monkeypatch.setattr("SAMSpineLib.evaluation.cohort.read_pair", lambda *_: pytest.fail("too late"))
    ended = samspine("evaluate", results, truths, "--report", tmp_path / "nowhere" / "report.html")
    assert ended.code == 2
