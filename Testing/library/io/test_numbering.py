"""Label maps in any numbering, and in none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SAMSpineLib.errors import LabelError
from SAMSpineLib.io.label_map import write_labels_table
from SAMSpineLib.io.numbering import read_named_labels
from SAMSpineLib.io.writing import write_segmentation
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.volume import Grid

TABLE = spine_labels()


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    """Give a label map whose values mean nothing in VerSe's numbering."""
    array = np.zeros((4, 5, 6), np.uint16)
    array[1], array[2], array[3] = 77, 2, 999
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "instances.nii.gz"))
    return tmp_path / "instances.nii.gz"


def test_without_a_numbering_every_value_is_a_structure_named_after_it(instances: Path) -> None:
    found = read_named_labels(instances, TABLE, ids="none")
    assert found.table.names == ("2", "77", "999")
    assert np.unique(found.volume.array).tolist() == [0, 2, 77, 999]
    assert found.table.by_name("77").value == 77


def test_in_a_numbering_the_table_is_ours_and_what_it_lacks_is_left_out(instances: Path) -> None:
    found = read_named_labels(instances, TABLE, ids="verse")
    assert found.table is TABLE
    assert np.unique(found.volume.array).tolist() == [0, 2]


def test_a_table_beside_the_map_names_its_values_where_there_is_no_numbering(instances: Path) -> None:
    names = [Label(77, "left psoas", "left psoas", "", (1, 2, 3)), Label(2, "L3", "L3", "", (4, 5, 6))]
    write_labels_table(instances.with_name("instances.labels.csv"), names)
    found = read_named_labels(instances, TABLE, ids="none")
    assert set(found.table.names) == {"left psoas", "L3", "label 999"}
    l3, psoas = TABLE.by_name("L3").value, found.table.by_name("left psoas")
    assert (found.volume.array[2] == l3).all()
    assert (found.volume.array[1] == psoas.value).all()
    assert psoas.colour == (1, 2, 3)


def test_segments_keep_their_own_names_where_there_is_no_numbering(tmp_path: Path) -> None:
    own = [*TABLE, Label(40000, "psoas", "psoas", "", (1, 2, 3))]
    array = np.zeros((3, 4, 5), np.uint16)
    array[1], array[2] = 22, 40000
    write_segmentation(tmp_path / "own.seg.nrrd", array, Grid(array.shape, np.eye(4)), own)
    found = read_named_labels(tmp_path / "own.seg.nrrd", TABLE, ids="none")
    assert set(found.table.names) == {"L3", "psoas"}
    assert (found.volume.array == found.table.by_name("psoas").value).sum() == 20


def test_two_structures_of_one_name_are_refused(instances: Path) -> None:
    names = [Label(value, "twin", "twin", "", (1, 2, 3)) for value in (77, 999)]
    write_labels_table(instances.with_name("instances.labels.csv"), names)
    with pytest.raises(LabelError, match="twin"):
        read_named_labels(instances, TABLE, ids="none")


def test_all_that_a_mask_marks_may_be_one_structure(instances: Path) -> None:
    found = read_named_labels(instances, TABLE, ids="any")
    assert found.table.names == ("structure",)
    assert found.volume.array.dtype == np.uint8
    assert found.volume.array[:, 0, 0].tolist() == [0, 1, 1, 1]
