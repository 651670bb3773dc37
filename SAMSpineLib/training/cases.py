"""The labelled images that a network is trained on, real and synthetic, and where their structures lie."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io.reading import read_volume
from SAMSpineLib.labels import LabelTable, spine_labels
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.training.synthetic.phantom import make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings
from SAMSpineLib.volume import Volume

log = logging.getLogger(__name__)

# Structures that our table does not name (ribs, organs) are kept as targets of their own, above every value of ours.
OTHER = 1000
MAX_PLACES = 4000

# What is a rib in the numberings that know ribs: one value in a phantom, 24 in TotalSegmentator's.
PHANTOM_RIBS = (OTHER + 1,)
RIBS = {"totalsegmentator": tuple(range(OTHER + 92, OTHER + 116))}

# Networks see 1.5 to 2 mm voxels: finer phantoms would only cost time.
TRAINING_PHANTOMS = PhantomSettings.training(spacing=1.5)


@dataclass(frozen=True, eq=False)
class Structure:
    """One labelled structure, in RAS mm: some of its voxels (N, 3), its deepest place (3,), its bounding box (2, 3)."""

    value: int
    core: npt.NDArray[np.float64]
    places: npt.NDArray[np.float64] = field(repr=False)
    bounds: npt.NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Case:
    """An image with its label map (K, J, I; int16; `OTHER` + id for structures outside the label table).

    `ribs` are the values that are ribs; none where the map does not tell ribs from background.
    """

    image: Volume
    labels: npt.NDArray[np.int16] = field(repr=False)
    structures: tuple[Structure, ...] = field(repr=False)
    weight: float = 1.0
    ribs: tuple[int, ...] = ()

    @classmethod
    def build(
        cls,
        image: Volume,
        labels: npt.NDArray[np.int16],
        *,
        weight: float = 1.0,
        smallest: int = 50,
        ribs: tuple[int, ...] = (),
    ) -> Case:
        """Index the structures of at least `smallest` voxels."""
        places = ndimage.find_objects(labels)
        boxes = {value: box for value, box in enumerate(places, start=1) if box is not None}
        counts = np.bincount(labels.ravel())
        found = [_structure(image, labels, value, box) for value, box in boxes.items() if counts[value] >= smallest]
        if not found:
            msg = f"A training case needs labelled structures, '{image.name}' has none of {smallest} voxels or more"
            raise LabelError(msg)
        return cls(image, labels, tuple(found), weight, ribs)


def _structure(image: Volume, labels: npt.NDArray[np.int16], value: int, box: tuple[slice, ...]) -> Structure:
    """Describe what lies in a box of the label map; on oblique grids the bounds are those of the turned box."""
    crop = labels[box] == value
    low = np.array([side.start for side in box])
    kji = np.argwhere(crop) + low
    depth = ndimage.distance_transform_edt(np.pad(crop, 1), sampling=image.grid.spacing[::-1])
    core = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) - 1 + low
    sides = [(side.start, side.stop - 1) for side in reversed(box)]
    corners = image.grid.to_ras(np.array(np.meshgrid(*sides)).reshape(3, -1).T)
    bounds = np.stack([corners.min(axis=0), corners.max(axis=0)])
    chosen = kji[np.linspace(0, len(kji) - 1, min(len(kji), MAX_PLACES)).astype(int)]
    return Structure(value, image.grid.to_ras(core[::-1]), image.grid.to_ras(chosen[:, ::-1]), bounds)


def read_manifest(path: Path) -> list[Case]:
    """Read the real cases of a CSV file with the columns `image,labels,ids,weight`.

    Paths are relative to the file. `ids` names the numbering of the label map: `verse`, `totalsegmentator` or
    `samspine`. `weight` (1 where it is empty) says how often a case is drawn.

    Raises:
        VolumeError: if the file, a column or a path is missing, a weight is not above 0, or an image is unusable.
        LabelError: if a numbering is unknown or a label map does not fit it.
    """
    if not path.is_file():
        msg = f"The training manifest '{path}' does not exist; expected a CSV file with image,labels,ids,weight"
        raise VolumeError(msg)
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    missing = {"image", "labels", "ids"} - set(rows[0] if rows else ())
    if missing:
        msg = f"The training manifest '{path}' lacks the columns {sorted(missing)} (or any row)"
        raise VolumeError(msg)
    table = spine_labels()
    for line, row in enumerate(rows, start=2):
        if not (row["image"] and row["labels"] and row["ids"] and _weight(row) > 0):
            msg = f"'{path}', line {line}: expected image,labels,ids and a weight above 0, got {list(row.values())}"
            raise VolumeError(msg)
    return [_read_case(path.parent, row, table) for row in rows]


def _weight(row: dict[str, str]) -> float:
    """Return a row's weight, 1 where none is given, NaN where it is no finite number."""
    try:
        weight = float(row.get("weight") or 1.0)
    except ValueError:
        return float("nan")
    return weight if np.isfinite(weight) else float("nan")


