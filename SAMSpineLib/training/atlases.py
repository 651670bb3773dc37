"""Libraries of atlases made from synthetic spines and from label maps that a list names."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from SAMSpineLib.atlas.atlas import Atlas, all_levels
from SAMSpineLib.atlas.library import AtlasLibrary
from SAMSpineLib.errors import LabelError, OutputError, VolumeError
from SAMSpineLib.io.label_map import Source
from SAMSpineLib.io.numbering import read_labels
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.progress import Counted
from SAMSpineLib.resampling import Voxels, sample_labels
from SAMSpineLib.training.synthetic.anatomy import draw_subject
from SAMSpineLib.training.synthetic.bone import build_skeleton
from SAMSpineLib.training.synthetic.settings import SACRUM, PhantomSettings
from SAMSpineLib.volume import Grid

# Fine enough for facets and pedicles, coarse enough that eight spines take half a megabyte.
SPACING = 1.5
COLUMNS = ("name", "labels", "ids", "source", "licence")

# Room (mm) around the middles of the vertebral bodies, along R, A, S: no process, and no coccyx, may reach the border.
_ROOM_BELOW, _ROOM_ABOVE = (80.0, 130.0, 210.0), (80.0, 60.0, 45.0)
_SOUND_ADULT = PhantomSettings(pathology=0.0, metal=0.0)


def build_library(
    folder: Path, phantoms: int, *, first_seed: int = 0, manifest: Path | None = None, progress: Counted | None = None
) -> AtlasLibrary:
    """Add synthetic spines, and the label maps of a manifest, to the library in a folder.

    Args:
        folder: made if it is not there; what is in it stays.
        phantoms: how many synthetic spines, C1 to coccyx, each of another adult.
        first_seed: the seed of the first; equal seeds give equal label maps.
        manifest: a CSV file with the columns `name,labels,ids,source,licence`, paths relative to it.
        progress: is told (done, total, name) after each atlas.

    Raises:
        OutputError: if there would be no atlas at all, or one of the names is taken.
        VolumeError: if the manifest or one of its label maps cannot be used.
    """
    rows = [] if manifest is None else _read_manifest(manifest)
    seeds = range(first_seed, first_seed + phantoms)
    names = [*(row["name"] for row in rows), *(f"synthetic-{seed}" for seed in seeds)]
    if not names or len(set(names)) < len(names):
        msg = f"A library needs atlases of different names, got {names}; give --phantoms or --from, and names once each"
        raise OutputError(msg)
    library = AtlasLibrary(folder)
    library.check_free(names)
    for done, atlas in enumerate(_made(manifest, rows, seeds), start=1):
        library.add(atlas)
        if progress is not None:
            progress(done, len(names), atlas.name)
    return library


def _made(manifest: Path | None, rows: list[dict[str, str]], seeds: range) -> Iterator[Atlas]:
    """Make the atlases one after another; label maps first, for only they can be wrong."""
    if manifest is not None:
        yield from (listed_atlas(manifest.parent, row) for row in rows)
    yield from (phantom_atlas(seed) for seed in seeds)


def phantom_atlas(seed: int) -> Atlas:
    """Make the bones of a sound adult, C1 to coccyx, at `SPACING`; no image, so no soft tissue is painted."""
    rng = np.random.default_rng(seed)
    subject = draw_subject(rng, _SOUND_ADULT)
    place = np.array([pose.centre for pose in subject.poses])
    low, high = place.min(axis=0) - _ROOM_BELOW, place.max(axis=0) + _ROOM_ABOVE
    i, j, k = np.ceil((high - low) / SPACING).astype(int).tolist()
    grid = Grid.centred_on((low + high) / 2, shape=(k, j, i), spacing=SPACING)
    labels = _levels_only(build_skeleton(rng, subject, grid, clean=False).labels)
    source = "synthetic: drawn by SAMSpine from published morphometry"
    return Atlas(f"synthetic-{seed}", labels, grid, None, source, "Apache-2.0", f"seed {seed}")


def listed_atlas(folder: Path, row: dict[str, str]) -> Atlas:
    """Read a label map that a manifest names, and bring it to `SPACING` along its own axes.

    Raises:
        VolumeError: if it cannot be read.
        LabelError: if its numbering is not known, or it shows no level.
    """
    known: dict[str, Source] = {"verse": "verse", "totalsegmentator": "totalsegmentator", "samspine": "samspine"}
    if row["ids"] not in known:
        msg = f"Atlas '{row['name']}': ids must be one of {', '.join(known)}, got '{row['ids']}'"
        raise LabelError(msg)
    volume = read_labels(folder / row["labels"], spine_labels(), ids=known[row["ids"]]).volume
    grid = _respaced(volume.grid)
    labels = _levels_only(sample_labels(volume.array, volume.grid, grid))
    note = f"resampled to {SPACING:g} mm"
    return Atlas(row["name"], labels, grid, None, row["source"], row["licence"], note)


def _levels_only(labels: Voxels) -> Voxels:
    """Keep vertebrae, sacrum and coccyx; the sacrum's segments are part of it."""
    table = spine_labels()
    lookup = np.zeros(int(labels.max()) + 1, dtype=np.uint8)
    for level in all_levels():
        if level.value < lookup.size:
            lookup[level.value] = level.value
    for part in table.parts(table.by_value(SACRUM)):
        if part.value < lookup.size:
            lookup[part.value] = SACRUM
    kept: Voxels = lookup[labels]
    return kept


def _respaced(grid: Grid) -> Grid:
    """Return a grid of `SPACING` along the same axes that starts at the same outer corner and ends no further out."""
    step = SPACING / grid.spacing
    count = np.maximum(np.floor(np.array(grid.shape[::-1]) / step), 1).astype(int)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] = matrix[:3, :3] * step
    matrix[:3, 3] = grid.to_ras(step / 2 - 0.5)
    return Grid((int(count[2]), int(count[1]), int(count[0])), matrix)


def _read_manifest(path: Path) -> list[dict[str, str]]:
    """Read the rows of a manifest.

    Raises:
        VolumeError: if it is missing or no text, or a column or a field is missing.
    """
    expected = f"expected a CSV file with {','.join(COLUMNS)}, none of them empty"
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = "does not exist" if not path.exists() else f"cannot be read ({error})"
        msg = f"The list of label maps '{path}' {reason}; {expected}"
        raise VolumeError(msg) from error
    if not rows:
        msg = f"The list of label maps '{path}' has no row; {expected}"
        raise VolumeError(msg)
    for line, row in enumerate(rows, start=2):
        if not all(row.get(column) for column in COLUMNS):
            msg = f"'{path}', line {line}: {expected}, got {row}"
            raise VolumeError(msg)
    return rows
