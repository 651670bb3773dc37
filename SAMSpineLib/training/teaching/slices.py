"""Which slices of labelled images teach, and how each is shown: as it is, and turned, moved and scaled a little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import LabelError
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam.prompting import coarse_grid
from SAMSpineLib.prompts import Ras
from SAMSpineLib.resampling import sample
from SAMSpineLib.stack import Stack, stack_along
from SAMSpineLib.training.teaching.images import TeachImage, Wanted
from SAMSpineLib.training.teaching.plan import TeachPlan
from SAMSpineLib.volume import Grid

DIRECTIONS: dict[str, Ras | None] = {
    "acquired": None,
    "axial": (0.0, 0.0, 1.0),
    "sagittal": (1.0, 0.0, 0.0),
    "coronal": (0.0, 1.0, 0.0),
}
FEWEST_SLICES = 3
# Of one image so many slices teach, and for each of them a third of one without the structure.
MOST_OF_AN_IMAGE = 24
EMPTY_SHARE = 1 / 3
# So many of all slices that were held back tell when to stop: looking at them is a pause in teaching.
MOST_CHECKED = 32
# A structure is in a slice from so many of the mask's values on (arXiv 2409.06821, release: 10 pixels of 1024 squared).
SMALLEST = 4

TURN = 20.0  # degrees
SCALE = (0.8, 1.15)
SHIFT = 0.1  # of the side


@dataclass(frozen=True, eq=False)
class Shown:
    """A slice of an image, on the grid on which it is shown to the network."""

    image: TeachImage
    grid: Grid


@dataclass(frozen=True, eq=False)
class Truth:
    """What is marked on the grid of masks: the share (N, h, w; 0..1) of each structure; (N,) whether it is there."""

    share: npt.NDArray[np.float32] = field(repr=False)
    present: npt.NDArray[np.bool_]


def chosen_slices(plan: TeachPlan, images: Sequence[TeachImage]) -> list[Shown]:
    """Return the slices that teach.

    Raises:
        LabelError: if the direction is unknown.
    """
    if plan.direction not in DIRECTIONS:
        msg = f"Slices are cut {', '.join(DIRECTIONS)}; got '{plan.direction}'"
        raise LabelError(msg)
    full: list[Shown] = []
    empty: list[Shown] = []
    for image in images:
        stack = stack_along(image.volume.grid, DIRECTIONS[plan.direction])
        there = _holds(image, plan.structures, stack)
        marked, free = np.flatnonzero(there), np.flatnonzero(~there)
        full += _spread(image, stack, marked, MOST_OF_AN_IMAGE, plan.model)
        if image.complete:
            most = max(1, round(EMPTY_SHARE * min(len(marked), MOST_OF_AN_IMAGE)))
            empty += _spread(image, stack, free, most, plan.model)
    return full + empty


def checked_slices(plan: TeachPlan, images: Sequence[TeachImage]) -> list[Shown]:
    """Return the slices that tell when to stop: of those that would teach some, evenly spread.

    Raises:
        LabelError: if the direction is unknown.
    """
    found = chosen_slices(plan, images)
    kept = np.linspace(0, len(found) - 1, min(len(found), MOST_CHECKED)).round().astype(int)
    return [found[int(one)] for one in kept]


def check_enough(plan: TeachPlan, images: Sequence[TeachImage]) -> None:
    """Refuse images from which nothing can be learnt.

    Raises:
        LabelError: if a structure is nowhere, cannot be told from the others, or too few slices show any.
    """
    bare = [image.subject for image in images if not image.names]
    vague = [one.structure.name for one in plan.structures if not one.values]
    if bare and vague and len(plan.structures) > 1:
        msg = f"The labels of {bare[0]} have no names: say which values are {vague[0]}, for example {vague[0]}=1"
        raise LabelError(msg)
    for one in plan.structures:
        if not any(image.marked(one).any() for image in images):
            values = f" (values {', '.join(map(str, one.values))})" if one.values else ""
            msg = f"None of the {len(images)} images has '{one.structure.name}'{values}; check names and values"
            raise LabelError(msg)
    stacks = [stack_along(image.volume.grid, DIRECTIONS[plan.direction]) for image in images]
    full = sum(int(_holds(one, plan.structures, stack).sum()) for one, stack in zip(images, stacks, strict=True))
    if full < FEWEST_SLICES:
        msg = f"{full} labelled slices are too few to learn from: label at least {FEWEST_SLICES}, better ten"
        raise LabelError(msg)


def varied(shown: Shown, rng: np.random.Generator, *, mirror: bool) -> Shown:
    """Return the same slice turned, scaled and moved at random, and now and then mirrored where that is allowed."""
    grid = shown.grid
    angle, scale = np.deg2rad(rng.uniform(-TURN, TURN)), np.exp(rng.uniform(*np.log(SCALE)))
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]]) * scale
    if mirror and rng.random() < 0.5:
        turn[:, 0] *= -1
    # In millimetres, so that a slice of oblong pixels is turned and not sheared.
    size = np.diag(grid.spacing[:2])
    change = np.linalg.inv(size) @ turn @ size
    side = np.array(grid.shape[:0:-1], float)
    middle = (side - 1) / 2
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :2] = grid.ijk_to_ras[:3, :2] @ change
    moved = middle + rng.uniform(-SHIFT, SHIFT, 2) * side - change @ middle
    matrix[:3, 3] = grid.to_ras([*moved, 0])
    return Shown(shown.image, Grid(grid.shape, matrix))


def truth_of(shown: Shown, structures: Sequence[Wanted], image_size: int) -> Truth:
    """Return what is marked on a slice."""
    grid = coarse_grid(shown.grid, image_size)
    image = shown.image
    shares = [
        np.asarray(sample(image.marked(one).view(np.uint8), image.volume.grid, grid, fill=0.0)[0], np.float32)
        for one in structures
    ]
    share = np.stack(shares)
    return Truth(share, (share > 0.5).sum(axis=(1, 2)) >= SMALLEST)


def _holds(image: TeachImage, structures: Sequence[Wanted], stack: Stack) -> npt.NDArray[np.bool_]:
    """Return (count,) whether each slice of a stack holds any of the structures."""
    kji = np.argwhere(np.any([image.marked(one) for one in structures], axis=0))
    counts = np.bincount(stack.indices_at(image.volume.grid.to_ras(kji[:, ::-1].astype(float))), minlength=stack.count)
    return np.asarray(counts >= SMALLEST, bool) if len(kji) else np.zeros(stack.count, bool)


def _spread(
    image: TeachImage, stack: Stack, among: npt.NDArray[np.int_], most: int, model: SamPromptable
) -> list[Shown]:
    """Return at most so many of some slices, evenly spread."""
    picked = among[np.linspace(0, len(among) - 1, min(most, len(among))).round().astype(int)] if len(among) else among
    return [Shown(image, model.slice_grid(stack, int(index))) for index in picked]
