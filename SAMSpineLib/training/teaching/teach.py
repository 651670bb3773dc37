"""Teach: labelled images in, one small file out that segments the structures by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from SAMSpineLib.models.sam2rad.network import Sam2Rad
from SAMSpineLib.models.sam2rad.taught import TaughtCard, save_taught
from SAMSpineLib.safe_write import replacing
from SAMSpineLib.training.checkpoint import TrainingState
from SAMSpineLib.training.loop import TrainingLog, columns_of, train_step
from SAMSpineLib.training.teaching.features import Lessons, encode_lessons
from SAMSpineLib.training.teaching.images import TeachImage, check_apart, divided
from SAMSpineLib.training.teaching.plan import TeachPlan
from SAMSpineLib.training.teaching.slices import check_enough, checked_slices, chosen_slices
from SAMSpineLib.training.teaching.task import TeachTask, dices, features_of, truth_in

OF_A_RUN = ("checkpoint.pt", "best.json", "log.csv", "taught.safetensors")

Progress = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Taught:
    """What came of it: the file, its card, and how many steps were taken of how many."""

    path: Path
    card: TaughtCard
    steps: int
    stopped: str


def teach(
    plan: TeachPlan,
    images: Sequence[TeachImage],
    folder: Path,
    *,
    held: Sequence[TeachImage] | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Taught:
    """Teach structures and return the best model that was seen.

    A run that was interrupted, even by force, goes on from the same folder and ends in the same weights. With other
    images, labels or settings a new one begins there.

    Args:
        plan: what to teach, on which SAM, and how.
        images: that teach; a fifth of their subjects is held back to tell when to stop, if there are enough.
        folder: for features, checkpoint, curve and the result, `taught.safetensors`.
        held: images that tell when to stop, instead of some of `images`.
        progress: called as (stage, done, total, figures); stages are `encode` and `teach`.
        cancelled: asked after every step; True ends it, and the best model so far is kept.

    Raises:
        LabelError: if there is too little to learn from, or a subject is on both sides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    teaching, held = (tuple(images), tuple(held)) if held is not None else divided(images, plan.recipe.seed)
    check_apart(teaching, held)
    check_enough(plan, teaching)
    lessons, checks = _encoded(plan, teaching, held, folder / "features", progress)
    task = TeachTask(plan, lessons)
    state = _begun(task, plan.model.backbone.device)
    _forget_others(folder, f"{lessons.identity} {checks.identity if checks else ''} {plan.recipe}")
    if (folder / "checkpoint.pt").is_file():
        state.load(folder / "checkpoint.pt")
    card = TaughtCard(
        plan.named, plan.model.name, plan.fingerprint, plan.config, plan.direction, teaching[0].volume.modality,
        (len(teaching), len(held)), plan.recipe.seed,
    )  # fmt: skip
    run = _Run(state, task, checks, card, folder)
    stopped = run.to_the_end(progress, cancelled)
    return Taught(run.result, run.best_card, state.step, stopped)


