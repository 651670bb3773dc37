"""What a set of files is taken for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from SAMSpineLib.app.loading import found_in, read_image, read_labels_on
from SAMSpineLib.errors import VolumeError
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
