"""What a network is taught: the one thing in which trainings differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.localiser_task import LocaliserTask
from SAMSpineLib.training.ma_sam.task import MaSamTask
from SAMSpineLib.training.masksam.task import MaskSamTask
from SAMSpineLib.training.prompt_task import PromptTask
from SAMSpineLib.training.recipes import LocaliserRecipe, MaSamRecipe, MaskSamRecipe, PromptRecipe, Recipe, SliceRecipe
from SAMSpineLib.training.slice_task import SliceTask


class Task(Protocol):
    """One network and the lessons it is given."""

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that `loss` returns beside the loss itself."""
        ...

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        ...

    def loss(self, network: Any, rng: np.random.Generator, device: torch.device) -> tuple[Tensor, tuple[float, ...]]:
        """Draw a batch and return its loss, to be minimised, and the figures."""
        ...


@runtime_checkable
class TaskOnSam(Task, Protocol):
    """A network that is learnt on top of a SAM, whose file holds no weights but its own."""

    def begin(self, network: Any, start: Path) -> None:
        """Fill the network with what a file holds."""
        ...

    def keep(self, network: Any, path: Path) -> Path:
        """Write what was learnt, and which SAM it belongs to."""
        ...


TASKS: dict[type[Recipe], Callable[[Any, Sequence[Case]], Task]] = {
    PromptRecipe: PromptTask,
    LocaliserRecipe: LocaliserTask,
    SliceRecipe: SliceTask,
    MaskSamRecipe: MaskSamTask,
    MaSamRecipe: MaSamTask,
}


def task_of(recipe: Recipe, cases: Sequence[Case]) -> Task:
    """Return the task that a recipe describes, on these cases."""
    return TASKS[type(recipe)](recipe, cases)
