"""`samspine simulate` and `samspine evaluate`: scores in JSON and as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from SAMSpineLib.labels import spine_labels


def curves(ended: Any) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out)["labels"])


def test_json_holds_three_curves_for_each_label_and_nothing_else(case: Any, samspine: Any, tiny: Any) -> None:
    ended = samspine("simulate", case.image, case.labels, "--clicks", 3, "--labels", "L4,L3", *tiny, "--json")
    found = curves(ended)
    assert list(found) == ["L4", "L3"]
    assert len(ended.out.splitlines()) == 1
    for curve in found.values():
        assert set(curve) == {"dice", "nsd_2mm", "seconds"}
        assert [len(values) for values in curve.values()] == [3, 3, 3]
        assert 0 < curve["dice"][-1] < 1
    assert set(json.loads(ended.out)) == {"labels"}


def test_the_numbering_of_the_truth_makes_no_difference(case: Any, tmp_path: Path, samspine: Any, tiny: Any) -> None:
    theirs = np.zeros(256, np.uint8)
    for label in spine_labels():
        if label.totalsegmentator is not None and label.value < 256:
            theirs[label.value] = label.totalsegmentator
    image = sitk.GetImageFromArray(theirs[case.phantom.labels.array])
    image.CopyInformation(sitk.ReadImage(str(case.labels)))
    sitk.WriteImage(image, str(tmp_path / "ts.nii.gz"))
    words = ("--clicks", 1, "--labels", "L3", "--jitter", 2, "--seed", 3, *tiny, "--json")
    ours = curves(samspine("simulate", case.image, case.labels, *words))
    again = curves(samspine("simulate", case.image, tmp_path / "ts.nii.gz", *words, "--ids", "totalsegmentator"))
    assert again["L3"]["dice"] == ours["L3"]["dice"]


def test_a_truth_in_another_numbering_is_refused_if_nothing_is_known(
    case: Any, tmp_path: Path, samspine: Any, tiny: Any
) -> None:
    image = sitk.ReadImage(str(case.labels)) * 0 + 77
    sitk.WriteImage(image, str(tmp_path / "odd.nii.gz"))
    ended = samspine("simulate", case.image, tmp_path / "odd.nii.gz", *tiny, "--json")
    assert (ended.code, ended.out) == (2, "")
    assert "'verse' but 77; name its own with --ids" in ended.err


def test_a_whole_spine_is_simulated_on_a_truth_of_vertebrae(case: Any, samspine: Any, tiny: Any) -> None:
    words = ("--clicks", 1, "--labels", "spine,L3", *tiny, "--json")
    assert list(curves(samspine("simulate", case.image, case.labels, *words))) == ["spine", "L3"]


def test_a_label_that_the_truth_lacks_is_refused(case: Any, samspine: Any, tiny: Any) -> None:
    ended = samspine("simulate", case.image, case.labels, "--labels", "L3,T1", *tiny)
    assert ended.code == 2
    assert "no voxel of 'T1'" in ended.err


def test_a_table_shows_every_click(case: Any, samspine: Any, tiny: Any) -> None:
    ended = samspine("simulate", case.image, case.labels, "--clicks", 2, "--labels", "L3", *tiny)
    assert ended.code == 0, ended.err
    for word in ("L3", "mean", "Dice", "NSD 2 mm", "patches", "2 clicks"):
        assert word in ended.out


def test_a_truth_scored_against_itself_is_perfect(case: Any, samspine: Any) -> None:
    pytest.importorskip("monai")
    ended = samspine("evaluate", case.labels, case.labels, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert {"L2", "L3", "L4", "disc L2-L3", "spinal canal"} <= set(found["labels"])
    assert found["mean"]["dice"] == 1.0
    assert found["mean"]["identification_rate"] == 1.0
    assert "found" in samspine("evaluate", case.labels, case.labels).out
