"""DICOM folders: the right geometry, a stated repair, or a clear refusal."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from SAMSpineLib.errors import GeometryError, VolumeError
from SAMSpineLib.io import list_series, read_volume, read_with_notices

if TYPE_CHECKING:
    from collections.abc import Callable

pydicom = pytest.importorskip("pydicom")

STORED = np.random.default_rng(3).integers(0, 4000, (6, 5, 4)).astype(np.uint16)


def test_a_voxel_lies_where_its_slice_says(make_series: Callable[..., Path]) -> None:
    volume = read_volume(make_series(STORED))
    assert volume.modality == "CT"
    assert volume.name == "Spine 2.0"
    # Column 3, row 2 of slice 4: 3 x 0.5 mm to the left and 2 x 0.8 mm to the back of its position.
    assert volume.grid.voxel_at((10.0 - 1.5, 20.0 - 1.6, 38.0)) == (4, 2, 3)
    assert np.array_equal(volume.array, STORED)
    assert np.allclose(volume.grid.spacing, [0.5, 0.8, 2.0])


def test_neither_names_nor_order_of_writing_matter(make_series: Callable[..., Path]) -> None:
    names = ["z.dcm", "b", "10.dcm", "9.dcm", "a.ima", "c.dcm"]
    shuffled = read_volume(make_series(STORED, "shuffled", names=names))
    upside_down = read_volume(
        make_series(STORED[::-1], "down", positions=[(-10.0, -20.0, 40.0 - 2.0 * k) for k in range(6)])
    )
    for volume in (shuffled, upside_down):
        assert np.array_equal(volume.array, STORED)
        assert np.allclose(volume.grid.to_ras([0, 0, 0]), [10.0, 20.0, 30.0])


def test_a_sagittal_series_stands_where_it_was_acquired(make_series: Callable[..., Path]) -> None:
    # Rows run to the back and columns to the feet; the normal is row x column, to the right.
    positions = [(5.0 - 3.0 * k, 0.0, 90.0) for k in range(6)]
    volume = read_volume(make_series(STORED, orientation=(0, 1, 0, 0, 0, -1), positions=positions))
    assert np.array_equal(volume.array, STORED)
    k, j, i = volume.grid.voxel_at((-5.0 + 3.0 * 2, -0.5 * 3, 90.0 - 0.8 * 4)) or (-1, -1, -1)
    assert (k, j, i) == (2, 4, 3)


def test_rescaling_is_applied_and_never_overflows(make_series: Callable[..., Path]) -> None:
    stored = np.array([[[0, 40000], [65535, 1024]]], dtype=np.uint16)
    volume = read_volume(make_series(stored, RescaleIntercept=-1024))
    assert volume.array.tolist() == [[[-1024, 38976], [64511, 0]]]
    small = read_volume(make_series(stored // 32, "small", RescaleIntercept=-1024))
    assert small.array.dtype == np.int16
    half = read_volume(make_series(stored, "half", RescaleSlope=0.5, RescaleIntercept=-1000.25))
    assert np.allclose(half.array, stored * 0.5 - 1000.25)


def test_each_slice_keeps_its_own_rescaling(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED)
    data = pydicom.dcmread(folder / "002.dcm")
    data.RescaleSlope, data.RescaleIntercept = 2.5, -7
    data.save_as(folder / "002.dcm")
    result = read_with_notices(folder)
    assert np.allclose(result.volume.array[2], STORED[2] * 2.5 - 7)
    assert np.array_equal(result.volume.array[3], STORED[3])
    assert "Rescale slopes differ" in " ".join(result.notices)


def test_two_series_are_listed_and_one_is_chosen_by_uid_number_or_place(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED, SeriesInstanceUID="1.2.3.9", SeriesNumber=12, SeriesDescription="Lung")
    make_series(STORED + 1, names=[f"b{k}.dcm" for k in range(6)])
    infos = list_series(folder)
    assert [(one.index, one.number, one.uid) for one in infos] == [(1, 7, "1.2.3.4"), (2, 12, "1.2.3.9")]
    assert [one.slices for one in infos] == [6, 6]
    assert infos[0].shape == (6, 5, 4)
    assert infos[0].spacing == pytest.approx((0.5, 0.8, 2.0))
    with pytest.raises(VolumeError, match=r"2 DICOM series; choose one .*1\.2\.3\.4.*Lung.*1\.2\.3\.9"):
        read_volume(folder)
    for choice in ("1.2.3.9", 12, "12", 2):
        assert np.array_equal(read_volume(folder, series=choice).array, STORED)
    with pytest.raises(VolumeError, match=r"no series '99'.*1\.2\.3\.4"):
        read_volume(folder, series=99)


def test_a_number_that_two_series_share_does_not_choose(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED, SeriesInstanceUID="1.2.3.9")
    make_series(STORED, names=[f"b{k}.dcm" for k in range(6)])
    with pytest.raises(VolumeError, match="more than one series '7'"):
        read_volume(folder, series=7)


@pytest.mark.parametrize("missing", [1, 3, 4])
def test_a_missing_slice_is_refused_and_its_place_named(make_series: Callable[..., Path], missing: int) -> None:
    folder = make_series(STORED)
    (folder / f"{missing:03}.dcm").unlink()
    place = (
        rf"1 slice\(s\) missing between {missing - 1:03}\.dcm \(at {28 + 2 * missing} mm\) and {missing + 1:03}\.dcm"
    )
    with pytest.raises(GeometryError, match=place):
        read_volume(folder)


def test_uneven_distances_are_refused(make_series: Callable[..., Path]) -> None:
    heights = [0, 2, 4, 6, 7, 8]
    with pytest.raises(GeometryError, match="apart where 2 mm is usual"):
        read_volume(make_series(STORED, positions=[(0, 0, height) for height in heights]))


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even(make_series: Callable[..., Path]) -> None:
    heights = [round(0.625 * k, 1) for k in range(6)]
    volume = read_volume(make_series(STORED, positions=[(0, 0, height) for height in heights]))
    assert volume.grid.spacing[2] == pytest.approx(0.62, abs=0.01)


def test_a_slice_that_is_there_twice_is_used_once(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED)
    shutil.copy(folder / "002.dcm", folder / "copy.dcm")
    result = read_with_notices(folder)
    assert np.array_equal(result.volume.array, STORED)
    assert "1 slice(s) were there twice" in " ".join(result.notices)


def test_two_different_slices_at_one_place_are_refused(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED)
    make_series(STORED[2:3] + 1, positions=[(-10.0, -20.0, 34.0)], names=["other.dcm"])
    with pytest.raises(VolumeError, match=r"same place: 002\.dcm and other\.dcm"):
        read_volume(folder)


def test_mixed_orientations_and_sizes_are_refused(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED)
    make_series(STORED[:1], names=["x.dcm"], orientation=(0, 1, 0, 0, 0, -1))
    with pytest.raises(GeometryError, match=r"different orientations: 000\.dcm and x\.dcm"):
        read_volume(folder)
    make_series(STORED[:1, :3], names=["x.dcm"], positions=[(-10.0, -20.0, 42.0)])
    with pytest.raises(GeometryError, match=r"different sizes \(4 x 5 and 4 x 3\)"):
        read_volume(folder)


def test_localizers_are_left_out_and_told(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED)
    scout = {"orientation": (0, 1, 0, 0, 0, -1), "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "names": ["s.dcm"]}
    make_series(STORED[:1], **scout)
    result = read_with_notices(folder)
    assert np.array_equal(result.volume.array, STORED)
    assert "1 localizer" in " ".join(result.notices)
    with pytest.raises(VolumeError, match="only DICOM localizers"):
        read_volume(make_series(STORED[:1], "scouts", **scout))


@pytest.mark.parametrize("angle", [-20.0, 12.0])
def test_gantry_tilt_is_straightened_and_a_ball_stays_where_it_was(
    make_series: Callable[..., Path], angle: float
) -> None:
    # A bright ball of 8 mm at a known place, sampled on slices that slide against each other as under a tilted gantry.
    ball, slide = np.array([15.0, 18.0, 20.0]), np.tan(np.radians(angle)) * 2.0
    positions = np.array([[0.0, slide * k, 2.0 * k] for k in range(20)])
    k, j, i = np.indices((20, 50, 64))
    place = np.stack([i * 0.5, j * 0.8, np.zeros_like(i)], -1) + positions[k]
    stored = np.where(np.linalg.norm(place - ball, axis=-1) < 8, 1000, 0).astype(np.uint16)
    result = read_with_notices(make_series(stored, positions=positions.tolist()))
    volume = result.volume
    assert f"Gantry tilt of {abs(angle):.1f} degrees" in " ".join(result.notices)
    inside = np.argwhere(volume.array > 500)[:, ::-1]
    centre = volume.grid.to_ras(inside).mean(axis=0)
    assert np.allclose(centre, [-15.0, -18.0, 20.0], atol=0.15)
    assert len(inside) * volume.grid.voxel_volume == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.03)
    # Nothing is cut off: every slice's own field of view is inside the new grid.
    for corner in ([0, 0, 0], [31.5, 39.2, 0]):
        for position in (positions[0], positions[-1]):
            assert volume.grid.voxel_at((np.array(corner) + position) * [-1, -1, 1]) is not None


def test_a_single_file_is_one_slice_and_says_so(make_series: Callable[..., Path]) -> None:
    result = read_with_notices(make_series(STORED) / "003.dcm")
    assert np.array_equal(result.volume.array, STORED[3:4])
    assert np.allclose(result.volume.grid.to_ras([0, 0, 0]), [10.0, 20.0, 36.0])
    assert "one slice" in " ".join(result.notices)


def test_a_folder_without_dicom_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="empty folder"):
        read_volume(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(VolumeError, match=r"no DICOM images.*notes\.txt"):
        read_volume(tmp_path)


def test_text_and_empty_files_beside_the_slices_do_no_harm(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED)
    (folder / "README.txt").write_text("hello")
    (folder / "broken.dcm").write_bytes(b"x" * 300)
    result = read_with_notices(folder)
    assert np.array_equal(result.volume.array, STORED)
    assert "broken.dcm" in " ".join(result.notices)
    assert "README" not in " ".join(result.notices)


@pytest.mark.parametrize("part", [0.5, 0.97])
def test_a_truncated_slice_is_refused_by_name(make_series: Callable[..., Path], part: float) -> None:
    folder = make_series(np.zeros((5, 64, 64), np.uint16))
    whole = (folder / "002.dcm").read_bytes()
    (folder / "002.dcm").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(VolumeError, match=r"002\.dcm is truncated or damaged"):
        read_volume(folder)


@pytest.mark.parametrize(("tags", "words"), [
    ({"NumberOfFrames": 5}, "enhanced .multi-frame. image of 5 frames"),
    ({"SamplesPerPixel": 3}, "colour image"),
    ({"ImagePositionPatient": None}, "does not say where it lies: ImagePositionPatient"),
    ({"PixelSpacing": None}, "PixelSpacing missing"),
])  # fmt: skip
def test_what_is_no_plain_slice_is_refused_by_name(make_series: Callable[..., Path], tags: dict, words: str) -> None:
    with pytest.raises(VolumeError, match=words):
        read_volume(make_series(STORED, **tags))


def test_files_without_uids_are_told_apart_by_number(make_series: Callable[..., Path]) -> None:
    folder = make_series(STORED, SeriesInstanceUID="", SeriesNumber=1)
    make_series(STORED, names=[f"b{k}.dcm" for k in range(6)], SeriesInstanceUID="", SeriesNumber=2)
    assert [one.number for one in list_series(folder)] == [1, 2]
    assert read_volume(folder, series=2).shape == (6, 5, 4)


@pytest.mark.realdata
def test_the_chest_ct_lies_under_its_mask(data_dir: Path) -> None:
    volume = read_volume(data_dir / "ct/LIDC-IDRI-0001/dicom")
    mask = read_volume(data_dir / "ct/LIDC-IDRI-0001/vertebrae_verse-ids.nii.gz")
    assert volume.shape == (133, 512, 512)
    assert volume.array.dtype == np.int16
    # The mask runs the other way along J; each of its corners must be the centre of a voxel of the CT.
    corners = volume.grid.to_ijk(mask.grid.to_ras([[0, 0, 0], [511, 511, 132]]))
    assert np.allclose(corners, [[0, 511, 0], [511, 0, 132]], atol=0.01)
    bone = mask.array[:, ::-1] > 0
    assert volume.array[bone].mean() > 250
    assert volume.array[:, :, ::-1][bone].mean() < 50


@pytest.mark.realdata
def test_jpeg_2000_slices_without_uids_are_read(data_dir: Path) -> None:
    folder = data_dir / "ct/ts_dicom20"
    volume = read_volume(folder / "dicom")
    assert volume.shape == (20, 512, 512)
    assert volume.array.min() == -1024
    assert volume.grid.spacing.tolist() == pytest.approx([0.9765625, 0.9765625, 2.0])


@pytest.mark.realdata
def test_segmentations_beside_the_slices_do_not_disturb_them(data_dir: Path) -> None:
    volume = read_volume(data_dir / "ct/dcmqi_3slice")
    mask = read_volume(data_dir / "ct/dcmqi_3slice/spine_seg.nrrd")
    assert volume.shape == mask.shape == (3, 512, 512)
    assert volume.grid.same_place(mask.grid) or np.allclose(volume.grid.spacing, mask.grid.spacing, atol=1e-3)
