"""What a set of files is taken for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from SAMSpineLib.app.loading import found_in, numberings_of, read_image, read_labels_on
from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io import write_segmentation, write_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid, Volume


@pytest.fixture
def an_image(tmp_path: Path) -> Path:
    path = tmp_path / "ct.nii.gz"
    write_volume(path, Volume.from_array(np.zeros((4, 5, 6), np.int16), np.eye(4)))
    return path


@pytest.mark.parametrize("name", ["spine.seg.nrrd", "ct_seg-vert_msk.nii.gz", "ct_labels.nii.gz"])
def test_a_segmentation_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert found_in(tmp_path).is_segmentation
    assert not found_in(tmp_path, kind="volume").is_segmentation


def test_an_image_is_found_in_its_folder(an_image: Path) -> None:
    found = found_in(an_image.parent)
    assert found.path == an_image
    assert not found.is_segmentation
    assert found_in(an_image.parent, kind="segmentation").is_segmentation
    volume, name, notices = read_image(found)
    assert (volume.shape, name, notices) == ((4, 5, 6), "ct", ())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="no file"):
        found_in(tmp_path)


def test_labels_are_brought_onto_the_image_that_is_open(tmp_path: Path) -> None:
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = spine_labels().by_name("L3").value
    path = tmp_path / "l3.seg.nrrd"
    write_segmentation(path, labels, Grid((4, 5, 6), np.eye(4)), spine_labels())
    assert np.array_equal(read_labels_on(path, spine_labels(), Grid((4, 5, 6), np.eye(4))), labels)
    far = np.eye(4)
    far[:3, 3] = 500
    with pytest.raises(VolumeError, match="open its own image first"):
        read_labels_on(path, spine_labels(), Grid((4, 5, 6), far))


def a_label_map(path: Path, values: tuple[int, ...]) -> Path:
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[0, 0, : len(values)] = values
    write_volume(path, Volume.from_array(labels, np.eye(4)))
    return path


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((20, 24), ["VerSe: L1, L5"]),  # SAMSpine's own numbers say the same
        ((29, 31), ["TotalSegmentator: L3, L1"]),
        ((27, 28), ["VerSe: coccyx, T13", "TotalSegmentator: L5, L4"]),
    ],
)
def test_a_label_map_without_names_has_the_numberings_that_fit(
    tmp_path: Path, values: tuple[int, ...], texts: list[str]
) -> None:
    path = a_label_map(tmp_path / "map.nii.gz", values)
    found = [one.text.casefold() for one in numberings_of(path, spine_labels())]
    assert [one for one in found if not one.startswith("samspine")] == [one.casefold() for one in texts]


def test_the_numbering_that_was_chosen_counts(tmp_path: Path) -> None:
    path, grid = a_label_map(tmp_path / "map.nii.gz", (27, 28)), Grid((4, 5, 6), np.eye(4))
    found = read_labels_on(path, spine_labels(), grid, ids="totalsegmentator")
    assert [spine_labels().by_value(int(one)).name for one in found[0, 0, :2]] == ["L5", "L4"]


def test_names_beside_a_label_map_spare_the_question(tmp_path: Path) -> None:
    path, labels = tmp_path / "l3.nii.gz", np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = spine_labels().by_name("L3").value
    write_segmentation(path, labels, Grid((4, 5, 6), np.eye(4)), spine_labels())
    assert numberings_of(path, spine_labels()) == ()


def test_numbers_that_nobody_knows_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="VerSe, TotalSegmentator, SAMSpine know, but 250"):
        numberings_of(a_label_map(tmp_path / "map.nii.gz", (250,)), spine_labels())


def test_an_unpacked_scene_is_found_by_its_description(tmp_path: Path) -> None:
    scene = tmp_path / "spine" / "spine.mrml"
    (scene.parent / "Data").mkdir(parents=True)
    scene.write_text("<MRML/>")
    (scene.parent / "Data" / "ct_seg.nrrd").write_bytes(b"x")
    found = found_in(tmp_path)
    assert (found.path, found.is_scene, found.is_segmentation) == (scene, True, False)
