"""The labelled images that teach: read, checked, and divided by subject."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io.label_map import place_labels
from SAMSpineLib.io.nifti_nrrd import stem_of
from SAMSpineLib.io.numbering import numbering_called, read_named_labels
from SAMSpineLib.io.reading import read_with_notices
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.taught_file import TaughtStructure
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.training.teaching.folder import rows_in
from SAMSpineLib.volume import Volume

# Values of structures that the label table lacks: a name has the same one in every taught model.
FIRST_NEW_VALUE, NEW_VALUES = 32768, 32767
COLOURS = ((230, 180, 60), (90, 160, 220), (200, 90, 120), (120, 190, 110), (170, 120, 210))
# From so many subjects on, some are held back to tell when to stop.
ENOUGH_TO_HOLD_BACK = 5
HELD_BACK = 0.2


@dataclass(frozen=True)
class Wanted:
    """A structure to teach: what it is, and which values it has in the label maps.

    Where no values are given its name decides in a map that names its labels, and in any other each value above 0.
    """

    structure: TaughtStructure
    values: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class TeachImage:
    """A volume with its labels.

    Attributes:
        volume: the image.
        labels: (K, J, I), on its grid.
        subject: whose image it is.
        complete: whether all that is there was labelled; where it was not, slices without any label say nothing.
        names: the values of the labels that the map itself names.
    """

    volume: Volume
    labels: npt.NDArray[np.integer] = field(repr=False)
    subject: str
    complete: bool = True
    names: Mapping[str, int] = field(default_factory=dict)

    def marked(self, wanted: Wanted) -> npt.NDArray[np.bool_]:
        """Return where (K, J, I) a structure is."""
        if wanted.values:
            return np.asarray(np.isin(self.labels, wanted.values), np.bool_)
        if self.names:
            return np.asarray(self.labels == self.names.get(wanted.structure.name, -1))
        return np.asarray(self.labels > 0)


def wanted(specs: Sequence[str]) -> tuple[Wanted, ...]:
    """Read structures as a command line names them: `L3=22`, `disc=201,202`, or `aponeurosis` without values.

    A name of the label table takes its value and colour there.

    Raises:
        LabelError: if nothing is named, a name comes twice, or a value is no whole number above 0.
    """
    found: list[Wanted] = []
    for spec in specs:
        name, given, values = (part.strip() for part in spec.partition("="))
        if not name or (given and not re.fullmatch(r"[1-9][0-9]*(,[1-9][0-9]*)*", values)):
            msg = (
                f"A structure is named as NAME or NAME=VALUE,VALUE with values above 0, for example L3=22; got '{spec}'"
            )
            raise LabelError(msg)
        found.append(Wanted(new_structure(name, len(found)), tuple(int(one) for one in values.split(",") if one)))
    names = [one.structure.name for one in found]
    if not found or len(set(names)) < len(names):
        msg = f"Name each structure once, at least one; got {list(specs)}"
        raise LabelError(msg)
    return tuple(found)


def new_structure(name: str, order: int = 0) -> TaughtStructure:
    """Return a structure by its name: the label table's, or one with a value that the name decides."""
    for label in spine_labels():
        if label.name.lower() == name.lower():
            return TaughtStructure(label.value, label.name, label.colour)
    value = FIRST_NEW_VALUE + zlib.crc32(name.casefold().encode()) % NEW_VALUES
    return TaughtStructure(value, name, COLOURS[order % len(COLOURS)])


