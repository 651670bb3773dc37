"""Nothing moves on the way to a file and back, and no file is left half written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from SAMSpineLib import safe_write
from SAMSpineLib.errors import GeometryError, OutputError
from SAMSpineLib.io import read_segmentation, read_volume, write_segmentation, write_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid, Volume

VOLUMES = ("ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha")
SEGMENTATIONS = ("s.seg.nrrd", "s.nii.gz", "s.nrrd", "s.mha", "s.nii")
VOXELS = np.random.default_rng(4).permutation(120).reshape(4, 5, 6).astype(np.int16) - 60


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.parametrize("tilted", [False, True], ids=["straight", "oblique"])
@pytest.mark.parametrize("orientation", range(48))
def test_a_point_in_the_patient_has_the_same_voxel_before_and_after(
    tmp_path: Path, make_grid: Callable[..., Grid], name: str, orientation: int, *, tilted: bool
) -> None:
    grid = make_grid(orientation, tilted)
    write_volume(tmp_path / name, Volume(VOXELS, grid))
    volume = read_volume(tmp_path / name)
    assert volume.grid.same_place(grid)
    points = grid.to_ras(np.random.default_rng(5).uniform(-0.4, [5.4, 4.4, 3.4], (50, 3)))
    for point in points:
        assert volume.array[volume.grid.voxel_at(point)] == VOXELS[grid.voxel_at(point)]


@pytest.mark.parametrize("kind", ["bool", "uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("name", VOLUMES)
def test_voxels_keep_their_type_and_value(tmp_path: Path, tilted_grid: Grid, name: str, kind: str) -> None:
    voxels = np.abs(VOXELS).astype(kind)
    write_volume(tmp_path / name, Volume(voxels, tilted_grid))
    array = read_volume(tmp_path / name).array
    assert array.dtype == ("uint8" if kind == "bool" else kind)
    assert np.array_equal(array, voxels)


def test_a_volume_one_voxel_thin_survives(tmp_path: Path, tilted_grid: Grid) -> None:
    thin = tilted_grid.crop((0, 5, 2, 2, 0, 3))
    for name in VOLUMES:
        write_volume(tmp_path / name, Volume(np.ascontiguousarray(VOXELS[:, 2:3]), thin))
        volume = read_volume(tmp_path / name)
        assert volume.grid.same_place(thin)
        assert np.array_equal(volume.array, VOXELS[:, 2:3])


def test_views_in_any_memory_order_are_written_as_they_look(tmp_path: Path, tilted_grid: Grid) -> None:
    for name in VOLUMES:
        write_volume(tmp_path / name, Volume(np.asfortranarray(VOXELS)[::-1], tilted_grid))
        assert np.array_equal(read_volume(tmp_path / name).array, VOXELS[::-1])


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, tilted_grid: Grid) -> None:
    for name in ("a.nrrd", "b.nrrd"):
        write_volume(tmp_path / name, Volume(VOXELS, tilted_grid))
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


def test_a_sheared_grid_is_refused_where_the_format_cannot_hold_it(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    with pytest.raises(GeometryError, match="not perpendicular"):
        write_volume(tmp_path / "a.nii", Volume(VOXELS, Grid(VOXELS.shape, sheared)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.stl", "out", "out.nii.zip", "out.dcm", "out.seg.nhdr"])
def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path: Path, tilted_grid: Grid, name: str) -> None:
    with pytest.raises(OutputError, match=r"expected \.seg\.nrrd \.nii"):
        write_segmentation(tmp_path / name, np.zeros(tilted_grid.shape, np.uint8), tilted_grid, spine_labels())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_a_missing_folder_and_a_folder_in_the_way_are_refused(tmp_path: Path, tilted_grid: Grid, name: str) -> None:
    labels = np.zeros(tilted_grid.shape, np.uint8)
    with pytest.raises(OutputError, match=r"nowhere does not exist; make it first"):
        write_segmentation(tmp_path / "nowhere" / name, labels, tilted_grid, spine_labels())
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write_segmentation(tmp_path / name, labels, tilted_grid, spine_labels())


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_an_unwritable_folder_is_refused(
    tmp_path: Path, tilted_grid: Grid, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):  # an administrator may write everywhere

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(safe_write.tempfile, "mkstemp", refuse)
    with pytest.raises(OutputError, match="Permission denied; check space and permissions"):
        write_segmentation(folder / name, np.zeros(tilted_grid.shape, np.uint8), tilted_grid, spine_labels())


def test_a_write_protected_file_is_not_replaced(
    tmp_path: Path, tilted_grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ct.nrrd"
    path.write_bytes(b"precious")
    path.chmod(0o444)
    monkeypatch.setattr(safe_write.os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="write-protected"):
        write_volume(path, Volume(VOXELS, tilted_grid))
    assert path.read_bytes() == b"precious"


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path, tilted_grid: Grid) -> None:
    (tmp_path / "real.nrrd").write_bytes(b"old")
    (tmp_path / "link.nrrd").symlink_to(tmp_path / "real.nrrd")
    write_volume(tmp_path / "link.nrrd", Volume(VOXELS, tilted_grid))
    assert (tmp_path / "link.nrrd").is_symlink()
    assert np.array_equal(read_volume(tmp_path / "real.nrrd").array, VOXELS)


FULL_DISK = """
import resource, sys
import numpy as np
from SAMSpineLib.errors import OutputError
from SAMSpineLib.io import write_segmentation
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid
labels = np.random.default_rng(0).integers(1, 20, (40, 60, 60)).astype(np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    write_segmentation(sys.argv[1], labels, Grid(labels.shape, np.eye(4)), spine_labels())
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_a_disk_that_fills_up_leaves_the_old_file_and_no_half_one(tmp_path: Path, name: str, repository: Path) -> None:
    pytest.importorskip("resource")
    (tmp_path / name).write_bytes(b"the segmentation of yesterday")
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / name)],
        capture_output=True,
        text=True,
        cwd=repository,
        check=True,
    )
    assert "cannot be written" in result.stdout
    assert (tmp_path / name).read_bytes() == b"the segmentation of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failure_between_writing_and_renaming_leaves_the_old_file(
    tmp_path: Path, tilted_grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "s.seg.nrrd").write_bytes(b"old")
    monkeypatch.setattr(safe_write.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_segmentation(tmp_path / "s.seg.nrrd", np.ones(tilted_grid.shape, np.uint8), tilted_grid, spine_labels())
    assert (tmp_path / "s.seg.nrrd").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_an_existing_segmentation_is_replaced_whole(tmp_path: Path, tilted_grid: Grid, name: str) -> None:
    for value in (20, 21):
        labels = np.full(tilted_grid.shape, value, np.uint8)
        write_segmentation(tmp_path / name, labels, tilted_grid, spine_labels())
    assert np.array_equal(read_segmentation(tmp_path / name).labels, labels)
    assert [one.name for one in read_segmentation(tmp_path / name).segments] == ["L2"]
