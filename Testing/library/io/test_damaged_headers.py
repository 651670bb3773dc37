"""Whatever happens to a header, the user gets a sentence and never a traceback."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from SAMSpineLib.errors import SAMSpineError
from SAMSpineLib.io import read_segmentation, read_volume, write_segmentation, write_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid, Volume


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.seg.nrrd"])
def test_a_header_with_flipped_bytes_gives_a_volume_or_our_error(
    tmp_path: Path, tilted_grid: Grid, name: str, seed: int
) -> None:
    voxels = np.arange(120).reshape(tilted_grid.shape).astype(np.int16)
    if name == "a.seg.nrrd":
        write_segmentation(tmp_path / name, (voxels % 20).astype(np.uint8), tilted_grid, spine_labels())
    else:
        write_volume(tmp_path / name, Volume(voxels, tilted_grid))
    outcomes = [outcome(tmp_path / name, seed * 8 + n) for n in range(8)]
    assert set(outcomes) <= {"read", "refused"}


def test_some_damage_is_noticed_and_some_is_harmless(tmp_path: Path, tilted_grid: Grid) -> None:
    write_volume(tmp_path / "a.nrrd", Volume(np.zeros(tilted_grid.shape, np.uint8), tilted_grid))
    assert {outcome(tmp_path / "a.nrrd", seed) for seed in range(40)} == {"read", "refused"}


def outcome(path: Path, seed: int) -> str:
    """Damage a copy of a file's first bytes, and try to read it."""
    draw, data = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 2, 6])):
        number = draw.randrange(256) if draw.random() < 0.6 else draw.choice(b"0123456789 -.,()=:\n")
        data[draw.randrange(min(len(data), 900))] = number
    folder = path.parent / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / path.name).write_bytes(data)
    read = read_segmentation if path.name == "a.seg.nrrd" else read_volume
    try:
        read(folder / path.name)
    except SAMSpineError:
        return "refused"
    return "read"


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_dicom_slice_gives_a_volume_or_our_error(make_series: Callable[..., Path], seed: int) -> None:
    folder = make_series(np.zeros((3, 4, 5), np.uint16))
    draw, data = random.Random(seed), bytearray((folder / "001.dcm").read_bytes())
    for _ in range(draw.choice([1, 3, 9])):
        data[draw.randrange(len(data))] = draw.randrange(256)
    (folder / "001.dcm").write_bytes(data)
    with contextlib.suppress(SAMSpineError):
        assert read_volume(folder).array.ndim == 3
