"""`samspine segment` from words to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import PromptError
from SAMSpineLib.io import place_labels, read_segmentation, write_segmentation
from SAMSpineLib.labels import Label, spine_labels

IN_L3, IN_L4, IN_DISC = "L3:+:2,35,105", "L4:+:8,31,69", "disc L3-L4:+:8,41,87"
L2, L3, L4 = (spine_labels().by_name(name).value for name in ("L2", "L3", "L4"))


def result_of(path: Path, case: Any) -> np.ndarray:
    """Read a result onto the image's grid."""
    found = read_segmentation(path)
    return place_labels(found.labels, found.grid, case.phantom.image.grid)


def test_clicks_of_several_labels_become_the_segments_of_one_file(
    case: Any, tmp_path: Path, samspine: Any, tiny: Any
) -> None:
    out = tmp_path / "a.seg.nrrd"
    words = ("--click", IN_L3, "--click", "L3:-:2,60,105", "--click", IN_DISC, "--box", "L2:-20,0,125:20,60,150")
    ended = samspine("segment", case.image, out, *words, *tiny, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert set(told["labels"]) == {"L2", "L3", "disc L3-L4"}
    assert told["labels"]["L3"]["prompts"] == 2
    labels = result_of(out, case)
    for name, row in told["labels"].items():
        count = int((labels == spine_labels().by_name(name).value).sum())
        assert row["voxels"] == count
        assert row["cm3"] == pytest.approx(count * 0.008, abs=0.001)
        assert row["patches"] >= 1
        assert 0 <= row["quality"] <= 1
        assert row["seconds"] > 0


def test_a_label_map_has_its_table_beside_it(case: Any, tmp_path: Path, samspine: Any, tiny: Any) -> None:
    ended = samspine("segment", case.image, tmp_path / "a.nii.gz", "--click", IN_L3, *tiny)
    assert ended.code == 0, ended.err
    assert "L3" in ended.out
    assert "expected Dice" in ended.out
    assert (tmp_path / "a.labels.csv").read_text(encoding="utf-8").splitlines()[1].startswith("22,L3,")


def test_a_box_alone_makes_a_segment_and_beside_a_click_it_changes_the_answer(
    case: Any, tmp_path: Path, samspine: Any, tiny: Any
) -> None:
    narrow, wide = "L3:-2,31,101:6,39,109", "L3:-28,5,75:32,65,135"
    told = []
    for number, words in enumerate([("--box", narrow), ("--box", wide), ("--box", narrow, "--click", IN_L3)]):
        ended = samspine("segment", case.image, tmp_path / f"{number}.seg.nrrd", *words, *tiny, "--json")
        assert ended.code == 0, ended.err
        told.append(json.loads(ended.out)["labels"]["L3"])
    assert [one["prompts"] for one in told] == [1, 1, 2]
    assert told[0]["voxels"] > 0
    # All are answered on the patch around one centre: what differs between the results is what the boxes did.
    narrow_alone, wide_alone, with_click = (result_of(tmp_path / f"{number}.seg.nrrd", case) for number in range(3))
    assert (narrow_alone != wide_alone).any()
    assert (narrow_alone != with_click).any()


def test_the_same_words_give_the_same_file(case: Any, tmp_path: Path, samspine: Any, tiny: Any) -> None:
    for name in ("a.seg.nrrd", "b.seg.nrrd"):
        assert samspine("segment", case.image, tmp_path / name, "--click", IN_L3, *tiny).code == 0
    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()


@pytest.fixture
def earlier(case: Any, tmp_path: Path) -> Path:
    """Give the truth of L2, and a segment that nobody knows, as a Slicer file."""
    truth = case.phantom.labels
    labels = np.where(truth.array == L2, L2, 0).astype(np.uint16)
    labels[:3, :3, :3] = 999
    path = tmp_path / "earlier.seg.nrrd"
    write_segmentation(path, labels, truth.grid, [*spine_labels(), Label(999, "Tumour", "Tumour", "x", (1, 2, 3))])
    return path


def test_going_on_keeps_every_voxel_of_the_others(
    case: Any, earlier: Path, tmp_path: Path, samspine: Any, tiny: Any
) -> None:
    out = tmp_path / "b.seg.nrrd"
    ended = samspine("segment", case.image, out, "--continue", earlier, "--click", IN_L3, *tiny)
    assert ended.code == 0, ended.err
    names = {segment.name: segment.value for segment in read_segmentation(out).segments}
    labels = result_of(out, case)
    assert set(names) == {"L2", "L3", "Tumour"}
    np.testing.assert_array_equal(labels == L2, case.phantom.labels.array == L2)
    assert int((labels == names["Tumour"]).sum()) == 27


def test_overwriting_must_be_asked_for(case: Any, earlier: Path, tmp_path: Path, samspine: Any, tiny: Any) -> None:
    words = ("--continue", earlier, "--click", IN_L3, *tiny)
    assert samspine("segment", case.image, tmp_path / "b.seg.nrrd", *words, "--overwrite").code == 0
    # The network is untrained and floods its patch, L2 with it.
    taken = result_of(tmp_path / "b.seg.nrrd", case)
    assert (taken == L2).sum() < (case.phantom.labels.array == L2).sum()


def test_a_result_can_be_gone_on_with_in_place(case: Any, earlier: Path, samspine: Any, tiny: Any) -> None:
    assert samspine("segment", case.image, earlier, "--continue", earlier, "--click", IN_L3, *tiny).code == 0
    assert {segment.name for segment in read_segmentation(earlier).segments} == {"L2", "L3", "Tumour"}


def failing_in(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Let the second prompt of a label fail."""
    add = Session.add

    def fail(session: Session, prompt: Any) -> Any:
        if session.label.name == name and session.prompts:
            raise error
        return add(session, prompt)

    monkeypatch.setattr(Session, "add", fail)


@pytest.mark.parametrize(
    ("error", "code"), [(PromptError("the network stumbled"), 2), (RuntimeError("oh"), 1), (KeyboardInterrupt(), 130)]
)
def test_a_late_failure_does_not_lose_what_was_finished(
    error: BaseException,
    code: int,
    *,
    case: Any,
    tmp_path: Path,
    samspine: Any,
    tiny: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone, out = tmp_path / "alone.seg.nrrd", tmp_path / "both.seg.nrrd"
    assert samspine("segment", case.image, alone, "--click", IN_L3, *tiny).code == 0
    failing_in(monkeypatch, "L4", error)
    words = ("--click", IN_L3, "--click", IN_L4, "--click", IN_L4, *tiny, "--json")
    ended = samspine("segment", case.image, out, *words)
    assert ended.code == code
    assert ended.out == ""
    assert f"What was finished (L3) is in {out}" in ended.err
    np.testing.assert_array_equal(result_of(out, case), result_of(alone, case))


def test_a_late_failure_keeps_the_file_that_was_there(
    case: Any, tmp_path: Path, samspine: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "both.seg.nrrd"
    out.write_bytes(b"before")
    failing_in(monkeypatch, "L4", PromptError("no"))
    words = ("--click", IN_L3, "--click", IN_L4, "--click", IN_L4, *tiny)
    assert samspine("segment", case.image, out, *words).code == 2
    assert out.read_bytes() == b"before"
    assert L3 in result_of(tmp_path / "unfinished-both.seg.nrrd", case)


def test_nothing_is_written_if_the_first_label_fails(
    case: Any, tmp_path: Path, samspine: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_in(monkeypatch, "L3", PromptError("no"))
    ended = samspine("segment", case.image, tmp_path / "a.seg.nrrd", "--click", IN_L3, "--click", IN_L3, *tiny)
    assert ended.code == 2
    assert list(tmp_path.iterdir()) == []


def test_another_precision_gives_nearly_the_same_and_one_that_is_not_there_is_said(
    case: Any, tmp_path: Path, samspine: Any, tiny: Any
) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        out = tmp_path / f"{precision}.seg.nrrd"
        ended = samspine("segment", case.image, out, "--click", IN_L3, *tiny, "--precision", precision, "--json")
        assert ended.code == 0, ended.err
        found[precision] = json.loads(ended.out)["labels"]["L3"]["voxels"]
    assert found["float32"] == pytest.approx(found["bfloat16"], rel=0.05)
    ended = samspine("segment", case.image, tmp_path / "a.seg.nrrd", "--click", IN_L3, *tiny, "--precision", "float16")
    assert ended.code == 2
    assert "float16 needs a CUDA device" in ended.err
    assert not (tmp_path / "a.seg.nrrd").exists()