class _Run:
    """A run on its way: steps, looks at what was held back, the best model so far."""

    def __init__(
        self, state: TrainingState, task: TeachTask, checks: Lessons | None, card: TaughtCard, folder: Path
    ) -> None:
        self.state, self.task, self.checks, self.folder = state, task, checks, folder
        self.best_card = card
        self.result = folder / "taught.safetensors"
        self._note = folder / "best.json"
        best = json.loads(self._note.read_text()) if self._note.is_file() else {}
        self.best: dict[str, float] = best.get("figures", {}) if best.get("step", 0) <= state.step else {}
        self.best_step = int(best.get("step", 0)) if self.best else 0
        if self.best:
            self.best_card = replace(card, figures=self.best)

    def to_the_end(self, progress: Progress | None, cancelled: Callable[[], bool] | None) -> str:
        """Take steps until one of the reasons to stop; return it."""
        recipe, state = self.task.recipe, self.state
        checkpoint = self.folder / "checkpoint.pt"
        stopped = "all steps were taken"
        with TrainingLog(self.folder, columns_of(self.task)) as log:
            while state.step < recipe.steps:
                if cancelled is not None and cancelled():
                    stopped = "cancelled"
                    break
                figures = train_step(state, recipe, self.task)
                log.write(state.step, figures)
                if state.step % recipe.look_every == 0 or state.step == recipe.steps:
                    self.look()
                    state.save(checkpoint)
                if progress is not None:
                    progress("teach", state.step, recipe.steps, figures | self._held_figures())
                if self.checks is not None and state.step - self.best_step >= recipe.patience * recipe.look_every:
                    stopped = "it did not get better any more"
                    break
        if not self.best_step or self.checks is None:
            self.keep({})
        state.save(checkpoint)
        return stopped

    def look(self) -> None:
        """Measure the average of the weights on the held-back slices, and keep it if it is the best so far."""
        figures = measured(self._average, self.checks) if self.checks is not None else {}
        better = not self.best or figures.get("score", 0.0) > self.best.get("score", 0.0)
        if self.checks is None or better:
            self.keep(figures)

    def keep(self, figures: dict[str, float]) -> None:
        """Keep the average of the weights as the result."""
        self.best, self.best_step = figures, self.state.step
        self.best_card = replace(self.best_card, figures=figures)
        save_taught(self.result, self._average, self.best_card)
        with replacing(self._note) as partial:
            partial.write_text(json.dumps({"step": self.best_step, "figures": figures}), encoding="utf-8")

    @property
    def _average(self) -> Sam2Rad:
        return cast("Sam2Rad", self.state.average)

    def _held_figures(self) -> dict[str, float]:
        return {f"held_{name}": value for name, value in self.best.items()}


@torch.inference_mode()
def measured(network: Sam2Rad, checks: Lessons) -> dict[str, float]:
    """Return mean Dice where structures are, and the share of slices in which presence was told right."""
    was_training = network.training
    network.eval()
    scores: list[float] = []
    right: list[bool] = []
    device = next(network.parameters()).device
    for index in range(len(checks.files)):
        lesson = checks.read(index)
        count = len(lesson.present)
        structures = np.arange(count)
        truth, present = truth_in([lesson] * count, structures, device)
        maps = tuple(one.expand(count, -1, -1, -1) for one in features_of(network, [lesson], device))
        learned = network.predict(maps, torch.from_numpy(structures).to(device))
        logits, _ = network.decode(maps, learned)
        there = learned.presence > 0
        scores += (dices(logits[:, 0], truth) * there)[present].tolist()
        right += (there == present).tolist()
    network.train(was_training)
    dice, presence = float(np.mean(scores)) if scores else 0.0, float(np.mean(right))
    return {"dice": dice, "presence": presence, "score": dice + 0.1 * presence}


def _begun(task: TeachTask, device: torch.device) -> TrainingState:
    """Return the state before the first step."""
    recipe = task.recipe
    torch.manual_seed(recipe.seed)
    network = task.network().to(device)
    learning = [one for one in network.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return TrainingState.fresh(network, optimiser, recipe.seed)


def _forget_others(folder: Path, identity: str) -> None:
    """Remove what another run has left in a folder, but for features."""
    note = folder / "run.txt"
    if not note.is_file() or note.read_text(encoding="utf-8") != identity:
        for name in OF_A_RUN:
            (folder / name).unlink(missing_ok=True)
        with replacing(note) as partial:
            partial.write_text(identity, encoding="utf-8")


def _encoded(
    plan: TeachPlan,
    teaching: Sequence[TeachImage],
    held: Sequence[TeachImage],
    folder: Path,
    progress: Progress | None,
) -> tuple[Lessons, Lessons | None]:
    """Encode the slices that teach, with variants, and those that tell when to stop, without."""

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress("encode", done, total, {})

    lessons = encode_lessons(chosen_slices(plan, teaching), plan, folder, variants=plan.recipe.variants, progress=tell)
    checks = encode_lessons(checked_slices(plan, held), plan, folder, variants=0, progress=tell) if held else None
    return lessons, checks
