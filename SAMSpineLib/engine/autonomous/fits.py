"""Atlases as they were laid over levels: which, how well, and the transform for whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import EngineError
from SAMSpineLib.volume import Grid

if TYPE_CHECKING:
    from SAMSpineLib.atlas.propagation import PropagatedLevel
    from SAMSpineLib.atlas.transforms import SpatialTransform

# A deformation is alike over 3.5 mm; beyond the level itself nothing was registered.
STEP_MM, ROOM_MM = 3.0, 10.0


@dataclass(frozen=True, eq=False)
class AtlasTransform:
    """Where each point of a level lies in an atlas.

    Attributes:
        atlas: its name; where it stood in with a neighbour of the level, that label is named, too.
        value: label value of the level.
        displacement: (K, J, I, 3) mm along R, A, S on `grid`, to be added to a point of the volume.
        grid: around the level, in the volume's own space (RAS mm).
    """

    atlas: str
    value: int
    displacement: npt.NDArray[np.float32] = field(repr=False)
    grid: Grid


@dataclass(frozen=True, eq=False)
class AtlasFit:
    """An atlas that took part in a level: its name, the level's value, the Dice of both (0..1).

    The transform itself stays where it was computed.
    """

    atlas: str
    value: int
    quality: float
    transform: SpatialTransform | None = field(default=None, repr=False)
    level_grid: Grid | None = field(default=None, repr=False)

    def sampled(self) -> AtlasTransform:
        """Return the transform as displacements on a grid around the level.

        Raises:
            EngineError: if it lies with another engine.
        """
        from SAMSpineLib.atlas.registration import grid_around

        if self.transform is None or self.level_grid is None:
            msg = f"The transform of {self.atlas} lies with the engine that computed it: ask that one"
            raise EngineError(msg)
        grid = grid_around(self.level_grid.corners(), ROOM_MM, STEP_MM)
        displacement = self.transform.displacement(grid).astype(np.float32)
        return AtlasTransform(self.atlas, self.value, displacement, grid)


def fits_of(propagated: Mapping[int, PropagatedLevel]) -> Iterator[AtlasFit]:
    """Yield the atlases that took part, level by level."""
    for value, level in propagated.items():
        for name in level.used:
            registration = level.registrations[name]
            yield AtlasFit(name, value, registration.quality, registration.transform, level.grid)
