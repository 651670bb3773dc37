"""Whatever a user gives: one line says what is wrong, exit code 2, and nothing that was there is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from SAMSpineLib.io import write_segmentation
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid

IN_L3 = "L3:+:2,35,105"
BEFORE = b"an earlier result"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Give the path of a result that is there already."""
    path = tmp_path / "result.seg.nrrd"
    path.write_bytes(BEFORE)
    return path


@pytest.fixture
def refused(samspine: Any, tiny: tuple[str, ...]) -> Callable[..., str]:
    """Give a function that runs `samspine segment` and returns the one line with which it refuses."""

    def command(image: Path, out: Path, *words: object, click: str | None = IN_L3) -> str:
        clicks = () if click is None else ("--click", click)
        ended = samspine("segment", image, out, *clicks, *tiny, *words, "--json")
        assert ended.code == 2, ended.err
        assert ended.out == ""
        assert len(ended.err.splitlines()) == 1, ended.err
        assert "Traceback" not in ended.err
        assert "fault of SAMSpine" not in ended.err
        return str(ended.err)

    return command


def saved(array: np.ndarray, path: Path, *, vector: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path))
    return path


def missing(folder: Path, image: Path) -> Path:
    return folder / "nothing.nii.gz"


def empty(folder: Path, image: Path) -> Path:
    (folder / "empty.nii.gz").touch()
    return folder / "empty.nii.gz"


def empty_folder(folder: Path, image: Path) -> Path:
    (folder / "dicom").mkdir()
    return folder / "dicom"


def truncated(folder: Path, image: Path) -> Path:
    whole = image.read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    return folder / "cut.nii.gz"


def truncated_nrrd(folder: Path, image: Path) -> Path:
    path = folder / "cut.nrrd"
    sitk.WriteImage(sitk.ReadImage(str(image)), str(path), useCompression=True)
    path.write_bytes(path.read_bytes()[:-5000])
    return path


def text_as_image(folder: Path, image: Path) -> Path:
    (folder / "letter.nii.gz").write_text("Dear colleague", encoding="utf-8")
    return folder / "letter.nii.gz"


def unknown_type(folder: Path, image: Path) -> Path:
    (folder / "report.pdf").write_text("Dear colleague", encoding="utf-8")
    return folder / "report.pdf"


def four_dimensional(folder: Path, image: Path) -> Path:
    return saved(np.zeros((3, 4, 5, 6), np.int16), folder / "4d.nii.gz")


def coloured(folder: Path, image: Path) -> Path:
    return saved(np.zeros((4, 5, 6, 3), np.uint8), folder / "rgb.nii.gz", vector=True)


def only_nan(folder: Path, image: Path) -> Path:
    return saved(np.full((4, 5, 6), np.nan, np.float32), folder / "nan.nii.gz")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, ["nothing.nii.gz", "does not exist"]),
        (empty, ["empty.nii.gz", "is empty", "0 bytes"]),
        (empty_folder, ["empty folder", "expected DICOM"]),
        (truncated, ["cut.nii.gz", "truncated", "copy or download it again"]),
        (truncated_nrrd, ["cut.nrrd", "truncated"]),
        (text_as_image, ["letter.nii.gz", "not a NIfTI file"]),
        (unknown_type, ["report.pdf", "type this does not read", ".nii.gz"]),
        (four_dimensional, ["4d.nii.gz", "4D", "expected 3D"]),
        (coloured, ["rgb.nii.gz", "colour", "greyscale"]),
        (only_nan, ["nan.nii.gz", "no finite voxel"]),
    ],
)
def test_an_image_that_is_none_is_refused_by_its_name(
    make: Callable[[Path, Path], Path], words: list[str], case: Any, tmp_path: Path, out: Path, refused: Any
) -> None:
    line = refused(make(tmp_path, case.image), out)
    assert [word for word in words if word not in line] == []
    assert out.read_bytes() == BEFORE


def test_a_partly_nan_image_is_mended_with_a_note(case: Any, tmp_path: Path, samspine: Any, tiny: Any) -> None:
    image = sitk.Cast(sitk.ReadImage(str(case.image)), sitk.sitkFloat32)
    image[0, 0, 0] = float("nan")
    sitk.WriteImage(image, str(tmp_path / "hole.nii.gz"))
    ended = samspine("segment", tmp_path / "hole.nii.gz", tmp_path / "a.seg.nrrd", "--click", IN_L3, *tiny, "--json")
    assert ended.code == 0, ended.err
    assert "1 of" in ended.err
    assert "NaN" in json.loads(ended.out)["notices"][0]


def test_two_series_are_listed_and_neither_is_guessed(make_series: Any, out: Path, refused: Any) -> None:
    make_series(1)
    line = refused(make_series(2), out)
    assert "holds 2 DICOM series" in line
    assert "1.2.3.1" in line
    assert "1.2.3.2" in line


def test_a_series_that_is_not_there_is_refused(make_series: Any, out: Path, refused: Any) -> None:
    assert "no series '9'" in refused(make_series(1), out, "--series", 9)


def test_a_missing_slice_is_named_with_its_neighbours(make_series: Any, out: Path, refused: Any) -> None:
    line = refused(make_series(1, heights=(0.0, 2.0, 6.0, 8.0)), out)
    assert "1 slice(s) missing between 1-1.dcm (at 2 mm) and 1-2.dcm (at 6 mm)" in line


