"""What a human or a `Prompter` tells the network, in RAS millimetres.

Prompts are frozen and know nothing of voxels: the engine brings them into whatever grid a network works on. Those that
are drawn in a slice may say which way it faces (`normal`): a network that works slice by slice answers in that slice,
and takes the volume's own slices where nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import PromptError
from SAMSpineLib.volume import Grid

Ras = tuple[float, float, float]


def _finite_ras(point: object, what: str) -> Ras:
    values = np.asarray(point, dtype=float).ravel()
    if values.shape != (3,) or not np.isfinite(values).all():
        msg = f"{what} must be three finite numbers (R, A, S in mm), got {point!r}"
        raise PromptError(msg)
    return (float(values[0]), float(values[1]), float(values[2]))


def _unit(normal: object) -> Ras | None:
    """Return a normal of length 1, or None."""
    if normal is None:
        return None
    direction = np.asarray(_finite_ras(normal, "A slice's normal"))
    length = float(np.linalg.norm(direction))
    if length < 1e-6:
        msg = f"A slice's normal needs a direction, got {normal!r}"
        raise PromptError(msg)
    x, y, z = (direction / length).tolist()
    return (x, y, z)


@dataclass(frozen=True)
class Point:
    """A click. `ras` is its place (RAS mm); `positive` says inside or outside the structure."""

    ras: Ras
    positive: bool = True
    normal: Ras | None = None

    def __post_init__(self) -> None:
        """Check the coordinates."""
        object.__setattr__(self, "ras", _finite_ras(self.ras, "A point"))
        object.__setattr__(self, "normal", _unit(self.normal))

    @property
    def places(self) -> tuple[Ras, ...]:
        """All places (RAS mm) that the prompt names."""
        return (self.ras,)


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in RAS mm around the structure, given by any two opposite corners."""

    corner_a: Ras
    corner_b: Ras
    normal: Ras | None = None

    def __post_init__(self) -> None:
        """Order the corners so that `corner_a` is the lower one on every axis."""
        a, b = _finite_ras(self.corner_a, "A box corner"), _finite_ras(self.corner_b, "A box corner")
        object.__setattr__(self, "corner_a", tuple(np.minimum(a, b).tolist()))
        object.__setattr__(self, "corner_b", tuple(np.maximum(a, b).tolist()))
        object.__setattr__(self, "normal", _unit(self.normal))

    @property
    def places(self) -> tuple[Ras, ...]:
        """The middle of the box (RAS mm): its corners may well lie outside the volume."""
        x, y, z = ((np.asarray(self.corner_a) + np.asarray(self.corner_b)) / 2).tolist()
        return ((x, y, z),)


@dataclass(frozen=True)
class Scribble:
    """A freehand line through the structure (or through what is not it): vertices in RAS mm."""

    points: tuple[Ras, ...]
    positive: bool = True
    normal: Ras | None = None

    def __post_init__(self) -> None:
        """Check that there is at least one vertex."""
        if not self.points:
            msg = "A scribble needs at least one point, got none"
            raise PromptError(msg)
        object.__setattr__(self, "points", tuple(_finite_ras(p, "A scribble point") for p in self.points))
        object.__setattr__(self, "normal", _unit(self.normal))

    @property
    def places(self) -> tuple[Ras, ...]:
        """All places (RAS mm) that the prompt names."""
        return self.points


@dataclass(frozen=True)
class Lasso:
    """A closed planar outline around the structure in one slice: vertices in RAS mm."""

    points: tuple[Ras, ...]
    positive: bool = True
    normal: Ras | None = None

    def __post_init__(self) -> None:
        """Check that the outline can enclose something."""
        if len(self.points) < 3:
            msg = f"A lasso needs at least three points, got {len(self.points)}"
            raise PromptError(msg)
        object.__setattr__(self, "points", tuple(_finite_ras(p, "A lasso point") for p in self.points))
        object.__setattr__(self, "normal", _unit(self.normal))

    @property
    def places(self) -> tuple[Ras, ...]:
        """All places (RAS mm) that the prompt names."""
        return self.points


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """A rough mask to start from: `mask` (K, J, I), bool or probability in 0..1, on `grid`."""

    mask: npt.NDArray[np.floating | np.bool_ | np.uint8] = field(repr=False)
    grid: Grid

    def __post_init__(self) -> None:
        """Check that mask and grid agree and that the mask is not empty."""
        if tuple(self.mask.shape) != self.grid.shape:
            msg = f"A mask prompt of shape {self.mask.shape} does not fit its grid of shape {self.grid.shape}"
            raise PromptError(msg)
        if not np.any(self.mask):
            msg = "A mask prompt must mark at least one voxel, got an empty mask"
            raise PromptError(msg)

    @property
    def places(self) -> tuple[Ras, ...]:
        """The middle (RAS mm) of the box around the marked voxels."""
        kji = np.argwhere(self.mask)
        x, y, z = self.grid.to_ras(((kji.min(axis=0) + kji.max(axis=0)) / 2)[::-1]).tolist()
        return ((x, y, z),)


Prompt = Point | Box | Scribble | Lasso | MaskPrompt


def anchor(prompt: Prompt) -> Ras:
    """Return the place (RAS mm) around which a prompt is best answered: the middle of what it names."""
    x, y, z = np.mean(prompt.places, axis=0).tolist()
    return (x, y, z)


def is_negative(prompt: Prompt) -> bool:
    """Tell whether a prompt says where the structure is not."""
    return isinstance(prompt, (Point, Scribble, Lasso)) and not prompt.positive
