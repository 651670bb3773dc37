"""Shapes of a level, as atlases show it or its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from SAMSpineLib.atlas.atlas import Atlas, extent_between
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.volume import Grid

MARGIN_MM = 10.0

# A vertebra resembles those beside it in its own region; C1 and C2 resemble no other.
_REGIONS = ("cervical", "thoracic", "lumbar")
_UNLIKE_ANY = ("C1", "C2")


@dataclass(frozen=True, eq=False)
class AtlasShape:
    """One structure cut out of an atlas.

    Attributes:
        atlas: name of the atlas.
        value: the label it has there; a neighbour's where the atlas stands in for another level.
        mask: bool (K, J, I), with `MARGIN_MM` of room on every side, also beyond the atlas's own border.
        grid: where the mask lies in the atlas's own patient (RAS mm).
    """

    atlas: str
    value: int
    mask: npt.NDArray[np.bool_] = field(repr=False)
    grid: Grid


def shapes_for(value: int, atlases: Sequence[Atlas], *, at_most: int = 8) -> tuple[AtlasShape, ...]:
    """Return shapes of a structure: those of its own level first, then of the nearest levels of its region.

    C1, C2, sacrum and everything else that has no like stand for themselves alone. What the border of an atlas cuts is
    left out.

    Args:
        value: a value of the label table.
        atlases: where to look; those that come first go first among shapes of the same distance.
        at_most: how many shapes are wanted.

    Raises:
        LabelError: if the label table lacks the value.
    """
    label = spine_labels().by_value(value)
    alike = _alike(label)
    home = alike.index(label)
    ranked = sorted((abs(place - home), number, place) for place in range(len(alike)) for number in range(len(atlases)))
    shapes = (_shape(atlases[number], alike[place]) for _, number, place in ranked)
    return tuple(islice(_present(shapes), at_most))


def _alike(label: Label) -> list[Label]:
    """Return the levels of a label's region from head to foot, or only itself."""
    region = _region(label)
    if region not in _REGIONS or label.name in _UNLIKE_ANY:
        return [label]
    return [one for one in spine_labels() if _region(one) == region and one.name not in _UNLIKE_ANY]


def _region(label: Label) -> str:
    return label.group.removesuffix(" variant")


def _present(shapes: Iterator[AtlasShape | None]) -> Iterator[AtlasShape]:
    yield from (shape for shape in shapes if shape is not None)


def _shape(atlas: Atlas, label: Label) -> AtlasShape | None:
    """Cut a structure out of an atlas, None where it is not there as a whole."""
    if label.value not in atlas.boxes:
        return None
    # A sacrum whose first segments have values of their own is whole only together with them.
    parts = [part.value for part in spine_labels().parts(label) if part.value in atlas.boxes]
    if any(atlas.is_cut(part) for part in parts):
        return None
    boxes = np.array([[(side.start, side.stop) for side in atlas.boxes[part]] for part in parts])
    low, high = boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)
    inside = np.isin(atlas.labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], parts)
    room = np.ceil(MARGIN_MM / atlas.grid.spacing[::-1]).astype(int)
    mask = np.pad(inside, [(int(n), int(n)) for n in room])
    return AtlasShape(atlas.name, label.value, mask, atlas.grid.crop(extent_between(low - room, high - 1 + room)))
