"""A DICOM SEG, read again with highdicom: the voxels, places and codes that went in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io import read_volume
from SAMSpineLib.io.dicom_seg import PRIVATE_SCHEME, DicomSource, read_dicom_source, write_dicom_seg
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.volume import Grid

hd = pytest.importorskip("highdicom", reason="needs the extra `dicom`")

STORED = np.random.default_rng(3).integers(0, 4000, (6, 5, 4)).astype(np.uint16)
L3, L4, L6 = (spine_labels().by_name(name) for name in ("L3", "L4", "L6"))
UIDS = {"FrameOfReferenceUID": "1.2.3.77"}


def some_labels() -> np.ndarray:
    labels = np.zeros(STORED.shape, np.uint8)
    labels[1:4, 1:3, 0:2], labels[2:6, 3:5, 1:4], labels[5, 0, 0] = L3.value, L4.value, L6.value
    return labels


def voxels_in(path: Path, grid: Grid) -> dict[str, np.ndarray]:
    """Return each segment's mask (K, J, I) on a grid, found by the places that the file gives its voxels."""
    found = hd.seg.segread(path)
    masks = {}
    for number in found.segment_numbers:
        volume = found.get_volume(segment_numbers=[number], combine_segments=True)
        index = np.argwhere(volume.array > 0)
        lps = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        mask = np.zeros(grid.shape, bool)
        for place in lps * [-1, -1, 1]:
            voxel = grid.voxel_at(place)
            assert voxel is not None
            assert np.allclose(grid.to_ras(np.array(voxel)[::-1]), place, atol=1e-3)
            mask[voxel] = True
        masks[found.get_segment_description(number).segment_label] = mask
    return masks


@pytest.mark.parametrize(
    ("orientation", "step"), [((1, 0, 0, 0, 1, 0), (0.0, 0.0, 2.0)), ((0, 1, 0, 0, 0, -1), (-3.0, 0.0, 0.0)),
                              ((0.8, 0.6, 0, 0, 0, -1), (1.2, -1.6, 0.0))],
)  # fmt: skip
def test_every_voxel_comes_back_at_its_place(
    make_series: Callable[..., Path], tmp_path: Path, orientation: tuple[float, ...], step: tuple[float, ...]
) -> None:
    positions = [(5.0 + k * step[0], 1.0 + k * step[1], 90.0 + k * step[2]) for k in range(len(STORED))]
    folder = make_series(STORED, orientation=orientation, positions=positions, **UIDS)
    grid, labels = read_volume(folder).grid, some_labels()
    path = tmp_path / "spine.dcm"
    write_dicom_seg(path, labels, grid, spine_labels(), read_dicom_source(folder))
    masks = voxels_in(path, grid)
    assert set(masks) == {"L3", "L4", "L6"}
    for label in (L3, L4, L6):
        assert np.array_equal(masks[label.name], labels == label.value)


def test_names_codes_and_how_they_were_made_come_back(make_series: Callable[..., Path], tmp_path: Path) -> None:
    folder, path = make_series(STORED, **UIDS), tmp_path / "spine.dcm"
    source = read_dicom_source(folder)
    kinds = {L3.value: "AUTOMATIC", L4.value: "MANUAL"}
    write_dicom_seg(path, some_labels(), read_volume(folder).grid, spine_labels(), source, kinds)
    found = hd.seg.segread(path)
    described = {one.segment_label: one for one in map(found.get_segment_description, found.segment_numbers)}
    assert [described[name].segmented_property_type.value for name in ("L3", "L4")] == [L3.code, L4.code]
    assert described["L3"].segmented_property_type.scheme_designator == "SCT"
    assert described["L3"].segmented_property_category.value == "123037004"
    assert described["L6"].segmented_property_type.scheme_designator == PRIVATE_SCHEME
    made = {name: one.algorithm_type.value for name, one in described.items()}
    assert made == {"L3": "AUTOMATIC", "L4": "MANUAL", "L6": "SEMIAUTOMATIC"}


def test_it_belongs_to_the_study_and_images_it_was_made_on(make_series: Callable[..., Path], tmp_path: Path) -> None:
    folder, path = make_series(STORED, **UIDS), tmp_path / "spine.dcm"
    source = read_dicom_source(folder)
    write_dicom_seg(path, some_labels(), read_volume(folder).grid, spine_labels(), source)
    found = hd.seg.segread(path)
    assert (found.StudyInstanceUID, found.FrameOfReferenceUID, found.Modality) == ("1.2.3", "1.2.3.77", "SEG")
    referred = {uid for _, _, uid in found.get_source_image_uids()}
    assert referred == {str(one.SOPInstanceUID) for one in source.headers}
    assert found.SeriesInstanceUID != "1.2.3.4"


def test_a_straightened_series_keeps_the_grid_that_was_segmented(
    make_series: Callable[..., Path], tmp_path: Path
) -> None:
    positions = [(-10.0, -20.0 + 0.5 * k, 30.0 + 2.0 * k) for k in range(len(STORED))]
    folder, path = make_series(STORED, positions=positions, **UIDS), tmp_path / "spine.dcm"
    grid = read_volume(folder).grid
    labels = np.zeros(grid.shape, np.uint8)
    labels[1:4, 2:5, 1:3] = L3.value
    write_dicom_seg(path, labels, grid, spine_labels(), read_dicom_source(folder))
    assert np.array_equal(voxels_in(path, grid)["L3"], labels == L3.value)


def test_files_without_identifiers_are_refused_by_name(make_series: Callable[..., Path]) -> None:
    with pytest.raises(VolumeError, match="000.dcm lacks FrameOfReferenceUID"):
        read_dicom_source(make_series(STORED))


def test_nothing_segmented_and_unknown_values_are_refused(make_series: Callable[..., Path], tmp_path: Path) -> None:
    folder, path = make_series(STORED, **UIDS), tmp_path / "spine.dcm"
    grid, source = read_volume(folder).grid, read_dicom_source(folder)
    with pytest.raises(LabelError, match="segment something first"):
        write_dicom_seg(path, np.zeros(grid.shape, np.uint8), grid, spine_labels(), source)
    with pytest.raises(LabelError, match="999"):
        write_dicom_seg(path, np.full(grid.shape, 999, np.uint16), grid, spine_labels(), source)
    assert not path.exists()


def test_a_structure_of_the_users_own_is_a_segment_too(make_series: Callable[..., Path], tmp_path: Path) -> None:
    folder, path = make_series(STORED, **UIDS), tmp_path / "spine.dcm"
    grid, own = read_volume(folder).grid, Label(1000, "cyst", "cyst", "custom", (200, 10, 10))
    labels = np.zeros(grid.shape, np.uint16)
    labels[2, 2, 2] = own.value
    source: DicomSource = read_dicom_source(folder)
    write_dicom_seg(path, labels, grid, [*spine_labels(), own], source)
    assert np.array_equal(voxels_in(path, grid)["cyst"], labels == own.value)
