"""Every file that holds a volume, and every file that does not."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SAMSpineLib.errors import GeometryError, VolumeError
from SAMSpineLib.io import read_volume, read_with_notices, write_volume
from SAMSpineLib.volume import Grid, Volume

FILES = ("ct.nii", "ct.nii.gz", "ct.nrrd", "ct.nhdr", "ct.mha", "ct.mhd")


@pytest.fixture
def image() -> sitk.Image:
    voxels = np.random.default_rng(1).integers(-1000, 3000, (5, 6, 7)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.7, 0.7, 2.5))
    image.SetOrigin((-80.0, 40.0, 10.0))
    return image


@pytest.mark.parametrize("name", FILES)
def test_a_voxel_lies_where_simpleitk_says(image: sitk.Image, tmp_path: Path, name: str) -> None:
    sitk.WriteImage(image, str(tmp_path / name))
    volume = read_volume(tmp_path / name)
    left, posterior, superior = image.TransformIndexToPhysicalPoint((6, 2, 3))
    k, j, i = volume.grid.voxel_at((-left, -posterior, superior)) or (-1, -1, -1)
    assert (k, j, i) == (3, 2, 6)
    assert volume.array[k, j, i] == image[6, 2, 3]
    assert volume.array.dtype == np.int16
    assert volume.name == "ct"


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_the_type_of_the_voxels_stays(tmp_path: Path, kind: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(24).reshape(2, 3, 4).astype(kind)), str(tmp_path / "a.nrrd"))
    assert read_volume(tmp_path / "a.nrrd").array.dtype == kind


def test_the_voxels_outlive_the_image_that_held_them(image: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    expected = sitk.GetArrayFromImage(image)
    array = read_volume(tmp_path / "a.nrrd").array
    for _ in range(20):
        sitk.Image(7, 6, 5, sitk.sitkInt16)
    assert np.array_equal(array, expected)
    array[0, 0, 0] = 5
    assert array[0, 0, 0] == 5


def test_a_two_dimensional_file_is_one_slice_thin(tmp_path: Path) -> None:
    flat = sitk.GetImageFromArray(np.arange(12, dtype=np.int16).reshape(3, 4))
    flat.SetSpacing((0.5, 0.25))
    flat.SetOrigin((10.0, 20.0))
    sitk.WriteImage(flat, str(tmp_path / "flat.mha"))
    volume = read_volume(tmp_path / "flat.mha")
    assert volume.shape == (1, 3, 4)
    assert np.allclose(volume.grid.to_ras([2, 1, 0]), [-11.0, -20.25, 0.0])


def test_four_dimensions_with_a_single_step_are_three(image: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([image]), str(tmp_path / "a.nii.gz"))
    assert read_volume(tmp_path / "a.nii.gz").shape == (5, 6, 7)


def test_names_with_accents_and_other_scripts_are_read_and_written(tilted_grid: Grid, tmp_path: Path) -> None:
    folder = tmp_path / "Wirbelsäule 脊椎"
    folder.mkdir()
    voxels = np.arange(120, dtype=np.int16).reshape(tilted_grid.shape)
    for name in ("é.nii.gz", "é.nrrd", "é.mha"):
        write_volume(folder / name, Volume(voxels, tilted_grid))
        assert np.array_equal(read_volume(folder / name).array, voxels)


@pytest.mark.parametrize("name", FILES)
def test_nan_and_infinity_become_the_smallest_finite_value_and_are_told(tmp_path: Path, name: str) -> None:
    voxels = np.linspace(-900, 900, 60, dtype=np.float32).reshape(3, 4, 5)
    voxels[0, 0, 1], voxels[1, 2, 3], voxels[2] = np.nan, np.inf, np.nan
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / name))
    volume, notices = (result := read_with_notices(tmp_path / name)).volume, result.notices
    assert np.isfinite(volume.array).all()
    assert volume.array[1, 2, 3] == volume.array[2, 0, 0] == -900
    assert volume.array[0, 0, 2] == voxels[0, 0, 2]
    assert "22 of 60 voxels were NaN or infinite" in " ".join(notices)


def test_read_volume_logs_what_it_mended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    voxels = np.zeros((2, 2, 2), dtype=np.float32)
    voxels[0, 0, 0] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.nrrd"))
    read_volume(tmp_path / "a.nrrd")
    assert "1 of 8 voxels were NaN" in caplog.text


@pytest.mark.parametrize("name", FILES)
def test_a_volume_of_nothing_but_nan_is_refused(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 3, 4), np.nan, dtype=np.float32)), str(tmp_path / name))
    with pytest.raises(VolumeError, match="no finite voxel"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["no.nii.gz", "no.nrrd", "no_such_folder", "no.dcm"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(VolumeError, match="does not exist"):
        read_volume(tmp_path / name)


def test_a_text_file_with_the_name_of_a_dicom_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("hello " * 99)
    with pytest.raises(VolumeError, match="not a DICOM image"):
        read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize("name", [*FILES, "ct.dcm"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(VolumeError, match=r"empty \(0 bytes\)"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_file_is_refused_and_never_filled_with_zeros(
    tmp_path: Path, name: str, part: float, *, packed: bool
) -> None:
    voxels = np.random.default_rng(2).integers(-1000, 3000, (20, 30, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / name), packed)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(VolumeError, match="truncated"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize(("header", "data"), [("a.mhd", "a.raw"), ("a.nhdr", "a.raw")])
def test_a_header_whose_voxels_are_missing_or_cut_is_refused(
    image: sitk.Image, tmp_path: Path, header: str, data: str
) -> None:
    sitk.WriteImage(image, str(tmp_path / header))
    whole = (tmp_path / data).read_bytes()
    (tmp_path / data).write_bytes(whole[:-9])
    with pytest.raises(VolumeError, match="truncated"):
        read_volume(tmp_path / header)
    (tmp_path / data).unlink()
    with pytest.raises(VolumeError, match=data):
        read_volume(tmp_path / header)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_a_damaged_compressed_stream_is_refused(image: sitk.Image, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    sitk.WriteImage(image, str(path), useCompression=True)
    data = bytearray(path.read_bytes())
    data[-60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(path)


def test_a_gzip_of_several_members_is_whole(image: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    raw = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(raw[:500]) + gzip.compress(raw[500:]))
    assert np.array_equal(read_volume(tmp_path / "b.nii.gz").array, sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("name", FILES)
def test_a_text_file_with_the_name_of_an_image_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("these are not the voxels you are looking for\n" * 40)
    with pytest.raises(VolumeError, match="though its name says so"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["notes.txt", "model.stl", "archive"])
def test_an_unknown_type_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello")
    with pytest.raises(VolumeError, match=r"expected \.nii \.nii\.gz"):
        read_volume(tmp_path / name)


def test_a_file_without_permission_is_refused(
    image: sitk.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nii"
    sitk.WriteImage(image, str(path))
    path.chmod(0)
    if os.access(path, os.R_OK):  # an administrator may read everything

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(VolumeError, match="Permission denied"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_four_dimensions_are_refused_by_name(image: sitk.Image, tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.JoinSeries([image, image, image]), str(tmp_path / name))
    with pytest.raises(VolumeError, match=r"is 4D \(x,y,z,t\), 7 x 6 x 5 x 3"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize(("name", "channels", "word"), [("a.nrrd", 3, "colour"), ("a.mha", 4, "colour"),
                                                        ("a.nii", 2, "vectors")])  # fmt: skip
def test_colour_and_vectors_are_refused_by_name(tmp_path: Path, name: str, channels: int, word: str) -> None:
    sitk.WriteImage(
        sitk.GetImageFromArray(np.zeros((5, 6, 7, channels), np.uint8), isVector=True), str(tmp_path / name)
    )
    with pytest.raises(VolumeError, match=word):
        read_volume(tmp_path / name)


def test_complex_numbers_are_refused_by_name(tmp_path: Path) -> None:
    real = sitk.GetImageFromArray(np.ones((3, 4, 5), dtype=np.float32))
    sitk.WriteImage(sitk.RealAndImaginaryToComplex(real, real), str(tmp_path / "a.mha"))
    with pytest.raises(VolumeError, match="complex"):
        read_volume(tmp_path / "a.mha")


def sheared_nifti(path: Path, image: sitk.Image, *, with_qform: bool) -> None:
    """Write a NIfTI file whose sform axes are not perpendicular."""
    sitk.WriteImage(image, str(path))
    data = bytearray(path.read_bytes())
    struct.pack_into("<2h", data, 252, int(with_qform), 1)
    struct.pack_into("<12f", data, 280, 1, 0.3, 0, 5, 0, 1, 0, 6, 0, 0, 2, 7)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("kind", "low", "high", "modality"),
    [("int16", -1000, 2000, "CT"), ("float32", -900, 500, "CT"), ("uint8", 0, 255, "OT"), ("float32", -3, 4, "OT")],
)
def test_what_does_not_say_what_it_is_counts_as_ct_only_with_air_or_fat_in_it(
    tmp_path: Path, kind: str, low: int, high: int, modality: str
) -> None:
    voxels = np.random.default_rng(0).uniform(low, high, (4, 5, 6)).astype(kind)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.nrrd"))
    assert read_volume(tmp_path / "a.nrrd").modality == modality


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_picture_in_colour_becomes_grey(tmp_path: Path, name: str, channels: int) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (12, 15)).astype(np.uint8)
    colours = np.stack([grey] * 3 + [np.full_like(grey, 255)] * (channels - 3), axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / name))
    volume = read_volume(tmp_path / name)
    assert volume.shape == (1, 12, 15)
    assert volume.array.dtype == np.uint8
    assert np.abs(volume.array[0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("with_qform", [False, True])
def test_a_sheared_nifti_is_refused_even_where_its_qform_would_do(
    image: sitk.Image, tmp_path: Path, *, with_qform: bool
) -> None:
    sheared_nifti(tmp_path / "a.nii", image, with_qform=with_qform)
    with pytest.raises(GeometryError, match="not perpendicular"):
        read_volume(tmp_path / "a.nii")


def test_a_sheared_nrrd_is_refused(tmp_path: Path) -> None:
    header = (
        "NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
        "space directions: (1,0,0) (0.3,1,0) (0,0,1)\nkinds: domain domain domain\nencoding: raw\n"
        "space origin: (0,0,0)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(8))
    with pytest.raises(GeometryError, match="not perpendicular"):
        read_volume(tmp_path / "a.nrrd")


def test_a_nifti_that_states_no_orientation_is_read_with_a_warning(image: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    data = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<2h", data, 252, 0, 0)
    (tmp_path / "a.nii").write_bytes(data)
    assert "states no orientation" in " ".join(read_with_notices(tmp_path / "a.nii").notices)


def test_an_nrrd_that_states_no_orientation_is_read_with_a_warning(image: sitk.Image, tmp_path: Path) -> None:
    header = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nspacings: 1 2 3\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(header + bytes(8))
    assert "states no orientation" in " ".join(read_with_notices(tmp_path / "a.nrrd").notices)
    sitk.WriteImage(image, str(tmp_path / "b.nrrd"))
    assert read_with_notices(tmp_path / "b.nrrd").notices == ()


def test_nifti_numbers_are_scaled_as_the_header_says(image: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    data = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<2f", data, 112, 0.5, -1000.0)
    (tmp_path / "a.nii").write_bytes(data)
    assert np.allclose(read_volume(tmp_path / "a.nii").array, sitk.GetArrayFromImage(image) * 0.5 - 1000)


@pytest.mark.parametrize(("name", "most"), [("a.nrrd", 1.3), ("a.nii.gz", 2.3)])  # ITK itself needs two for NIfTI
def test_reading_a_large_volume_copies_nothing(tmp_path: Path, repository: Path, name: str, most: float) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux to ask for the peak memory")
    shape = (200, 256, 256)
    write_volume(tmp_path / name, Volume(np.zeros(shape, np.int16), Grid(shape, np.eye(4))))
    code = (
        "import sys, resource; from SAMSpineLib.io import read_volume; "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = peak(); "
        "v = read_volume(sys.argv[1]); print((peak() - before) * 1024 / v.array.nbytes)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / name)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=repository)
    assert float(result.stdout) < most


@pytest.mark.realdata
def test_the_lumbar_ct_and_its_expert_mask_share_a_grid(data_dir: Path) -> None:
    ct = read_volume(data_dir / "ct/sub-verse014/sub-verse014_ct.nii.gz")
    mask = read_volume(data_dir / "ct/sub-verse014/sub-verse014_seg-vert_msk.nii.gz")
    assert ct.grid.same_place(mask.grid)
    assert ct.array[mask.array > 0].mean() > ct.array[mask.array == 0].mean() + 100
