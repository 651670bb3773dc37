"""Grids of every orientation, and DICOM series made to measure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.volume import Grid

SeriesMaker = Callable[..., Path]
GridMaker = Callable[..., Grid]


def signed_axes() -> list[np.ndarray]:
    """Return the 48 ways in which I, J, K can run along the axes of the patient, left-handed ones included."""
    turns = itertools.product(itertools.permutations(range(3)), itertools.product((1.0, -1.0), repeat=3))
    return [np.eye(3)[:, list(order)] * np.array(signs) for order, signs in turns]


def oblique() -> np.ndarray:
    """Return a rotation by 20 and 35 degrees about two axes."""
    a, b = np.radians(20.0), np.radians(35.0)
    about_s = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_r = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_s @ about_r


def grid_along(axes: np.ndarray, *, shape: tuple[int, int, int] = (4, 5, 6)) -> Grid:
    """Build an anisotropic grid (0.5 x 0.8 x 3 mm) off the origin with the given axes (columns, RAS)."""
    matrix = np.eye(4)
    matrix[:3, :3] = axes * np.array([0.5, 0.8, 3.0])
    matrix[:3, 3] = [-31.5, 12.25, 101.0]
    return Grid(shape, matrix)


@pytest.fixture
def make_grid() -> GridMaker:
    """Give a function that builds a grid in orientation 0 to 47, oblique or along the axes of the patient."""
    return lambda number, tilted=False: grid_along((oblique() if tilted else np.eye(3)) @ signed_axes()[number])


@pytest.fixture
def tilted_grid() -> Grid:
    return grid_along(oblique())


@pytest.fixture
def make_series(tmp_path: Path) -> SeriesMaker:
    """Give a function that writes one DICOM file for each slice of an array (K, J, I) of stored values."""
    return lambda array, folder="series", **settings: write_series(tmp_path / folder, array, **settings)


def write_series(
    folder: Path,
    array: np.ndarray,
    *,
    positions: Sequence[Sequence[float]] | None = None,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    names: Sequence[str] | None = None,
    **tags: Any,
) -> Path:
    """Write a series; `positions` are LPS mm, else 2 mm apart along +S; `tags` replace (None: drop)."""
    pydicom = pytest.importorskip("pydicom")
    folder.mkdir(parents=True, exist_ok=True)
    positions = positions if positions is not None else [(-10.0, -20.0, 30.0 + 2.0 * k) for k in range(len(array))]
    names = names or [f"{k:03}.dcm" for k in range(len(array))]
    for plane, position, name in zip(array, positions, names, strict=True):
        data = _dataset(pydicom, plane)
        data.ImagePositionPatient, data.ImageOrientationPatient = list(position), list(orientation)
        for tag, value in tags.items():
            delattr(data, tag) if value is None and tag in data else setattr(data, tag, value)
        data.save_as(folder / name, enforce_file_format=True)
    return folder


def _dataset(pydicom: Any, plane: np.ndarray) -> Any:
    """Make a CT slice of an integer plane (J, I), uncompressed."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.Modality, data.SeriesInstanceUID, data.StudyInstanceUID = "CT", "1.2.3.4", "1.2.3"
    data.SeriesNumber, data.SeriesDescription, data.ImageType = 7, "Spine 2.0", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Rows, data.Columns, data.PixelSpacing, data.SliceThickness = *plane.shape, [0.8, 0.5], 2.0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = int(plane.dtype.kind == "i")
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    data.PixelData = np.ascontiguousarray(plane).tobytes()
    return data
