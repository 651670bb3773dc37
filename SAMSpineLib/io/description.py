"""What a file holds, in plain JSON types: for a person who looks before working, or a program that sorts files."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from SAMSpineLib.io.dicom_series import list_series
from SAMSpineLib.io.reading import read_with_notices
from SAMSpineLib.io.writing import read_segmentation

if TYPE_CHECKING:
    from SAMSpineLib.io.dicom_series import SeriesInfo
    from SAMSpineLib.io.seg_nrrd import Segmentation
    from SAMSpineLib.volume import Grid, Volume

_AXES = ("RL", "AP", "SI")


def describe(path: Path | str, *, series: str | int | None = None) -> dict[str, Any]:
    """Describe an image, a `.seg.nrrd` or a folder of DICOM files.

    Returns:
        `path`, `notices`, and what there is of: `grid` (see `describe_grid`), `voxels` (type, minimum, maximum),
        `modality`, `segments`, `series`. Of a folder with several series only these, until one is chosen.

    Raises:
        VolumeError: if there is nothing to describe; GeometryError where its place in the patient is unclear.
    """
    path = Path(path)
    found: dict[str, Any] = {"path": str(path), "notices": []}
    if path.is_dir():
        infos = list_series(path)
        found["series"] = [_describe_series(info) for info in infos]
        if len(infos) > 1 and series is None:
            return found
    if path.name.lower().endswith(".seg.nrrd"):
        segmentation = read_segmentation(path)
        segments = _describe_segments(segmentation)
        return found | {"grid": describe_grid(segmentation.grid), "segments": segments} | _said(segmentation.notices)
    result = read_with_notices(path, series=series)
    return found | _describe_volume(result.volume) | _said(result.notices)


def describe_grid(grid: Grid) -> dict[str, Any]:
    """Describe where voxels lie; `size` and `spacing` (mm) are along I, J, K, places are RAS mm.

    `orientation` has a letter for each of I, J, K: the side of the patient it grows towards (R/L, A/P, S/I); `oblique`
    is the largest angle (degrees) between an axis and that side; `corners` the lowest and highest R, A, S.
    """
    unit = grid.ijk_to_ras[:3, :3] / grid.spacing
    nearest = np.abs(unit).argmax(axis=0)
    along = unit[nearest, range(3)]
    corners = grid.to_ras(np.array(list(product(*((0, n - 1) for n in grid.shape[::-1])))))
    return {
        "size": list(grid.shape[::-1]),
        "spacing": [round(float(mm), 5) for mm in grid.spacing],
        "orientation": "".join(_AXES[axis][int(part < 0)] for axis, part in zip(nearest, along, strict=True)),
        "oblique": round(float(np.degrees(np.arccos(np.clip(np.abs(along), 0, 1))).max()), 2),
        "origin": [round(float(mm), 4) for mm in grid.to_ras([0, 0, 0])],
        "corners": [[round(float(mm), 2) for mm in corner] for corner in (corners.min(axis=0), corners.max(axis=0))],
    }


def _describe_volume(volume: Volume) -> dict[str, Any]:
    array = volume.array
    voxels = {"type": str(array.dtype), "minimum": array.min().item(), "maximum": array.max().item()}
    return {"grid": describe_grid(volume.grid), "modality": volume.modality, "voxels": voxels}


def _describe_segments(segmentation: Segmentation) -> list[dict[str, Any]]:
    # Slice by slice: numpy would turn all of the labels into 64 bits at once.
    counts = np.zeros(65536, np.int64)
    for one in segmentation.labels:
        counts += np.bincount(one.ravel(), minlength=65536)
    volume = segmentation.grid.voxel_volume / 1000
    return [
        {"name": one.name, "value": one.value, "voxels": int(counts[one.value]), "known": one.known,
         "cm3": round(float(counts[one.value]) * volume, 3)}
        for one in segmentation.segments
    ]  # fmt: skip


def _describe_series(info: SeriesInfo) -> dict[str, Any]:
    return {
        "index": info.index, "number": info.number, "uid": info.uid, "description": info.description,
        "modality": info.modality, "slices": info.slices, "size": list(info.shape[::-1]),
        "spacing": None if info.spacing is None else [round(mm, 5) for mm in info.spacing],
    }  # fmt: skip


def _said(notices: tuple[str, ...]) -> dict[str, Any]:
    return {"notices": list(notices)}