def _read_case(folder: Path, row: dict[str, str], table: LabelTable) -> Case:
    image = read_volume(folder / row["image"])
    mask = read_volume(folder / row["labels"])
    own = to_own_values(sample_labels(mask.array, mask.grid, image.grid), row["ids"], table)
    # The table's S1 to S5 are pieces of one bone that every other source labels as a whole.
    segments = [label.value for label in table if label.group == "sacral segment"]
    own[np.isin(own, segments)] = table.by_name("sacrum").value
    return Case.build(image, own, weight=_weight(row), ribs=RIBS.get(row["ids"], ()))


def to_own_values(labels: npt.NDArray[Any], ids: str, table: LabelTable) -> npt.NDArray[np.int16]:
    """Translate a label map (K, J, I) to our values; what our table does not name becomes `OTHER` + its id.

    Raises:
        LabelError: if the numbering `ids` is unknown, or the map holds anything but whole numbers from 0 to 31767.
    """
    known = {
        "verse": {row.verse: row.value for row in table if row.verse is not None},
        "totalsegmentator": {row.totalsegmentator: row.value for row in table if row.totalsegmentator is not None},
        "samspine": {row.value: row.value for row in table},
    }
    if ids not in known:
        msg = f"A label map's ids must be one of {sorted(known)}, got '{ids}'"
        raise LabelError(msg)
    largest = np.iinfo(np.int16).max - OTHER
    low, high = float(labels.min()), float(labels.max())
    if not (low >= 0 and high <= largest) or (labels.dtype.kind == "f" and not (labels == np.rint(labels)).all()):
        msg = f"A training case's label map must hold whole numbers from 0 to {largest}, got values in {low}..{high}"
        raise LabelError(msg)
    lookup = np.array([0, *(known[ids].get(value, OTHER + value) for value in range(1, int(high) + 1))], dtype=np.int16)
    own: npt.NDArray[np.int16] = lookup[labels.astype(np.int32)]
    return own


def phantom_case(seed: int, settings: PhantomSettings | None = None) -> Case:
    """Make one synthetic case: spine labels, with ribs, pelvis and organs as further targets."""
    phantom = make_phantom(seed, settings)
    extras = phantom.extras.array.astype(np.int16)
    labels = np.where(phantom.labels.array > 0, phantom.labels.array.astype(np.int16), extras + OTHER * (extras > 0))
    return Case.build(phantom.image, labels.astype(np.int16), ribs=PHANTOM_RIBS)


def phantom_files(folder: Path, count: int, *, first_seed: int) -> Iterator[Path]:
    """Make `count` phantoms as files in `folder`, skipping those that are there; yield each path when it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + count):
        path = folder / f"phantom_{seed:06d}.npz"
        if not path.exists():
            case = phantom_case(seed, TRAINING_PHANTOMS)
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, image=case.image.array, labels=case.labels, ijk_to_ras=case.image.ijk_to_ras)
            partial.replace(path)
        yield path


def load_phantom(path: Path) -> Case:
    """Read a phantom that `phantom_files` made."""
    with np.load(path) as stored:
        image = Volume.from_array(stored["image"], stored["ijk_to_ras"], name=path.stem)
        return Case.build(image, stored["labels"], ribs=PHANTOM_RIBS)
