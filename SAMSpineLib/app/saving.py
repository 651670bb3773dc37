"""Results as files: what the page's Save menu offers."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
from vtkmodules.vtkCommonCore import vtkStringArray

from SAMSpineLib.app.stage import SURFACE, Stage
from SAMSpineLib.errors import LabelError, OutputError
from SAMSpineLib.io import write_segmentation
from SAMSpineLib.io.label_map import labels_table_path
from SAMSpineLib.labels import Label
from SAMSpineLib.mrml.segments import read_segment
from SAMSpineLib.mrml.workbench import Workbench

NOTHING = "There is nothing to save: click on a vertebra first"


async def save_seg_nrrd(_stage: Stage, bench: Workbench, path: Path) -> None:
    """Write `.seg.nrrd`, as Slicer opens it."""
    await _write_labels(bench, path)


async def save_nifti(_stage: Stage, bench: Workbench, path: Path) -> None:
    """Write a zip with the NIfTI label map on the volume's own grid, and the table of its labels."""
    image = path.with_name(path.name.removesuffix(".zip"))
    await _write_labels(bench, image)
    _pack(path, [image, labels_table_path(image)])


async def save_stl(stage: Stage, bench: Workbench, path: Path) -> None:
    """Write a zip with one STL (LPS, mm) for each segment; the page stays alive between two of them."""
    filled = [one for one in bench.labels if bench.millilitres(one) > 0]
    if not filled:
        raise LabelError(NOTHING)
    had_surfaces = stage.node.GetSegmentation().ContainsRepresentation(SURFACE)
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    stage.node.CreateClosedSurfaceRepresentation()
    export = slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsClosedSurfaceRepresentationToFiles
    for segment_id in filled:
        ids = vtkStringArray()
        ids.InsertNextValue(segment_id)
        if not export(str(folder), stage.node, ids, "STL", True, 1.0, False):
            msg = f"The surface of {bench.label_of(segment_id).name} cannot be written; is the disk full?"
            raise OutputError(msg)
        await asyncio.sleep(0)
    if not had_surfaces:
        stage.set_surfaces(wanted=False)
    _pack(path, sorted(folder.glob("*.stl")))


async def save_bundle(stage: Stage, _bench: Workbench, path: Path) -> None:
    """Write the scene as one file that Slicer opens: volume, segments, colours, terminology, views."""
    if not stage.app.io_manager.write_scene(path):
        msg = "The scene cannot be written; is the disk full?"
        raise OutputError(msg)


Saver = Callable[[Stage, Workbench, Path], Awaitable[None]]
FORMATS: dict[str, tuple[str, str, Saver]] = {
    "seg.nrrd": ("Segmentation for 3D Slicer (.seg.nrrd)", ".seg.nrrd", save_seg_nrrd),
    "nifti": ("Label map (NIfTI and a table)", ".nii.gz.zip", save_nifti),
    "stl": ("Surfaces (one STL each)", "-stl.zip", save_stl),
    "mrb": ("Everything, for 3D Slicer (.mrb)", ".mrb", save_bundle),
}


def label_map_of(bench: Workbench) -> tuple[npt.NDArray[np.uint16], list[Label]]:
    """Return the segments as a label map (K, J, I) on the volume's grid, and their labels.

    Raises:
        LabelError: if there is no voxel in any.
    """
    labels, found = np.zeros(bench.volume.shape, np.uint16), []
    for segment_id, label in bench.labels.items():
        if bench.millilitres(segment_id) > 0:
            labels[read_segment(bench.node, segment_id, bench.grid) != 0] = label.value
            found.append(label)
    if not found:
        raise LabelError(NOTHING)
    return labels, sorted(found, key=lambda label: label.value)


async def _write_labels(bench: Workbench, path: Path) -> None:
    """Write the label map in another thread: compressing takes time."""
    labels, table = label_map_of(bench)
    await asyncio.to_thread(write_segmentation, path, labels, bench.grid, table)


def _pack(path: Path, files: list[Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for file in files:
            packed.write(file, file.name)


def file_name(bench: Workbench, name: str) -> str:
    """Return how a file of a format is to be called.

    Raises:
        OutputError: if there is no such format.
    """
    if name not in FORMATS:
        msg = f"There is no format '{name}'; known are: {', '.join(FORMATS)}"
        raise OutputError(msg)
    stem = "".join(one if one.isalnum() or one in "._-" else "_" for one in bench.volume.name)
    return f"{stem}{FORMATS[name][1]}"


def described() -> list[dict[str, Any]]:
    """Return the formats as a menu shows them."""
    return [{"key": key, "title": title} for key, (title, _, _) in FORMATS.items()]
