"""The labelled images that a network is trained on, real and synthetic, and where their structures lie."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

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

# Networks see 1.5 to 2 mm voxels: finer phantoms would only cost time.
TRAINING_PHANTOMS = PhantomSettings(max_voxels=2_500_000)


@dataclass(frozen=True, eq=False)
class Structure:
    """One labelled structure, in RAS mm: some of its voxels (N, 3), its deepest place (3,), its bounding box (2, 3)."""

    value: int
    core: npt.NDArray[np.float64]
    places: npt.NDArray[np.float64] = field(repr=False)
    bounds: npt.NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Case:
    """An image with its label map (K, J, I; int16; `OTHER` + id for structures outside the label table)."""

    image: Volume
    labels: npt.NDArray[np.int16] = field(repr=False)
    structures: tuple[Structure, ...] = field(repr=False)
    weight: float = 1.0

    @classmethod
    def build(cls, image: Volume, labels: npt.NDArray[np.int16], *, weight: float = 1.0, smallest: int = 50) -> Case:
        """Index the structures of at least `smallest` voxels."""
        places = ndimage.find_objects(labels)
        boxes = {value: box for value, box in enumerate(places, start=1) if box is not None}
        counts = np.bincount(labels.ravel())
        found = [_structure(image, labels, value, box) for value, box in boxes.items() if counts[value] >= smallest]
        if not found:
            msg = f"A training case needs labelled structures, '{image.name}' has none of {smallest} voxels or more"
            raise LabelError(msg)
        return cls(image, labels, tuple(found), weight)


def _structure(image: Volume, labels: npt.NDArray[np.int16], value: int, box: tuple[slice, ...]) -> Structure:
    crop = labels[box] == value
    low = np.array([side.start for side in box])
    kji = np.argwhere(crop) + low
    depth = ndimage.distance_transform_edt(np.pad(crop, 1), sampling=image.grid.spacing[::-1])
    core = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) - 1 + low
    ends = image.grid.to_ras(np.stack([kji.min(axis=0), kji.max(axis=0)])[:, ::-1])
    chosen = kji[np.linspace(0, len(kji) - 1, min(len(kji), MAX_PLACES)).astype(int)]
    return Structure(value, image.grid.to_ras(core[::-1]), image.grid.to_ras(chosen[:, ::-1]), np.sort(ends, axis=0))


def read_manifest(path: Path) -> list[Case]:
    """Read the real cases of a CSV file with the columns `image,labels,ids,weight`.

    Paths are relative to the file. `ids` names the numbering of the label map: `verse`, `totalsegmentator` or `samspine`.

    Raises:
        VolumeError: if the file or a column is missing.
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
    return [_read_case(path.parent, row, table) for row in rows]


def _read_case(folder: Path, row: dict[str, str], table: LabelTable) -> Case:
    image = read_volume(folder / row["image"])
    mask = read_volume(folder / row["labels"])
    own = to_own_values(np.asarray(sample_labels(mask.array.astype(np.int16), mask.grid, image.grid)), row["ids"], table)
    # The table's S1 to S5 are pieces of one bone that every other source labels as a whole.
    segments = [label.value for label in table if label.group == "sacral segment"]
    own[np.isin(own, segments)] = table.by_name("sacrum").value
    return Case.build(image, own, weight=float(row.get("weight") or 1.0))


def to_own_values(labels: npt.NDArray[np.integer], ids: str, table: LabelTable) -> npt.NDArray[np.int16]:
    """Translate a label map to our values; what our table does not name becomes `OTHER` + its id."""
    known = {
        "verse": {row.verse: row.value for row in table if row.verse is not None},
        "totalsegmentator": {row.totalsegmentator: row.value for row in table if row.totalsegmentator is not None},
        "samspine": {row.value: row.value for row in table},
    }
    if ids not in known:
        msg = f"A label map's ids must be one of {sorted(known)}, got '{ids}'"
        raise LabelError(msg)
    size = int(labels.max()) + 1
    lookup = np.array([0] + [known[ids].get(value, OTHER + value) for value in range(1, max(size, 1))], dtype=np.int16)
    return lookup[labels]


def phantom_case(seed: int, settings: PhantomSettings | None = None) -> Case:
    """Make one synthetic case: spine labels, with ribs, pelvis and organs as further targets."""
    phantom = make_phantom(seed, settings)
    extras = phantom.extras.array.astype(np.int16)
    labels = np.where(phantom.labels.array > 0, phantom.labels.array.astype(np.int16), extras + OTHER * (extras > 0))
    return Case.build(phantom.image, labels.astype(np.int16))


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
        return Case.build(image, stored["labels"])