@pytest.mark.parametrize(
    ("click", "words"),
    [
        ("L3:+:0,0,5000", ["L3", "(0.0, 0.0, 5000.0)", "outside the volume", "reaches from"]),
        ("femur:+:2,35,105", ["Unknown structure 'femur'", "L3"]),
        ("L3:+:2,35", ["'L3:+:2,35' is malformed", "label:+:R,A,S"]),
        ("L3:2,35,105", ["malformed"]),
        ("L3:*:2,35,105", ["malformed"]),
        ("L3:+:2,35,here", ["malformed"]),
        ("", ["malformed"]),
        ("L3:+:nan,35,105", ["three finite numbers"]),
        ("L3:-:2,35,105", ["L3", "outside of it only", "at least one inside"]),
    ],
)
def test_a_click_that_cannot_be_used_is_refused(
    click: str, words: list[str], case: Any, out: Path, refused: Any
) -> None:
    line = refused(case.image, out, click=click)
    assert [word for word in words if word not in line] == []
    assert out.read_bytes() == BEFORE


def test_no_prompt_at_all_is_refused(case: Any, out: Path, refused: Any) -> None:
    assert "at least one --click" in refused(case.image, out, click=None)


def test_a_malformed_box_is_refused(case: Any, out: Path, refused: Any) -> None:
    assert "'L3:1,2,3' is malformed" in refused(case.image, out, "--box", "L3:1,2,3")


def test_a_late_click_outside_is_found_before_the_first_is_answered(
    case: Any, out: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("SAMSpineLib.models.build.build_promptable", lambda *_, **__: pytest.fail("too late"))
    assert "outside the volume" in refused(case.image, out, "--click", "L4:+:0,0,5000")


def test_weights_that_are_damaged_are_refused(
    case: Any, out: Path, refused: Any, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    line = refused(case.image, out, "--weights", tmp_path / "cut.safetensors")
    assert "cut.safetensors' are damaged or no safetensors file" in line


def test_weights_of_another_network_are_refused(case: Any, out: Path, refused: Any, weights: Path) -> None:
    line = refused(case.image, out, "--model", "ct-sam3d-small", "--weights", weights)
    assert "belong to another network" in line


def test_weights_that_do_not_exist_are_refused(case: Any, out: Path, refused: Any, tmp_path: Path) -> None:
    assert "none.safetensors' do not exist" in refused(case.image, out, "--weights", tmp_path / "none.safetensors")


def test_a_model_that_does_not_exist_is_refused(case: Any, out: Path, refused: Any) -> None:
    line = refused(case.image, out, "--model", "sam-9000")
    assert "no model 'sam-9000'" in line
    assert "ct-sam3d-small" in line


def test_a_result_in_a_folder_that_does_not_exist_is_refused(case: Any, tmp_path: Path, refused: Any) -> None:
    line = refused(case.image, tmp_path / "none" / "a.seg.nrrd")
    assert "cannot be written" in line
    assert "does not exist" in line


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which not even root can write")
def test_a_result_where_nobody_may_write_is_refused(case: Any, refused: Any) -> None:
    assert "/proc/a.seg.nrrd cannot be written" in refused(case.image, Path("/proc/a.seg.nrrd"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_result_that_is_write_protected_is_refused(case: Any, out: Path, refused: Any) -> None:
    out.chmod(0o444)
    assert "write-protected" in refused(case.image, out)
    assert out.read_bytes() == BEFORE


def test_a_result_of_unknown_type_is_refused(case: Any, tmp_path: Path, refused: Any) -> None:
    line = refused(case.image, tmp_path / "a.stl")
    assert "expected .seg.nrrd" in line


def test_a_result_that_is_a_folder_is_refused(case: Any, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "a.nii.gz").mkdir()
    assert "it is a folder" in refused(case.image, tmp_path / "a.nii.gz")


def test_the_image_itself_is_never_overwritten(case: Any, refused: Any) -> None:
    before = case.image.read_bytes()
    assert "is the image itself" in refused(case.image, case.image)
    assert case.image.read_bytes() == before


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz", ".nii", ".mha"])
def test_a_full_disk_costs_nothing_that_was_there(
    ending: str, case: Any, tmp_path: Path, refused: Any, no_file_above: Any
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    path = folder / f"result{ending}"
    path.write_bytes(BEFORE)
    with no_file_above(300):
        line = refused(case.image, path)
    assert f"{path} cannot be written" in line
    assert path.read_bytes() == BEFORE
    assert list(folder.iterdir()) == [path]


def test_an_earlier_result_that_is_missing_is_refused(case: Any, out: Path, tmp_path: Path, refused: Any) -> None:
    assert "none.seg.nrrd does not exist" in refused(case.image, out, "--continue", tmp_path / "none.seg.nrrd")


def test_an_earlier_result_of_elsewhere_is_refused(case: Any, out: Path, tmp_path: Path, refused: Any) -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = 5000
    grid = Grid((3, 3, 3), matrix)
    write_segmentation(tmp_path / "far.seg.nrrd", np.full((3, 3, 3), 22, np.uint8), grid, spine_labels())
    assert "do not overlap" in refused(case.image, out, "--continue", tmp_path / "far.seg.nrrd")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["segment"], "Missing argument 'IMAGE'"),
        (["segmen"], "No such command 'segmen'"),
        (["info", "a.nii.gz", "--colour"], "--colour"),
        (["simulate", "a", "b", "--clicks", "0"], "--clicks"),
        (["train", "ct-sam3d-huge", "--out", "x"], "no recipe 'ct-sam3d-huge'"),
        (["models", "verify", "sam-9000"], "sam-9000"),
    ],
)
def test_a_command_nobody_knows_is_one_line(
    words: list[str], expected: str, samspine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("SAMSpineLib.models.registry.model_entries", dict)
    ended = samspine(*words)
    assert ended.code == 2
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    assert expected in ended.err
