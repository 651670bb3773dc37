"""Results as files: what the page's Save menu offers.

What is to be written is copied out of the scene at once, and the rest is done by another thread: the page goes on.
"""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SAMSpineLib.app.bundle import finish, write_scene
from SAMSpineLib.app.surfaces import write_stl
from SAMSpineLib.errors import LabelError, OutputError
from SAMSpineLib.io import write_segmentation
from SAMSpineLib.io.dicom_seg import Algorithm, DicomSource, write_dicom_seg
from SAMSpineLib.io.label_map import labels_table_path
from SAMSpineLib.mrml.crops import Crop, label_map_of
from SAMSpineLib.mrml.panel_state import PanelState
from SAMSpineLib.mrml.segment_labels import segment_of, tag_of
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.volume import Grid

NOTHING = "There is nothing to save: click on a vertebra first"
KINDS: dict[str, Algorithm] = {one: one for one in ("MANUAL", "SEMIAUTOMATIC", "AUTOMATIC")}


@dataclass(frozen=True)
class Contents:
    """What can be saved.

    Attributes:
        bench: the volume and its segments.
        source: the DICOM images that the volume was read from, or why there are none.
        prompts: the text of all prompts (`mrml.prompt_log`).
        selected: the segment that prompts go to.
    """

    bench: Workbench
    source: DicomSource | str
    prompts: str
    selected: str

    def crops(self) -> list[Crop]:
        """Return copies of the segments.

        Raises:
            LabelError: if there is no voxel in any.
        """
        found = self.bench.crops()
        if not found:
            raise LabelError(NOTHING)
        return found


async def save_seg_nrrd(contents: Contents, path: Path) -> None:
    """Write `.seg.nrrd`, as Slicer opens it."""
    await asyncio.to_thread(_write_labels, path, contents.crops(), contents.bench.grid)


async def save_nifti(contents: Contents, path: Path) -> None:
    """Write a zip with the NIfTI label map on the volume's own grid, and the table of its labels."""
    image = path.with_name(path.name.removesuffix(".zip"))
    await asyncio.to_thread(_write_labels, image, contents.crops(), contents.bench.grid)
    _pack(path, [image, labels_table_path(image)])


async def save_stl(contents: Contents, path: Path) -> None:
    """Write a zip with one STL (LPS, mm) for each segment."""
    await asyncio.to_thread(_write_surfaces, path, contents.crops(), contents.bench.grid)


async def save_dicom_seg(contents: Contents, path: Path) -> None:
    """Write a DICOM SEG in the study of the images."""
    source, crops, grid = contents.source, contents.crops(), contents.bench.grid
    if isinstance(source, str):
        raise OutputError(source)
    made = {one.label.value: tag_of(segment_of(contents.bench.node, one.segment_id), "DICOM.SegmentAlgorithmType")
            for one in crops}  # fmt: skip
    kinds = {value: KINDS[kind] for value, kind in made.items() if kind in KINDS}
    table = [one.label for one in crops]

    def write() -> None:
        write_dicom_seg(path, label_map_of(crops, grid), grid, table, source, kinds)

    await asyncio.to_thread(write)


async def save_bundle(contents: Contents, path: Path) -> None:
    """Write the scene as one file that Slicer opens: volume, segments, prompts, colours, terminology, views."""
    bench, folder = contents.bench, path.with_suffix("")
    state = PanelState(bench.volume_node, bench.node, contents.prompts, contents.selected)
    image = write_scene(bench.node.GetScene(), state, folder, folder.name)
    await asyncio.to_thread(finish, path, folder, bench.volume, image)


Saver = Callable[[Contents, Path], Awaitable[None]]
FORMATS: dict[str, tuple[str, str, Saver]] = {
    "seg.nrrd": ("Segmentation for 3D Slicer (.seg.nrrd)", ".seg.nrrd", save_seg_nrrd),
    "nifti": ("Label map (NIfTI and a table)", ".nii.gz.zip", save_nifti),
    "stl": ("Surfaces (one STL each)", "-stl.zip", save_stl),
    "dicom-seg": ("DICOM SEG, with the images' study", "-seg.dcm", save_dicom_seg),
    "mrb": ("Everything, for 3D Slicer (.mrb)", ".mrb", save_bundle),
}


def _write_labels(path: Path, crops: list[Crop], grid: Grid) -> None:
    table = sorted((one.label for one in crops), key=lambda label: label.value)
    write_segmentation(path, label_map_of(crops, grid), grid, table)


def _write_surfaces(path: Path, crops: list[Crop], grid: Grid) -> None:
    folder = path.with_suffix("")
    folder.mkdir()
    for one in crops:
        write_stl(folder / f"{file_stem(one.label.name)}.stl", one, grid)
    _pack(path, sorted(folder.glob("*.stl")))


def _pack(path: Path, files: list[Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for file in files:
            packed.write(file, file.name)


def file_stem(name: str) -> str:
    """Return a name as part of a file's name."""
    return "".join(one if one.isalnum() or one in "._-" else "_" for one in name)


def file_name(bench: Workbench, name: str) -> str:
    """Return how a file of a format is to be called.

    Raises:
        OutputError: if there is no such format.
    """
    if name not in FORMATS:
        msg = f"There is no format '{name}'; known are: {', '.join(FORMATS)}"
        raise OutputError(msg)
    return f"{file_stem(bench.volume.name)}{FORMATS[name][1]}"


def described() -> list[dict[str, Any]]:
    """Return the formats as a menu shows them."""
    return [{"key": key, "title": title} for key, (title, _, _) in FORMATS.items()]