def read_images(
    source: Path, *, modality: str | None = None, notify: Callable[[str], None] | None = None
) -> tuple[TeachImage, ...]:
    """Read labelled images from a folder (see `rows_in`), or as a CSV file lists them.

    It has the columns `image,labels` and, if wanted, `subject,complete,ids`. Paths are relative to the file. Labels are
    a label map on the image's grid, or a `.seg.nrrd`. Without a subject, each image is a subject of its own. `complete`
    is yes (the default) where all that is there was labelled, no where only some slices were. `ids` is the numbering of
    a label map, as `read_named_labels` knows it; without it values are what they are.

    Args:
        source: the folder, or the CSV file.
        modality: of the images, where their files do not say it.
        notify: told what had to be mended in a file, or was left out.

    Raises:
        VolumeError: if the file, a column or an image is missing.
        LabelError: if labels do not lie on their image's grid.
    """
    tell = notify or (lambda _text: None)
    if source.is_dir():
        return tuple(_read(source, row, modality, tell) for row in rows_in(source, tell))
    return tuple(_read(source.parent, row, modality, tell) for row in _listed(source))


def _listed(manifest: Path) -> list[dict[str, str]]:
    """Return the rows of a list of labelled images."""
    if not manifest.is_file():
        msg = f"The list of labelled images '{manifest}' does not exist; expected a folder, or a CSV file: image,labels"
        raise VolumeError(msg)
    with manifest.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    missing = {"image", "labels"} - set(rows[0] if rows else ())
    if missing:
        msg = f"The list of labelled images '{manifest}' lacks the columns {sorted(missing)} (or any row)"
        raise VolumeError(msg)
    return rows


def _read(folder: Path, row: dict[str, str], modality: str | None, notify: Callable[[str], None]) -> TeachImage:
    read = read_with_notices(folder / row["image"])
    ids = numbering_called((row.get("ids") or "").strip(), row["labels"])
    named = read_named_labels(folder / row["labels"], spine_labels(), ids=ids or "none")
    for text in (*read.notices, *named.notices):
        notify(text)
    volume, labels = read.volume, named.volume
    if modality is not None:
        volume = replace(volume, modality=modality)
    if row["labels"].lower().endswith(".seg.nrrd"):  # Slicer crops what it saves
        labels = Volume(place_labels(labels.array, labels.grid, volume.grid), volume.grid)
    if not labels.grid.same_voxels(volume.grid):
        msg = (
            f"The labels {row['labels']} of {labels.shape} voxels do not lie on the grid of {row['image']} with "
            f"{volume.shape}; resample them to the image first"
        )
        raise LabelError(msg)
    # One may be stored the other way round, as DICOM and NIfTI are.
    labels = Volume(sample_labels(labels.array, labels.grid, volume.grid), volume.grid)
    subject = (row.get("subject") or "").strip() or stem_of(folder / row["image"])
    complete = (row.get("complete") or "yes").strip().lower() not in {"no", "false", "0"}
    names = {one.name: one.value for one in named.table if one.name != str(one.value)}
    return TeachImage(volume, labels.array.astype(np.int32), subject, complete, names)


def divided(images: Sequence[TeachImage], seed: int) -> tuple[tuple[TeachImage, ...], tuple[TeachImage, ...]]:
    """Return the images that teach and those that tell when to stop; no subject is among both.

    Of fewer than `ENOUGH_TO_HOLD_BACK` subjects none is held back.
    """
    subjects = sorted({one.subject for one in images})
    count = round(HELD_BACK * len(subjects)) or 1
    held: set[str] = set()
    if len(subjects) >= ENOUGH_TO_HOLD_BACK:
        held = set(np.random.default_rng(seed).permutation(subjects)[:count].tolist())
    return _of(images, set(subjects) - held), _of(images, held)


def check_apart(teaching: Iterable[TeachImage], held: Iterable[TeachImage]) -> None:
    """Refuse a division in which a subject is on both sides.

    Raises:
        LabelError: naming the subjects.
    """
    both = {one.subject for one in teaching} & {one.subject for one in held}
    if both:
        msg = f"{', '.join(sorted(both))} would both teach and tell when to stop; give each subject to one side only"
        raise LabelError(msg)


def _of(images: Sequence[TeachImage], subjects: set[str]) -> tuple[TeachImage, ...]:
    return tuple(one for one in images if one.subject in subjects)
