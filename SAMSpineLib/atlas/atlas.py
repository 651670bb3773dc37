"""An atlas: a spine that somebody has labelled before, with or without its image."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.volume import Extent, Grid, Volume, slices_of

Box = tuple[slice, ...]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LARGEST = 65535
# What is left around the labels, so that only what the field of view has cut touches the border.
_MARGIN_VOXELS = 2
_IMAGE_MARGIN_MM = 20.0


@dataclass(frozen=True, eq=False)
class Atlas:
    """A label map (K, J, I) of our values on its grid (RAS mm), and where it comes from.

    Attributes:
        name: letters, digits, `_`, `-` and `.`; it becomes the name of a file.
        labels: whole numbers, values of the label table; at least one vertebra, sacrum or coccyx.
        grid: where they lie, any orientation.
        image: what was labelled, on a grid of its own, or None.
        source: where it comes from, in words.
        licence: on what terms it may be passed on.
        note: what else to know.

    Raises:
        LabelError: if the name cannot be a file's, or the labels are no whole numbers, unknown, or show no level.
        VolumeError: if the labels do not have the shape of the grid.
    """

    name: str
    labels: npt.NDArray[Any] = field(repr=False)
    grid: Grid
    image: Volume | None = None
    source: str = ""
    licence: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Check name, labels and grid."""
        if not _NAME.fullmatch(self.name):
            msg = f"An atlas's name is letters, digits, '_', '-' and '.', at most 64, got '{self.name}'; choose another"
            raise LabelError(msg)
        if self.labels.shape != self.grid.shape:
            msg = f"Atlas '{self.name}': expected labels of the grid's shape {self.grid.shape}, got {self.labels.shape}"
            raise VolumeError(msg)
        if self.labels.dtype.kind not in "iu":
            msg = f"Atlas '{self.name}': expected whole numbers as labels, got {self.labels.dtype}; give a label map"
            raise LabelError(msg)
        if self.labels.min() < 0 or self.labels.max() > _LARGEST:
            msg = f"Atlas '{self.name}': expected labels from 0 to {_LARGEST}, got {self.labels.min()} to "
            raise LabelError(msg + f"{self.labels.max()}; renumber them")
        known = {label.value for label in spine_labels()}
        if unknown := sorted(set(self.boxes) - known):
            msg = f"Atlas '{self.name}': the label table lacks the value(s) {unknown[:5]}; convert its numbering first"
            raise LabelError(msg)
        if not self.levels:
            msg = f"Atlas '{self.name}' shows no level; expected at least one of {_levels_text()}; check its numbering"
            raise LabelError(msg)

    @cached_property
    def boxes(self) -> dict[int, Box]:
        """Bounding box (slices along K, J, I) of every label in the map."""
        found = ndimage.find_objects(self.labels)
        return {value: box for value, box in enumerate(found, start=1) if box is not None}

    @property
    def levels(self) -> tuple[Label, ...]:
        """The vertebrae, sacrum and coccyx in the map, from head to foot."""
        return tuple(level for level in all_levels() if level.value in self.boxes)

    def is_cut(self, value: int) -> bool:
        """Tell whether a label of the map touches the border of the field of view, so that part of it may lack."""
        sides = zip(self.boxes[value], self.grid.shape, strict=True)
        return any(side.start == 0 or side.stop == size for side, size in sides)

    def trimmed(self) -> Atlas:
        """Return the part of the atlas that is labelled; what the field of view cuts still touches the border.

        Raises:
            VolumeError: if the image shows nothing of what is labelled.
        """
        low = np.min([[side.start for side in box] for box in self.boxes.values()], axis=0) - _MARGIN_VOXELS
        high = np.max([[side.stop - 1 for side in box] for box in self.boxes.values()], axis=0) + _MARGIN_VOXELS
        low, high = np.maximum(low, 0), np.minimum(high, np.array(self.grid.shape) - 1)
        extent = extent_between(low, high)
        labels = self.labels[slices_of(extent)]
        grid = self.grid.crop(extent)
        image = None if self.image is None else _image_around(self.image, grid, self.name)
        return replace(self, labels=labels, grid=grid, image=image)


def all_levels() -> tuple[Label, ...]:
    """Return the vertebrae, the sacrum with its segments, and the coccyx, from head to foot."""
    table = spine_labels()
    return tuple(label for label in table.parts(table.by_name("spine")) if not label.joins_levels)


def extent_between(low: npt.ArrayLike, high: npt.ArrayLike) -> Extent:
    """Return the extent from one array index (k, j, i) to another, both inclusive."""
    (k0, j0, i0), (k1, j1, i1) = np.asarray(low).tolist(), np.asarray(high).tolist()
    return (i0, i1, j0, j1, k0, k1)


def _levels_text() -> str:
    levels = all_levels()
    return f"{levels[0].name} to {levels[-1].name}"


def _image_around(image: Volume, grid: Grid, name: str) -> Volume:
    """Crop an image to what lies within a few centimetres of a grid."""
    reach = np.ceil(_IMAGE_MARGIN_MM / grid.spacing[::-1]).astype(int)
    wider = grid.crop(extent_between(-reach, np.array(grid.shape) - 1 + reach))
    extent = image.grid.extent_of(wider)
    if extent is None or image.grid.extent_of(grid) is None:
        msg = f"Atlas '{name}': the image shows nothing of what is labelled; give the image that was labelled"
        raise VolumeError(msg)
    return Volume(image.array[slices_of(extent)], image.grid.crop(extent), image.name, image.modality)
