"""What the bundled network does on real patients. The thresholds are floors, well below what it reaches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.cli import run
from SAMSpineLib.engine.session import Session
from SAMSpineLib.evaluation.metrics import dice
from SAMSpineLib.io import list_series, place_labels, read_segmentation, read_volume, write_segmentation
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Box, Point, Prompt
from SAMSpineLib.volume import Volume

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

L3, T9 = spine_labels().by_name("L3"), spine_labels().by_name("T9")
LUMBAR, LUMBAR_TRUTH = "ct/sub-verse014/sub-verse014_ct.nii.gz", "ct/sub-verse014/sub-verse014_seg-vert_msk.nii.gz"
CHEST, CHEST_TRUTH = "ct/LIDC-IDRI-0001/dicom", "ct/LIDC-IDRI-0001/vertebrae_verse-ids.nii.gz"
IN_L3, AROUND_L3 = Point((21.0, -171.0, -132.0)), Box((-24.0, -244.0, -158.0), (63.0, -150.0, -113.0))
IN_T9 = Point((1.0, -74.0, -185.0))


@pytest.fixture(scope="module")
def model() -> Any:
    """Give the bundled network, or skip where torch is not installed."""
    pytest.importorskip("torch", reason="needs torch")
    from SAMSpineLib.models.build import build_promptable

    return build_promptable()


def answered(model: Any, volume: Volume, prompt: Prompt) -> np.ndarray:
    """Return the label map that one prompt for L3 gives."""
    session = Session(model)
    session.set_volume(volume)
    session.select(L3)
    session.add(prompt)
    return session.result


@pytest.mark.parametrize(("prompt", "floor"), [(IN_L3, 0.8), (AROUND_L3, 0.75)], ids=["click", "box"])
def test_one_prompt_gives_the_third_lumbar_vertebra(prompt: Prompt, floor: float, model: Any, data_dir: Path) -> None:
    found = answered(model, read_volume(data_dir / LUMBAR), prompt)
    truth = read_volume(data_dir / LUMBAR_TRUTH).array
    assert dice(found == L3.value, truth == L3.value) >= floor
    assert dice(found == L3.value, truth > 0) < 0.5, "it is one vertebra, not the spine"


def test_slicer_reads_name_colour_code_and_voxels_of_a_real_result(model: Any, data_dir: Path, tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer", reason="needs slicer-core")
    vtk = pytest.importorskip("vtk")
    volume = read_volume(data_dir / LUMBAR)
    found = answered(model, volume, IN_L3)
    write_segmentation(tmp_path / "l3.seg.nrrd", found, volume.grid, spine_labels())
    scene = slicer.vtkMRMLScene()
    node, storage = (scene.AddNewNodeByClass(f"vtkMRMLSegmentation{kind}Node") for kind in ("", "Storage"))
    storage.SetFileName(str(tmp_path / "l3.seg.nrrd"))
    assert storage.ReadData(node) == 1
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 1
    segment, tag = segmentation.GetNthSegment(0), vtk.reference("")
    assert segment.GetName() == "L3"
    assert [round(255 * part) for part in segment.GetColor()] == list(L3.colour)
    assert segment.GetTag("TerminologyEntry", tag)
    assert "SCT^36470004^L3 vertebra" in str(tag)
    back = read_segmentation(tmp_path / "l3.seg.nrrd")
    np.testing.assert_array_equal(place_labels(back.labels, back.grid, volume.grid), found)


def test_a_dicom_folder_is_opened_and_one_click_gives_the_ninth_thoracic_vertebra(model: Any, data_dir: Path) -> None:
    assert [series.slices for series in list_series(data_dir / CHEST)] == [133]
    volume = read_volume(data_dir / CHEST)
    assert volume.shape == (133, 512, 512)
    session = Session(model)
    session.set_volume(volume)
    session.select(T9)
    session.add(IN_T9)
    mask = read_volume(data_dir / CHEST_TRUTH)
    truth = place_labels(mask.array, mask.grid, volume.grid) == T9.value
    assert dice(session.mask(T9.value), truth) >= 0.75


def test_a_simulation_prints_one_object_with_a_curve_for_each_label(
    model: Any, data_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", data_dir / LUMBAR, data_dir / LUMBAR_TRUTH, "--clicks", "1", "--labels", "L3", "--json"]
    capfd.readouterr()
    assert run([str(word) for word in words]) == 0
    found = json.loads(capfd.readouterr().out)["labels"]
    assert list(found) == ["L3"]
    assert {name: len(values) for name, values in found["L3"].items()} == {"dice": 1, "nsd_2mm": 1, "seconds": 1}
    assert found["L3"]["dice"][0] >= 0.75
    assert found["L3"]["seconds"][0] > 0


def test_two_label_maps_of_one_patient_in_two_numberings_are_the_same_vertebrae(data_dir: Path) -> None:
    from SAMSpineLib.io.numbering import read_labels

    folder = data_dir / "ct/LIDC-IDRI-0001"
    verse = read_labels(folder / "vertebrae_verse-ids.nii.gz", spine_labels(), ids="verse").volume.array
    other = read_labels(folder / "totalsegmentator_mask.nii.gz", spine_labels(), ids="totalsegmentator").volume.array
    np.testing.assert_array_equal(np.where(verse > 0, other, 0), verse)
    assert set(np.unique(verse)) == {0, *range(5, 23)}
