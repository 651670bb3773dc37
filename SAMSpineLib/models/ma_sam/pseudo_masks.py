"""What registered atlases say of a volume, as the prompt of a slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.errors import LabelError, ModelError, VolumeError
from SAMSpineLib.models.protocols import Probability
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Grid

LabelMap = npt.NDArray[np.integer[Any]]
Places = npt.NDArray[np.float64]


class PseudoMasks(Protocol):
    """Where levels are, as somebody says who has not seen the image."""

    def corners(self) -> Places:
        """Return the corners (N, 3) in RAS mm of a box around all that is said; none where nothing is."""
        ...

    def prompt(self, grid: Grid, values: Sequence[int], atlases: int) -> Probability:
        """Return the prompt (P, H, W) of a slice.

        Args:
            grid: (1, H, W), of the slice.
            values: of the labels that are classes; what has another value counts as background, which comes first.
            atlases: how many channels the prompt has, one for each atlas: the index of a class; 0 for the probability
                (0..1) of each class.

        Raises:
            ModelError: if there are not as many atlases.
        """
        ...


@dataclass(frozen=True, eq=False)
class AtlasMaps:
    """Label maps of registered atlases, and what they were registered to.

    Attributes:
        maps: whole numbers (K, J, I), values of the label table, as many maps as there are.
        grid: on which all of them lie, mostly the volume's.
        coarse: the label map (K, J, I) that was found without atlases, on the same grid; levels that no atlas shows
            are taken from it. None if there is none.

    Raises:
        VolumeError: if there is no map, or one does not have the shape of the grid.
        LabelError: if one does not hold whole numbers, as after a warp that mixes the values of neighbours.
    """

    maps: Sequence[LabelMap] = field(repr=False)
    grid: Grid
    coarse: LabelMap | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check that all maps are on the grid, and label maps."""
        shapes = {one.shape for one in self._every}
        if not len(self.maps) or shapes != {self.grid.shape}:
            found = ", ".join(str(shape) for shape in sorted(shapes)) or "no map"
            msg = f"Label maps of atlases lie on the grid {self.grid.shape}, got {found}; warp them onto that grid"
            raise VolumeError(msg)
        if wrong := {str(one.dtype) for one in self._every if one.dtype.kind not in "iu"}:
            msg = f"Label maps of atlases hold whole numbers, got {', '.join(wrong)}; warp them to the nearest voxel"
            raise LabelError(msg)

    def corners(self) -> Places:
        """Return the corners of a box around all labels; see `PseudoMasks.corners`."""
        said = np.logical_or.reduce([one > 0 for one in self._every])
        boxes = ndimage.find_objects(said.view(np.uint8))
        if not boxes:
            return np.zeros((0, 3))
        k, j, i = boxes[0]
        return self.grid.crop((i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)).corners()

    def prompt(self, grid: Grid, values: Sequence[int], atlases: int) -> Probability:
        """Return the prompt (P, H, W) of a slice; see `PseudoMasks.prompt`.

        The coarse label map has no channel of its own where each atlas has one.
        """
        if atlases and atlases != len(self.maps):
            msg = f"This MA-SAM was made for {atlases} atlases, got {len(self.maps)}; give it as many"
            raise ModelError(msg)
        said = np.stack([self._read(one, grid, values) for one in self.maps])
        if atlases:
            return said.astype(np.float32)
        shares = np.stack([(said == kind).mean(axis=0, dtype=np.float32) for kind in range(len(values) + 1)])
        if self.coarse is not None and self._lacking:
            found = self._read(np.asarray(self.coarse), grid, [one if one in self._lacking else 0 for one in values])
            shares = np.where(found > 0, np.arange(len(shares))[:, None, None] == found, shares)
        return shares.astype(np.float32)

    @cached_property
    def _lacking(self) -> frozenset[int]:
        """Values that the coarse label map has and no atlas."""
        known = {int(value) for one in self.maps for value in np.unique(one)}
        return frozenset(int(value) for value in np.unique(np.asarray(self.coarse))) - known

    @property
    def _every(self) -> tuple[LabelMap, ...]:
        return (*self.maps, *(() if self.coarse is None else (self.coarse,)))

    def _read(self, labels: LabelMap, grid: Grid, values: Sequence[int]) -> npt.NDArray[np.uint16]:
        """Return the indices of classes (H, W) that a label map says, 0 for what is no class."""
        shown = np.asarray(sample(labels, self.grid, grid, fill=0, order=0)[0])
        lookup = np.zeros(max(int(shown.max()), *values) + 1, np.uint16)
        lookup[list(values)] = np.arange(1, len(values) + 1)
        lookup[0] = 0
        read: npt.NDArray[np.uint16] = lookup[shown]
        return read


@dataclass(frozen=True, eq=False)
class LevelProbabilities:
    """What atlases say that were fused level by level.

    Attributes:
        levels: for each value of the label table a probability 0..1 (K, J, I), and the grid that it lies on.
    """

    levels: Mapping[int, tuple[Probability, Grid]] = field(repr=False)

    def corners(self) -> Places:
        """Return the corners of the boxes that levels were fused in; see `PseudoMasks.corners`."""
        return np.concatenate([np.zeros((0, 3)), *(grid.corners() for _, grid in self.levels.values())])

    def prompt(self, grid: Grid, values: Sequence[int], atlases: int) -> Probability:
        """Return the prompt (P, H, W) of a slice; see `PseudoMasks.prompt`.

        Raises:
            ModelError: if a channel for each atlas is wanted: they have been fused.
        """
        if atlases:
            msg = (
                f"This MA-SAM was made for {atlases} atlases, each by itself; give it their label maps, not fused ones"
            )
            raise ModelError(msg)
        shares = np.zeros((len(values) + 1, *grid.shape[1:]), np.float32)
        for kind, value in enumerate(values, start=1):
            if value in self.levels:
                shares[kind] = sample(*self.levels[value], grid, fill=0.0)[0]
        total = shares.sum(axis=0)
        shares /= np.maximum(total, 1.0)  # neighbours that overlap share what they both claim
        shares[0] = np.maximum(1.0 - total, 0.0)
        return shares
