"""Which result belongs to which truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.evaluation.pairs import case_of, pairs_in_folders, pairs_in_manifest, subject_of


def _files(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("sub-verse014_seg-vert_msk.nii.gz", "sub-verse014"),
        ("sub-verse014_ct.nii.gz", "sub-verse014"),
        ("sub-verse014.seg.nrrd", "sub-verse014"),
        ("apo_00001_mask.png", "apo_00001"),
        ("vb3_01_seg.nii.gz", "vb3_01"),
        ("CASE-7_GT.mha", "CASE-7"),
        ("seg.nii.gz", "seg"),
        ("sub-1_ses-2_acq-3_mr.nii", "sub-1_ses-2_acq-3"),
    ],
)
def test_a_case_is_a_name_without_what_the_file_is_of_it(name: str, case: str) -> None:
    assert case_of(Path(name)) == case


def test_a_subject_is_what_bids_names_or_the_case() -> None:
    assert subject_of("sub-1_ses-2") == "sub-1"
    assert subject_of("apo_00001") == "apo_00001"


def test_folders_are_paired_by_case(tmp_path: Path) -> None:
    results = _files(tmp_path / "r", "sub-1_ses-1.seg.nrrd", "Sub-2.nii.gz", "sub-9.nii.gz", "notes.txt", ".hidden.nii")
    truths = _files(tmp_path / "t", "sub-1_ses-1_msk.nii.gz", "sub-2_seg.nii.gz")
    images = _files(tmp_path / "i", "sub-2_ct.nii.gz")
    pairs, without = pairs_in_folders(results, truths, images, ids="verse")
    assert [(one.name, one.subject, one.prediction.name) for one in pairs] == [
        ("sub-1_ses-1", "sub-1", "sub-1_ses-1.seg.nrrd"),
        ("sub-2", "sub-2", "Sub-2.nii.gz"),
    ]
    assert [one.image and one.image.name for one in pairs] == [None, "sub-2_ct.nii.gz"]
    assert {one.ids for one in pairs} == {"verse"}
    assert without == ("sub-9.nii.gz",)


def test_a_truth_without_a_result_and_two_files_of_one_case_are_refused(tmp_path: Path) -> None:
    results = _files(tmp_path / "r", "a.nii.gz")
    with pytest.raises(VolumeError, match=r"no result for b_seg\.nii\.gz"):
        pairs_in_folders(results, _files(tmp_path / "t", "a_seg.nii.gz", "b_seg.nii.gz"))
    with pytest.raises(VolumeError, match="both belong to case 'a'"):
        pairs_in_folders(results, _files(tmp_path / "two", "a_seg.nii.gz", "a_gt.nii.gz"))
    with pytest.raises(VolumeError, match="holds no image"):
        pairs_in_folders(results, _files(tmp_path / "none", "a.txt"))
    with pytest.raises(VolumeError, match="is no folder"):
        pairs_in_folders(results, tmp_path / "nowhere")


def test_a_manifest_names_paths_subjects_and_numberings(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "prediction,truth,subject,image,ids,prediction_ids\nr/a.nii,t/a_seg.nii,ann,i.nii,any,\n/x/b.nii,t/b.nii,,,,none\n"
    )
    first, second = pairs_in_manifest(path, ids="verse", prediction_ids="samspine")
    assert (first.prediction, first.truth, first.image) == (
        tmp_path / "r/a.nii",
        tmp_path / "t/a_seg.nii",
        tmp_path / "i.nii",
    )
    assert (first.name, first.subject, first.ids, first.prediction_ids) == ("a", "ann", "any", "samspine")
    assert (second.prediction, second.image, second.subject) == (Path("/x/b.nii"), None, "b")
    assert (second.ids, second.prediction_ids) == ("verse", "none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs the columns"),
        ("prediction,labels\na,b\n", "needs the columns"),
        ("prediction,truth\na,\n", "row 1: expected the paths"),
        ("prediction,truth,ids\na,b,mine\n", "no numbering 'mine'"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(VolumeError, match=said):
        pairs_in_manifest(tmp_path / "list.csv")
    with pytest.raises(VolumeError, match="does not exist"):
        pairs_in_manifest(tmp_path / "none.csv")
