"""A stopwatch, and networks whose answers are of the size that a vertebra's are."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch

from SAMSpineLib.engine.session import Session
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.ct_sam3d.config import CONFIGS
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.models.ct_sam3d.promptable import CTSAM3DPromptable
from SAMSpineLib.models.protocols import Answer, Encoded, Probability
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Grid, Volume

RADII_MM = (38.0, 34.0, 16.0)  # half of a lumbar vertebra with its processes, along R, A, S


class SteadyPromptable(CTSAM3DPromptable):
    """Run the whole network, then answer with a body of a vertebra's size in the middle of the patch.

    What the network costs does not depend on its weights; what comes after it depends on how much it marks. Noise of
    random weights would be merged, painted and followed into neighbours as no structure is.
    """

    def decode(
        self, encoded: Encoded, prompts: Sequence[Prompt], *, previous: Probability | None = None, chain: bool = False
    ) -> Answer:
        """Spend the time of a decoding."""
        answer = super().decode(encoded, prompts, previous=previous, chain=chain)
        return Answer(vertebra(encoded.grid, len(prompts)), answer.quality)


class InstantPromptable(SteadyPromptable):
    """Give the same answers without running any network."""

    def __init__(self) -> None:
        """Look like the small network."""
        super().__init__(CTSAM3D(CONFIGS["ct-sam3d-small"]), name="ct-sam3d-small")

    def encode(self, volume: Volume, grid: Grid) -> Encoded:  # noqa: ARG002 - as the protocol has it
        """Read nothing."""
        return Nothing(grid)

    def decode(
        self, encoded: Encoded, prompts: Sequence[Prompt], *, previous: Probability | None = None, chain: bool = False
    ) -> Answer:
        """Answer at once."""
        del previous, chain
        return Answer(vertebra(encoded.grid, len(prompts)), 0.9)

    def suggest(self, encoded: Encoded, mask: npt.NDArray[np.bool_], neighbour: Encoded) -> Probability:
        """Follow the structure nowhere."""
        del encoded, mask
        return np.zeros(neighbour.grid.shape, np.float32)


@dataclass(frozen=True, eq=False)
class Nothing:
    """An encoded patch without content."""

    grid: Grid
    nbytes: int = 0


def vertebra(grid: Grid, prompts: int) -> Probability:
    """Return the probability (K, J, I) of a body of a vertebra's size in the middle of a patch.

    Every answer differs a little from the last one, as it does in use.
    """
    k, j, i = ((np.arange(n) - n // 2) * grid.spacing[0] for n in grid.shape)
    x, y, z = RADII_MM
    size = 1.0 + 0.02 * (prompts % 3)
    away = (i[None, None] / x) ** 2 + (j[None, :, None] / y) ** 2 + (k[:, None, None] / z) ** 2
    return (1 / (1 + np.exp(8 * (away / size - 1)))).astype(np.float32)


def steady_promptable(name: str) -> SteadyPromptable:
    """Build a network with random weights of a fixed seed."""
    torch.manual_seed(0)
    return SteadyPromptable(CTSAM3D(CONFIGS[name]), name=name)


def open_session(model: SteadyPromptable, volume: Volume) -> Session:
    """Open a volume and select a vertebra."""
    session = Session(model)
    session.set_volume(volume)
    session.select(spine_labels().by_name("L3"))
    return session


def block(size: int) -> Volume:
    """Return a cube of `size` int16 voxels of 1 mm, all of it in memory, its middle at the origin."""
    matrix = np.eye(4)
    matrix[:3, 3] = -size / 2
    return Volume.from_array(np.full((size, size, size), 40, np.int16), matrix)


def click_places(count: int) -> list[tuple[float, float, float]]:
    """Return places (RAS mm) near the origin, the same ones each time."""
    return [(float(x), float(y), float(z)) for x, y, z in np.random.default_rng(0).uniform(-12, 12, (count, 3))]


def milliseconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    start = perf_counter()
    action()
    return 1000 * (perf_counter() - start)


def median(times: Iterable[float]) -> float:
    """Return the middle of some times, to a hundredth."""
    return round(statistics.median(times), 2)
