"""A network that knows the truth: it answers with the shapes that were clicked, and counts what it was asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.engine.session import Session
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.models.protocols import Answer, Seen, SliceMasks
from SAMSpineLib.prompts import MaskPrompt, Point, Prompt, Ras
from SAMSpineLib.resampling import sample
from SAMSpineLib.stack import Stack
from SAMSpineLib.volume import Grid, Volume

Shape = Callable[[np.ndarray], np.ndarray]  # signed distance (mm, negative inside) of points (..., 3) in RAS mm


def ellipsoid(centre: Sequence[float], radii: Sequence[float]) -> Shape:
    """Return an ellipsoid with its axes along R, A, S."""
    a, r = np.asarray(centre, dtype=float), np.asarray(radii, dtype=float)
    return lambda ras: (np.linalg.norm((ras - a) / r, axis=-1) - 1.0) * r.min()


def ball(centre: Sequence[float], radius: float) -> Shape:
    return ellipsoid(centre, (radius, radius, radius))


def tube(points: Sequence[Sequence[float]], radius: float) -> Shape:
    """Return a tube around a polyline."""
    line = np.asarray(points, dtype=float)

    def distance(ras: np.ndarray) -> np.ndarray:
        best = np.full(ras.shape[:-1], np.inf)
        for start, end in itertools.pairwise(line):
            along = np.clip(((ras - start) @ (end - start)) / ((end - start) @ (end - start)), 0, 1)
            best = np.minimum(best, np.linalg.norm(ras - start - along[..., None] * (end - start), axis=-1))
        return best - radius

    return distance


def places(grid: Grid) -> np.ndarray:
    """Return the centres of all voxels: (K, J, I, 3) in RAS mm."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return grid.to_ras(np.stack([i, j, k], axis=-1))


@dataclass(eq=False)
class FakeEncoded:
    """A patch as read from the volume."""

    grid: Grid
    image: np.ndarray = field(repr=False)

    @property
    def nbytes(self) -> int:
        return self.image.nbytes


class FakePromptable:
    """Answer with the shapes that positive clicks hit, or with a ball around each click, less a ball around negatives.

    The previous answer is kept, as a network would keep it: what was known stays, except at negative clicks.
    """

    name = "fake"

    def __init__(
        self, shapes: Sequence[Shape] = (), *, patch: int = 24, spacing: float = 2.0, radius: float = 9.0
    ) -> None:
        self.shapes, self.patch, self.spacing, self.radius = list(shapes), patch, spacing, radius
        self.encoded: list[Grid] = []
        self.decoded: list[dict[str, Any]] = []
        self.heat: Callable[[Grid], np.ndarray] = lambda grid: np.zeros(grid.shape, np.float32)

    slicewise = None

    def grid_at(self, ras: Ras, volume: Volume | None = None) -> Grid:
        snapped = np.round(np.asarray(ras) / self.spacing) * self.spacing
        return Grid.centred_on(snapped, shape=(self.patch,) * 3, spacing=self.spacing)

    def encode(self, volume: Volume, grid: Grid) -> FakeEncoded:
        self.encoded.append(grid)
        return FakeEncoded(grid, sample(volume.array, volume.grid, grid, fill=-1024.0))

    def decode(
        self, encoded: FakeEncoded, prompts: Sequence[Prompt], *, previous: Any = None, chain: bool = False
    ) -> Answer:
        grid = encoded.grid
        self.decoded.append({"grid": grid, "prompts": tuple(prompts), "previous": previous, "chain": chain})
        ras, result = places(grid), np.zeros(grid.shape)
        if previous is not None:
            result = np.maximum(result, previous)
        for prompt in prompts:
            if isinstance(prompt, MaskPrompt):
                result = np.maximum(result, sample(prompt.mask.astype(np.float32), prompt.grid, grid, fill=0.0))
            elif isinstance(prompt, Point) and prompt.positive:
                result = np.maximum(result, self._of(prompt.ras, ras))
            elif isinstance(prompt, Point):
                result = np.minimum(result, 1 - _soft(ball(prompt.ras, 0.6 * self.radius)(ras)))
        return Answer(result.astype(np.float32), 0.9)

    def suggest(self, encoded: FakeEncoded, mask: np.ndarray, neighbour: FakeEncoded) -> np.ndarray:
        return self.heat(neighbour.grid)

    def _of(self, click: Ras, ras: np.ndarray) -> np.ndarray:
        """Return the probability of all that a click hits."""
        hit = (
            [shape for shape in self.shapes if shape(np.asarray(click)) < 0]
            if self.shapes
            else [ball(click, self.radius)]
        )
        return np.max([_soft(shape(ras)) for shape in hit], axis=0) if hit else np.zeros(ras.shape[:-1])


def _soft(distance: np.ndarray) -> np.ndarray:
    """Return a probability that is one half on the surface and falls off over a voxel or so."""
    return 1 / (1 + np.exp(np.clip(distance / 0.7, -40, 40)))


