"""From files to a volume or label map, in whatever thread has the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io import list_series, place_labels, read_with_notices
from SAMSpineLib.io.label_map import Source, labels_table_path, values_in
from SAMSpineLib.io.nifti_nrrd import VOLUME_SUFFIXES, stem_of
from SAMSpineLib.io.numbering import read_labels
from SAMSpineLib.io.seg_nrrd import whole_numbers
from SAMSpineLib.labels import LabelTable
from SAMSpineLib.volume import Grid, Volume


@dataclass(frozen=True)
class Choice:
    """One of several things that a file can be: `value` names it, `text` describes it."""

    value: str
    text: str


@dataclass(frozen=True)
class Found:
    """What a set of files is: a `path` to read.

    Attributes:
        path: of a file, a folder of DICOM files, or the description of a scene.
        is_segmentation: whether to go on from it.
        is_dicom: whether it is a DICOM image.
        is_scene: whether it is a scene of Slicer.
        series: where there is a choice, by UID.
    """

    path: Path
    is_segmentation: bool = False
    is_dicom: bool = False
    is_scene: bool = False
    series: tuple[Choice, ...] = ()


def found_in(path: Path, *, kind: str = "any") -> Found:
    """Tell what a file, or a folder of files, is.

    Args:
        path: of what is to be opened.
        kind: `volume`, `segmentation`, or `any`: then a name with "seg." or "label" in it is a segmentation.

    Raises:
        VolumeError: if there is nothing in it that can be opened.
    """
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    if not files:
        msg = "There is no file in it to open"
        raise VolumeError(msg)
    scenes = [one for one in files if one.suffix.lower() == ".mrml"]
    if scenes:
        return Found(min(scenes, key=lambda one: len(one.parts)), is_scene=True)
    images = [one for one in files if one.name.lower().endswith(VOLUME_SUFFIXES)]
    if images:
        return Found(images[0], kind == "segmentation" or (kind == "any" and _sounds_like_labels(images[0])))
    if path.is_file():
        return Found(path, is_dicom=True)
    series = list_series(path)
    choice = tuple(Choice(one.uid, _described(one.description, one.modality, one.shape)) for one in series)
    return Found(path, is_dicom=True, series=choice if len(choice) > 1 else ())


def _sounds_like_labels(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(".seg.nrrd") or "_seg" in name or "label" in name or "msk" in name


def _described(description: str, modality: str, shape: Sequence[int]) -> str:
    k, j, i = shape
    return f"{modality} {description or '(no description)'}, {i} x {j} x {k}"


def read_image(found: Found, *, series: str | None = None) -> tuple[Volume, str, tuple[str, ...]]:
    """Return the volume of what was found, a name for it, and a sentence for each repair.

    Raises:
        VolumeError: if it cannot be read.
    """
    result = read_with_notices(found.path, series=series)
    name = stem_of(found.path) if found.path.is_file() else result.volume.name
    return result.volume, name, result.notices


def numberings_of(path: Path, table: LabelTable) -> tuple[Choice, ...]:
    """Return the numberings in which a label map can be meant, each with the structures that it then holds.

    None for a file that names its structures; one where only one fits best, for nobody need be asked then.

    Raises:
        VolumeError: if it cannot be read or is no label map.
        LabelError: if its numbers are known in no numbering.
    """
    if path.name.lower().endswith(".seg.nrrd") or labels_table_path(path).is_file():
        return ()
    values = values_in(whole_numbers(read_with_notices(path).volume.array, path))
    found: dict[tuple[str, ...], Choice] = {}
    for source, title in NUMBERINGS.items():
        names = names_in(values, table, source)
        if names:
            found.setdefault(names, Choice(source, f"{title}: {', '.join(names)}"))
    if not found:
        few = ", ".join(str(value) for value in values[:5]) or "none"
        msg = f"{path.name} has no number that {', '.join(NUMBERINGS.values())} know, but {few}"
        raise LabelError(msg)
    whole = tuple(choice for names, choice in found.items() if len(names) == len(values))
    return whole or tuple(found.values())


NUMBERINGS: dict[Source, str] = {"verse": "VerSe", "totalsegmentator": "TotalSegmentator", "samspine": "SAMSpine"}


def names_in(values: Sequence[int], table: LabelTable, source: Source) -> tuple[str, ...]:
    """Return the structures that label values stand for in a numbering, without those that it lacks."""
    known: dict[int, str] = {}
    for label in table:
        theirs = label.value if source == "samspine" else getattr(label, source)
        if theirs:
            known.setdefault(theirs, label.name)
    return tuple(known[value] for value in values if value in known)


def read_labels_on(path: Path, table: LabelTable, grid: Grid, *, ids: str | None = None) -> npt.NDArray[np.integer]:
    """Return a label map (K, J, I) of a file in the table's values, on the grid of the volume that is open.

    Args:
        path: a segmentation or label map.
        table: of structures.
        grid: of the volume.
        ids: its numbering, one of `NUMBERINGS`; None for a file that names its structures.

    Raises:
        VolumeError: if it cannot be read, or lies elsewhere.
        LabelError: if no structure in it is known.
    """
    found = read_labels(path, table, ids=next((one for one in NUMBERINGS if one == ids), None)).volume
    placed = place_labels(found.array.astype(np.uint16), found.grid, grid)
    if not placed.any():
        msg = f"{path.name} lies outside of the volume that is open: open its own image first"
        raise VolumeError(msg)
    return placed
