"""The labelled images that teach: read, checked, and divided by subject."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io.nifti_nrrd import stem_of
from SAMSpineLib.io.reading import read_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.sam2rad.taught import TaughtStructure
from SAMSpineLib.volume import Volume

# Values of structures that the label table lacks, in the order in which they were named.
FIRST_NEW_VALUE = 1001
COLOURS = ((230, 180, 60), (90, 160, 220), (200, 90, 120), (120, 190, 110), (170, 120, 210))
# From so many subjects on, some are held back to tell when to stop.
ENOUGH_TO_HOLD_BACK = 3
HELD_BACK = 0.2


@dataclass(frozen=True)
class Wanted:
    """A structure to teach: what it is, and which values it has in the label maps; any above 0 where none is named."""

    structure: TaughtStructure
    values: tuple[int, ...] = ()

    def marked(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Return where labels are this structure."""
        return np.isin(labels, self.values) if self.values else labels > 0


@dataclass(frozen=True, eq=False)
class TeachImage:
    """A volume with its labels (K, J, I), whose subject it shows, and whether all that is there was labelled.

    Where it is not, slices without any label say nothing.
    """

    volume: Volume
    labels: npt.NDArray[np.integer] = field(repr=False)
    subject: str
    complete: bool = True


def wanted(specs: Sequence[str]) -> tuple[Wanted, ...]:
    """Read structures as a command line names them: `L3=22`, `disc=201,202`, or `aponeurosis` for any label.

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
        found.append(Wanted(_structure(name, len(found)), tuple(int(one) for one in values.split(",") if one)))
    names = [one.structure.name for one in found]
    if not found or len(set(names)) < len(names) or (len(found) > 1 and not all(one.values for one in found)):
        msg = f"Name each structure once, and of several each with its values in the label maps; got {list(specs)}"
        raise LabelError(msg)
    return tuple(found)


def _structure(name: str, order: int) -> TaughtStructure:
    for label in spine_labels():
        if label.name.lower() == name.lower():
            return TaughtStructure(label.value, label.name, label.colour)
    return TaughtStructure(FIRST_NEW_VALUE + order, name, COLOURS[order % len(COLOURS)])


def read_images(manifest: Path) -> tuple[TeachImage, ...]:
    """Read labelled images from a CSV file with the columns `image,labels` and, if wanted, `subject,complete`.

    Paths are relative to the file. Without a subject, each image is a subject of its own. `complete` is yes (the
    default) where all that is there was labelled, no where only some slices were.

    Raises:
        VolumeError: if the file, a column or an image is missing.
        LabelError: if labels do not lie on their image's grid.
    """
    if not manifest.is_file():
        msg = f"The list of labelled images '{manifest}' does not exist; expected a CSV file with image,labels"
        raise VolumeError(msg)
    with manifest.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    missing = {"image", "labels"} - set(rows[0] if rows else ())
    if missing:
        msg = f"The list of labelled images '{manifest}' lacks the columns {sorted(missing)} (or any row)"
        raise VolumeError(msg)
    return tuple(_read(manifest.parent, row) for row in rows)


def _read(folder: Path, row: dict[str, str]) -> TeachImage:
    volume, labels = read_volume(folder / row["image"]), read_volume(folder / row["labels"])
    if labels.shape != volume.shape or not labels.grid.same_place(volume.grid):
        msg = (
            f"The labels {row['labels']} of {labels.shape} voxels do not lie on the grid of {row['image']} with "
            f"{volume.shape}; resample them to the image first"
        )
        raise LabelError(msg)
    numbers = labels.array
    if numbers.dtype.kind == "f" and not (numbers == np.rint(numbers)).all():
        msg = f"The labels {row['labels']} hold fractions, not whole numbers; choose the label map, not the image"
        raise LabelError(msg)
    subject = (row.get("subject") or "").strip() or stem_of(folder / row["image"])
    complete = (row.get("complete") or "yes").strip().lower() not in {"no", "false", "0"}
    return TeachImage(volume, numbers.astype(np.int32), subject, complete)


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
