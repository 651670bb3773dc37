"""The two things that a network does here: answer prompts, or make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from SAMSpineLib.labels import Label
from SAMSpineLib.prompts import Prompt, Ras
from SAMSpineLib.stack import Stack
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

    @property
    def slicewise(self) -> SlicePromptable | None:
        """The network itself if it works slice by slice, else None."""
        ...

    def grid_at(self, ras: Ras, volume: Volume) -> Grid:
        """Return the grid on which a prompt at a place (RAS mm) of a volume is best answered."""
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


@dataclass(frozen=True, eq=False)
class SliceMasks:
    """What a network offers for prompts on one slice.

    Attributes:
        grid: (1, h, w), where the values of a mask lie; coarser than the slice that was encoded.
        logits: (N, h, w) of N masks, the best one first; above 0 is inside.
        scores: (N,) the IoU (0..1) that the network expects of each.
        asked: what exactly it was asked, in the network's own terms.
    """

    grid: Grid
    logits: npt.NDArray[np.float16] = field(repr=False)
    scores: tuple[float, ...]
    asked: object = field(default=None, repr=False)

    @property
    def nbytes(self) -> int:
        """Memory of the masks, and of the one that was asked with."""
        return self.logits.nbytes + int(getattr(self.asked, "nbytes", 0))


class Tracker(Protocol):
    """Follows one structure from slice to slice, from those that were prompted. Slices are known by their numbers."""

    def learn(self, index: int, encoded: Encoded, masks: SliceMasks, chosen: int) -> None:
        """Take what a prompted slice says: which of the masks that were offered there is right."""
        ...

    def follow(self, index: int, encoded: Encoded, *, backwards: bool) -> SliceMasks | None:
        """Return the structure's mask on a slice whose neighbour is known; None where it is not seen any more."""
        ...


@runtime_checkable
class SlicePromptable(Promptable, Protocol):
    """A network that segments slices, in whichever direction they are cut."""

    def slice_grid(self, stack: Stack, index: int) -> Grid:
        """Return the grid (1, H, W) on which a slice is best shown to it."""
        ...

    def mask_grid(self, encoded: Encoded) -> Grid:
        """Return the grid (1, h, w) of the masks that it makes of a slice."""
        ...

    def offer(
        self,
        encoded: Encoded,
        prompts: Sequence[Prompt],
        *,
        previous: npt.NDArray[np.floating] | None = None,
        label: int = 0,
    ) -> SliceMasks:
        """Return masks for what the prompts point at, given the logits (h, w) of the mask so far.

        `label` is the value of the structure that is asked about: who was taught that may know more than prompts say.
        """
        ...

    def tracker(self, count: int) -> Tracker:
        """Return what follows one structure through a stack of so many slices."""
        ...


@dataclass(frozen=True, eq=False)
class Seen:
    """What a taught network sees on a slice, structure by structure.

    Attributes:
        grid: (1, h, w), where the values of a mask lie.
        logits: (N, h, w); above 0 is inside, if the structure is there at all.
        presence: (N,) probability that it is there.
        quality: (N,) the IoU (0..1) that is expected of the mask.
    """

    grid: Grid
    logits: npt.NDArray[np.float32] = field(repr=False)
    presence: npt.NDArray[np.float32]
    quality: npt.NDArray[np.float32]


@runtime_checkable
class TaughtPromptable(SlicePromptable, Protocol):
    """A network that was taught structures: it finds them by itself, and takes prompts as well."""

    @property
    def structures(self) -> tuple[Label, ...]:
        """What it was taught, in the order of `Seen`."""
        ...

    @property
    def normal(self) -> Ras | None:
        """Which way the slices face (RAS) in which it was taught; None for those that were acquired."""
        ...

    def look(self, encoded: Encoded) -> Seen:
        """Return what it sees on a slice without a prompt."""
        ...


@runtime_checkable
class Prompter(Protocol):
    """A network, an atlas, a rule: anything that looks at a volume and says where to prompt, without a human."""

    name: str

    def prompt(self, volume: Volume) -> Mapping[int, Sequence[Prompt]]:
        """Return prompts for each label value that it finds."""
        ...
