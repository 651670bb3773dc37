"""The first half of autonomous mode: where the vertebrae are, and which they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.autonomous.instances import Instance, Instances, InstanceSettings, find_instances
from SAMSpineLib.engine.autonomous.levels import LevelAssignment, assign_levels, renumber
from SAMSpineLib.engine.autonomous.ribs import rib_evidence
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES, Localisation
from SAMSpineLib.volume import Grid, Volume

Share = Callable[[float], None]

# The trained localiser is at least this sure of the best vertebra of any spine: real scans reach 0.87, noise 0.61.
SURE_OF_A_SPINE = 0.7


class Localises(Protocol):
    """Anything that says of a whole volume where vertebrae are; see `VolumeLocaliser`."""

    def localise(self, volume: Volume, *, progress: Share | None = None) -> Localisation:
        """Return the maps of a whole volume."""
        ...


@dataclass(frozen=True, eq=False)
class Found:
    """One vertebra, or the sacrum: its label value, how sure the value is (0..1), and what was seen of it."""

    value: int
    confidence: float
    instance: Instance
    mask: npt.NDArray[np.bool_]
    grid: Grid


@dataclass(frozen=True, eq=False)
class Survey:
    """Instances and their numbering, head to foot, in an image whose grid is `view`."""

    instances: Instances
    levels: LevelAssignment
    view: Grid

    @cached_property
    def found(self) -> tuple[Found, ...]:
        """All vertebrae that have a name, with their coarse masks (K, J, I) on grids of about 3 mm."""
        return tuple(self._found())

    def renumbered(self, index: int, value: int) -> Survey:
        """Return the survey after a user has said that instance `index` is `value`: the others follow.

        Raises:
            LabelError: if the spine has not as many levels to that side.
        """
        values = renumber(self.levels.values, index, value)
        told = LevelAssignment(values, (1.0,) * len(values), (), ambiguous=False, message="")
        return Survey(self.instances, told, self.view)

    def _found(self) -> Iterator[Found]:
        rows = zip(self.instances.instances, self.levels.values, self.levels.confidence, strict=True)
        for number, (instance, value, confidence) in enumerate(rows, start=1):
            if value:
                mask, grid = self.instances.mask_of(number)
                # The localiser's grid reaches beyond an oblique image: nobody can click there.
                mask = mask & _inside(grid, self.view)
                if mask.any():
                    yield Found(value, confidence, instance, mask, grid)


def _inside(grid: Grid, view: Grid) -> npt.NDArray[np.bool_]:
    """Mark the voxels (K, J, I) of a grid whose centres lie in the image."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return view.holds(grid.to_ras(np.stack([i, j, k], axis=-1)))


def survey(volume: Volume, localiser: Localises, *, progress: Share | None = None) -> Survey:
    """Look at a whole volume; an image without a spine gives a survey without instances.

    Args:
        volume: any orientation and spacing.
        localiser: see `build_localiser`.
        progress: called with the share (0..1) that is done; what it raises ends the survey.
    """
    seen = localiser.localise(volume, progress=progress)
    instances = find_instances(seen, settings=InstanceSettings(sure=SURE_OF_A_SPINE), view=volume.grid)
    ribs = rib_evidence(seen, instances, volume.grid)
    return Survey(instances, _numbered(instances, ribs), volume.grid)


def _numbered(instances: Instances, ribs: npt.NDArray[np.float64]) -> LevelAssignment:
    """Number instances by what was seen of each, by the distances between them and by which bear ribs."""
    seen = instances.instances
    evidence = np.array([one.evidence for one in seen]).reshape(len(seen), len(LEVEL_VALUES))
    centres = np.array([one.centre for one in seen]).reshape(len(seen), 3)
    gaps = np.linalg.norm(np.diff(centres, axis=0), axis=1) if len(seen) > 1 else None
    return assign_levels(evidence, gaps, ribs=ribs)
