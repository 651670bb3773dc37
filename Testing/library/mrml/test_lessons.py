"""What a scene teaches: the open volume, and the others in which somebody has labelled the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")

from SAMSpineLib.errors import LabelError
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.lessons import lessons_of
from SAMSpineLib.mrml.segment_labels import add_segment, mark_algorithm, set_status
from SAMSpineLib.mrml.segments import create_segmentation, write
from SAMSpineLib.mrml.volumes import node_from_volume
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.volume import Volume

from .conftest import LATTICES


def labelled(scene: Any, volume: Volume, name: str = "my bones", planes: slice = slice(4, 7)) -> tuple[Any, Any, str]:
    """Add a volume with a segmentation in which a segment has voxels in some slices."""
    volume_node = node_from_volume(scene, volume)
    node = create_segmentation(scene, volume_node, f"of {volume.name}")
    segment_id = add_segment(node, name)
    mask = np.zeros(volume.shape, np.uint8)
    mask[planes, 6:18, 8:20] = 1
    k, j, i = volume.shape
    write(node, segment_id, MaskUpdate(1, mask, (0, i - 1, 0, j - 1, 0, k - 1)), volume.grid)
    return volume_node, node, segment_id


@pytest.fixture
def open_one(scene, make_volume):
    volume_node, node, segment_id = labelled(scene, make_volume())
    return Workbench(volume_node, node), segment_id


def test_alone_the_open_volume_teaches_what_was_painted_in_it(open_one):
    bench, segment_id = open_one
    labels, (lesson,) = lessons_of(bench, [segment_id], complete=True)
    assert [one.name for one in labels] == ["my bones"]
    assert (lesson.subject, lesson.complete) == ("ct", True)
    assert lesson.volume is bench.volume
    assert np.unique(np.nonzero(lesson.labels == labels[0].value)[0]).tolist() == [4, 5, 6]
    assert (lesson.labels != 0).sum() == 3 * 12 * 12


def test_another_volume_with_a_segment_of_that_name_teaches_too_as_a_subject_of_its_own(scene, open_one, make_volume):
    bench, segment_id = open_one
    other = make_volume(LATTICES["LPS"])
    _, node, corrected = labelled(scene, other, planes=slice(10, 12))
    labelled(scene, make_volume(LATTICES["RAS"]), name="something else")
    (label,), (here, there) = lessons_of(bench, [segment_id])
    assert (here.subject, there.subject) == ("ct", "ct (2)")
    np.testing.assert_array_equal(there.volume.array, other.array)
    assert np.unique(np.nonzero(there.labels == label.value)[0]).tolist() == [10, 11]
    assert not there.complete
    set_status(node, corrected, "completed")
    assert lessons_of(bench, [segment_id])[1][1].complete


def test_what_was_found_by_itself_elsewhere_teaches_only_once_somebody_had_a_hand_in_it(scene, open_one, make_volume):
    bench, segment_id = open_one
    _, node, found = labelled(scene, make_volume(LATTICES["LPS"]))
    mark_algorithm(node, found, "AUTOMATIC", "SAMSpine")
    assert len(lessons_of(bench, [segment_id])[1]) == 1
    mark_algorithm(node, found, "SEMIAUTOMATIC", "SAMSpine")
    assert len(lessons_of(bench, [segment_id])[1]) == 2
    mark_algorithm(node, found, "AUTOMATIC", "SAMSpine")
    set_status(node, found, "completed")
    assert len(lessons_of(bench, [segment_id])[1]) == 2


def test_a_volume_with_two_segmentations_teaches_once(scene, open_one):
    bench, segment_id = open_one
    second = create_segmentation(scene, bench.volume_node, "second")
    add_segment(second, "my bones")
    assert len(lessons_of(bench, [segment_id])[1]) == 1


def test_a_segment_that_is_empty_in_the_open_volume_teaches_nothing(scene, open_one, make_volume):
    labelled(scene, make_volume(LATTICES["LPS"]), name="L3")
    bench, _ = open_one
    empty = add_segment(bench.node, "L3")
    with pytest.raises(LabelError, match="Paint the structure in some slices first"):
        lessons_of(bench, [empty])
