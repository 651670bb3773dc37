"""The two things that a network does here: answer prompts, or make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from SAMSpineLib.prompts import Prompt, Ras
from SAMSpineLib.volume import Grid, Volume

Probability = npt.NDArray[np.float32]


class Encoded(Protocol):
    """What a network keeps of a patch so that the next prompt costs only the decoder."""

    @property
    def grid(self) -> Grid:
        """Where the patch lies."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        ...


@dataclass(frozen=True, eq=False)
class Answer:
    """A probability (K, J, I) of the structure on a patch, and the Dice that the network expects of it (0..1)."""

    probability: Probability = field(repr=False)
    quality: float


@runtime_checkable
class Promptable(Protocol):
    """A network that segments what prompts point at.

    It works on grids of its own choice: a cube of 2 mm voxels, or a slice of a stack. All grids of one network on one
    volume lie on one lattice, so that neighbouring answers can be put together voxel by voxel.
    """

    name: str

    def grid_at(self, ras: Ras) -> Grid:
        """Return the grid on which a prompt at a place (RAS mm) is best answered."""
        ...

    def encode(self, volume: Volume, grid: Grid) -> Encoded:
        """Read the volume on a grid and run the image encoder."""
        ...

    def decode(
        self, encoded: Encoded, prompts: Sequence[Prompt], *, previous: Probability | None = None, chain: bool = False
    ) -> Answer:
        """Segment what the prompts point at, given the previous answer (K, J, I) on the same grid.

        `chain` asks for the larger whole that the structure belongs to: for a vertebra, all of the spine.
        """
        ...

    def suggest(self, encoded: Encoded, mask: npt.NDArray[np.bool_], neighbour: Encoded) -> Probability:
        """Return a heat map (K, J, I) of where to click in a neighbouring patch, given the mask on this one."""
        ...


@runtime_checkable
class Prompter(Protocol):
    """A network, an atlas, a rule: anything that looks at a volume and says where to prompt, without a human."""

    name: str

    def prompt(self, volume: Volume) -> Mapping[int, Sequence[Prompt]]:
        """Return prompts for each label value that it finds."""
        ...
