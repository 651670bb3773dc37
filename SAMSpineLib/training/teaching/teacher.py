"""Orders from the faces carried out: on this machine, into the user's own models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import Label
from SAMSpineLib.lesson_order import LabelledVolume, LessonOrder, LessonResult
from SAMSpineLib.models.build import build_backbone, sam_for
from SAMSpineLib.models.store.adding import TAUGHT_KIND, Given, add_checkpoint
from SAMSpineLib.models.store.resolving import user_store
from SAMSpineLib.models.taught_file import TaughtStructure
from SAMSpineLib.progress import StageProgress
from SAMSpineLib.stack import stack_along
from SAMSpineLib.training.teaching.images import FIRST_NEW_VALUE, TeachImage, Wanted, new_structure
from SAMSpineLib.training.teaching.plan import RECIPE, TeachPlan
from SAMSpineLib.training.teaching.slices import DIRECTIONS
from SAMSpineLib.training.teaching.teach import teach

# Of the whole time, about so much goes into reading and encoding.
ENCODING = 0.15


@dataclass(frozen=True)
class HomeTeacher:
    """Teaches the SAM that is in use, or the bundled one; see `Teacher`."""

    model: str
    device: str = "cpu"

    def __call__(
        self, order: LessonOrder, *, progress: StageProgress | None = None, cancelled: Callable[[], bool] | None = None
    ) -> LessonResult:
        """Teach, and keep the model among the user's own.

        Raises:
            LabelError: if there is too little to learn from.
            ModelError: if the name is another model's.
        """
        store = user_store()
        taken = store.models().get(order.name)
        if taken is None or taken.architecture != TAUGHT_KIND:
            store.check_free(order.name)
        images = tuple(TeachImage(one.volume, one.labels, one.subject, one.complete) for one in order.volumes)
        structures = tuple(Wanted(_structure(one), (one.value,)) for one in order.structures)
        recipe = replace(RECIPE, steps=order.steps or RECIPE.steps)
        plan = TeachPlan(
            structures, build_backbone(sam_for(self.model), device=self.device), direction_of(order.volumes), recipe
        )

        def tell(stage: str, done: int, total: int, seen: dict[str, float]) -> None:
            if progress is not None:
                share = done / max(total, 1)
                begun = ENCODING * share if stage == "encode" else ENCODING + (1 - ENCODING) * share
                progress(_said(stage, seen), begun)

        done = teach(plan, images, store.teaching_folder(order.name), progress=tell, cancelled=cancelled)
        if taken is not None:
            store.remove(order.name)
        kept = add_checkpoint(store, done.path, Given(order.name))
        return LessonResult(kept.name, kept.bytes, done.steps, done.stopped, done.card.figures)


def direction_of(volumes: Sequence[LabelledVolume]) -> str:
    """Return in which slices somebody has labelled: those of which the fewest hold anything.

    Raises:
        LabelError: if nothing is labelled.
    """
    if not any(one.labels.any() for one in volumes):
        msg = "Nothing is labelled yet: paint the structure in at least three slices first"
        raise LabelError(msg)
    if all(1 in one.volume.shape for one in volumes):
        return "acquired"
    counts = {name: sum(_slices(one, name) for one in volumes) for name in DIRECTIONS}
    return min(counts, key=lambda name: counts[name])  # of equal ones the first: as acquired


def _slices(one: LabelledVolume, direction: str) -> int:
    """Return how many slices of a direction hold any label."""
    kji = np.argwhere(one.labels)
    stack = stack_along(one.volume.grid, DIRECTIONS[direction])
    return len(np.unique(stack.indices_at(one.volume.grid.to_ras(kji[:, ::-1].astype(float))))) if len(kji) else 0


def _structure(label: Label) -> TaughtStructure:
    """Return a label of somebody's scene under the value that its name has everywhere."""
    known = new_structure(label.name)
    return known if known.value < FIRST_NEW_VALUE else replace(known, colour=label.colour)


def _said(stage: str, seen: dict[str, float]) -> str:
    if stage == "encode":
        return "Reading the labelled slices"
    held = seen.get("held_dice")
    return "Teaching" if held is None else f"Teaching, Dice on what was held back {held:.2f}"