class FakeTracker:
    """Follow a shape: what its masks show on a slice that was learnt is looked for on the next ones."""

    def __init__(self, model: FakeSlices) -> None:
        self.model = model
        self.shape: Shape | None = None

    def learn(self, index: int, encoded: FakeEncoded, masks: SliceMasks, chosen: int) -> None:
        self.model.learnt.append((index, chosen))
        inside = places(masks.grid)[0][masks.logits[chosen] > 0]
        self.shape = next((one for one in self.model.shapes if len(inside) and (one(inside) < 2).mean() > 0.5), None)

    def follow(self, index: int, encoded: FakeEncoded, *, backwards: bool) -> SliceMasks | None:
        self.model.followed.append(index)
        if self.shape is None:
            return None
        logits = -self.shape(places(encoded.grid))
        return SliceMasks(encoded.grid, logits.astype(np.float16), (0.8,)) if (logits > 0).any() else None


class FakeSlices(FakePromptable):
    """Offer, for a click, the shape that it hits, then a ball around the click, then all of the slice."""

    def __init__(self, shapes: Sequence[Shape] = ()) -> None:
        super().__init__(shapes)
        self.learnt: list[tuple[int, int]] = []
        self.followed: list[int] = []
        self.asked: list[tuple[Prompt, ...]] = []

    @property
    def slicewise(self) -> FakeSlices:
        return self

    def slice_grid(self, stack: Stack, index: int) -> Grid:
        height, width = stack.size
        return stack.grid(index, (round(height), round(width)))

    def mask_grid(self, encoded: FakeEncoded) -> Grid:
        return encoded.grid

    def offer(
        self, encoded: FakeEncoded, prompts: Sequence[Prompt], *, previous: Any = None, label: int = 0
    ) -> SliceMasks:
        self.asked.append(tuple(prompts))
        ras = places(encoded.grid)
        here = [p for p in prompts if isinstance(p, Point) and encoded.grid.holds(np.array(p.ras))]
        best = np.full(ras.shape[:-1], -9.0) if previous is None else previous[None].astype(float)
        for prompt in prompts:
            if isinstance(prompt, MaskPrompt):
                inside = sample(prompt.mask.astype(np.float32), prompt.grid, encoded.grid, fill=0.0)
                best = np.maximum(best, 8 * inside - 4)
        for prompt in here:
            shapes = [shape for shape in self.shapes if shape(np.array(prompt.ras)) < 0] or [ball(prompt.ras, 5.0)]
            for shape in shapes if prompt.positive else [ball(prompt.ras, 5.0)]:
                best = np.maximum(best, -shape(ras)) if prompt.positive else np.minimum(best, shape(ras))
        middle = here[0].ras if here else (0.0, 0.0, 0.0)
        logits = np.concatenate([best, -ball(middle, 4.0)(ras), np.full(ras.shape[:-1], 9.0)])
        return SliceMasks(encoded.grid, logits.clip(-99, 99).astype(np.float16), (0.9, 0.5, 0.2))

    def tracker(self, count: int) -> FakeTracker:
        return FakeTracker(self)


L3 = spine_labels().by_name("L3")
DISC = Label(40_000, "my disc", "my disc", "taught", (1, 2, 3))
BONE, BESIDE = ball((0.0, 0.0, 0.0), 14.0), ball((-30.0, 0.0, 0.0), 9.0)


class FakeTaught(FakeSlices):
    """A network that was taught two shapes, and knows where each is; `presence` may say otherwise."""

    structures = (L3, DISC)
    normal = (1.0, 0.0, 0.0)

    def __init__(self) -> None:
        super().__init__([BONE, BESIDE])
        self.presence: dict[int, float] = {}
        self.looked = 0

    def look(self, encoded: Any) -> Seen:
        depth = np.stack([-shape(places(encoded.grid))[0] for shape in (BONE, BESIDE)]).astype(np.float32)
        sure = np.where((depth > 0).any(axis=(1, 2)), 0.9, 0.1).astype(np.float32)
        sure[0] = self.presence.get(self.looked, sure[0])
        self.looked += 1
        return Seen(encoded.grid, depth, sure, np.array([0.8, 0.6], np.float32))


@pytest.fixture(scope="session")
def fake() -> type[FakePromptable]:
    return FakePromptable


@pytest.fixture(scope="session")
def fake_slices() -> type[FakeSlices]:
    return FakeSlices


@pytest.fixture(scope="session")
def fake_taught() -> type[FakeTaught]:
    return FakeTaught


@pytest.fixture(scope="session")
def shapes() -> dict[str, Callable[..., Shape]]:
    return {"ball": ball, "ellipsoid": ellipsoid, "tube": tube}


@pytest.fixture(scope="session")
def voxel_places() -> Callable[[Grid], np.ndarray]:
    return places


@pytest.fixture(scope="session")
def ct() -> Volume:
    """A volume of 96 x 88 x 80 mm (2 mm voxels) whose voxels may not be written to."""
    array = np.random.default_rng(0).integers(-1000, 1500, (40, 44, 48)).astype(np.int16)
    array.flags.writeable = False
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[:3, 3] = [-48.0, -44.0, -40.0]
    return Volume.from_array(array, matrix)


@pytest.fixture(scope="session")
def open_session(ct: Volume) -> Callable[..., Session]:
    """Give a function that opens a session on the small volume (or another one) with a fake network."""

    def build(model: Any = None, *, volume: Volume = ct, labels: Any = None, **settings: Any) -> Session:
        session = Session(model or FakePromptable(), EngineSettings(**settings))
        session.set_volume(volume, labels)
        return session

    return build
