"""What is saved, opened again elsewhere: on the page with a DICOM series, in the order in which a person does it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .appdriver import Case, Screen, screen_on, serve, upload, write_series

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def a_series(a_phantom: Case, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The phantom as DICOM files; its grid is that of the files as they are read."""
    pytest.importorskip("highdicom", reason="needs the extra `dicom`")
    from SAMSpineLib.io import place_labels, read_volume

    folder = tmp_path_factory.mktemp("dicom")
    write_series(folder, read_volume(a_phantom.path))
    grid = read_volume(folder).grid
    return Case(folder, place_labels(a_phantom.labels, a_phantom.grid, grid), grid)


@pytest.fixture(scope="module")
def a_screen(a_series: Case, a_browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    with serve(tmp_path_factory.mktemp("served"), str(a_series.path)) as served:
        yield screen_on(a_browser, served)


@pytest.fixture(scope="module")
def what_was_saved(a_screen: Screen, a_series: Case, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Click on L3, and in front of it to take something away; return the label map (K, J, I) of what that made."""
    place = a_series.centre("L3")
    a_screen.show("Red", place)
    a_screen.choose("positivePoint")
    a_screen.after(lambda: a_screen.click("Red", place))
    folder = tmp_path_factory.mktemp("first")
    without = a_screen.labels(folder, a_series)
    assert without.any()
    a_screen.choose("negativePoint")
    a_screen.after(lambda: a_screen.click("Red", place + [0.0, 12.0, 0.0]))
    return a_screen.labels(folder, a_series)


def test_simpleitk_reads_label_map_and_segmentation(
    a_screen: Screen, a_series: Case, what_was_saved: np.ndarray, tmp_path: Path
) -> None:
    import SimpleITK as sitk

    with zipfile.ZipFile(a_screen.saved("nifti", tmp_path)) as packed:
        packed.extractall(tmp_path)
    image = sitk.ReadImage(str(next(tmp_path.glob("*.nii.gz"))))
    assert np.array_equal(sitk.GetArrayFromImage(image), what_was_saved)
    corner = np.array(image.TransformIndexToPhysicalPoint((3, 2, 1))) * [-1, -1, 1]
    assert np.allclose(corner, a_series.grid.to_ras([3, 2, 1]), atol=1e-3)
    segmentation = sitk.ReadImage(str(a_screen.saved("seg.nrrd", tmp_path)))
    assert segmentation.GetMetaData("Segment0_Name") == "L3"
    assert np.array_equal(sitk.GetArrayFromImage(segmentation), what_was_saved)


def test_highdicom_reads_the_dicom_seg_with_its_places_and_codes(
    a_screen: Screen, a_series: Case, what_was_saved: np.ndarray, tmp_path: Path
) -> None:
    import highdicom as hd

    from SAMSpineLib.io.dicom_seg import read_dicom_source
    from SAMSpineLib.labels import spine_labels

    found = hd.seg.segread(a_screen.saved("dicom-seg", tmp_path))
    (described,) = map(found.get_segment_description, found.segment_numbers)
    code = described.segmented_property_type
    assert (described.segment_label, code.value) == ("L3", spine_labels().by_name("L3").code)
    assert described.algorithm_type.value == "SEMIAUTOMATIC"
    headers = read_dicom_source(a_series.path).headers
    assert {uid for _, _, uid in found.get_source_image_uids()} <= {str(one.SOPInstanceUID) for one in headers}
    assert found.StudyInstanceUID == headers[0].StudyInstanceUID
    volume = found.get_volume(combine_segments=True)
    lps = np.argwhere(volume.array > 0) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    voxels = a_series.grid.to_ijk(lps * [-1, -1, 1])
    mask = np.zeros(a_series.grid.shape, bool)
    mask[tuple(voxels.round().astype(int)[:, ::-1].T)] = True
    assert np.abs(voxels - voxels.round()).max() < 0.01
    assert np.array_equal(mask, what_was_saved > 0)


def test_a_surface_lies_where_the_segment_is_and_holds_as_much(
    a_screen: Screen, a_series: Case, what_was_saved: np.ndarray, tmp_path: Path
) -> None:
    from .stl import read_stl, volume_of

    with zipfile.ZipFile(a_screen.saved("stl", tmp_path)) as packed:
        assert packed.namelist() == ["L3.stl"]
        packed.extractall(tmp_path)
    header, triangles = read_stl(tmp_path / "L3.stl")
    assert "SPACE=LPS" in header
    corners = triangles.reshape(-1, 3) * [-1, -1, 1]
    places = a_series.grid.to_ras(np.argwhere(what_was_saved)[:, ::-1])
    spacing = a_series.grid.spacing.max()
    assert np.abs(corners.min(axis=0) - places.min(axis=0)).max() < spacing
    assert np.abs(corners.max(axis=0) - places.max(axis=0)).max() < spacing
    expected = np.count_nonzero(what_was_saved) * a_series.grid.voxel_volume
    assert volume_of(triangles) == pytest.approx(expected, rel=0.05)


def test_slicer_reads_the_bundle_with_image_segments_and_prompts(
    a_screen: Screen, a_series: Case, what_was_saved: np.ndarray, tmp_path: Path
) -> None:
    from SAMSpineLib.io import read_volume
    from SAMSpineLib.mrml.prompt_log import prompts_in
    from SAMSpineLib.mrml.scene import headless_scene
    from SAMSpineLib.mrml.segments import read_segment
    from SAMSpineLib.mrml.volumes import volume_from_node

    with zipfile.ZipFile(a_screen.saved("mrb", tmp_path)) as packed:
        packed.extractall(tmp_path)
    scene = headless_scene()
    scene.SetURL(str(next(tmp_path.rglob("*.mrml"))))
    assert scene.Import()
    state = scene.GetSingletonNode("SAMSpine", "vtkMRMLScriptedModuleNode")
    image, node = state.GetNodeReference("inputVolume"), state.GetNodeReference("segmentation")
    volume = volume_from_node(image)
    assert np.array_equal(volume.array, read_volume(a_series.path).array)
    assert volume.grid.same_place(a_series.grid)
    assert np.array_equal(read_segment(node, "L3", a_series.grid), what_was_saved > 0)
    assert state.GetParameter("selectedSegmentId") == "L3"
    (prompts,) = prompts_in(state.GetParameter("promptLog"), node.GetID())
    assert [one.positive for one in prompts.prompts] == [True, False]
    assert np.linalg.norm(np.array(prompts.prompts[0].places[0]) - a_series.centre("L3")) < 2


def test_the_bundle_opens_in_the_app_and_its_prompts_go_on(
    a_screen: Screen, a_series: Case, what_was_saved: np.ndarray, tmp_path: Path
) -> None:
    place = a_series.centre("L3")
    bundle = a_screen.saved("mrb", tmp_path)
    a_screen.choose("negativePoint")
    a_screen.after(lambda: a_screen.click("Red", place + [0.0, 12.0, 0.0]))  # on its marker
    one_click = a_screen.labels(tmp_path, a_series)
    assert not np.array_equal(one_click, what_was_saved)
    upload(a_screen, [bundle])
    a_screen.wait("state('message').includes('segments to go on with: 1')")
    a_screen.wait_idle()
    assert a_screen.state("selected") == "L3"
    assert np.array_equal(a_screen.labels(tmp_path, a_series), what_was_saved)
    a_screen.show("Red", place)
    a_screen.wait("state('markers_Red').length === 2")
    a_screen.after(lambda: a_screen.click("Red", place + [0.0, 12.0, 0.0]))
    assert np.array_equal(a_screen.labels(tmp_path, a_series), one_click)


def test_a_volume_of_no_dicom_series_says_so_instead(a_screen: Screen) -> None:
    a_screen.page.evaluate("window.samspine.save('dicom-seg')")
    a_screen.wait("state('message').includes('open the DICOM files, or save another format')")
    a_screen.forgive("400")
