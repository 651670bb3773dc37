"""What a network is taught: the one thing in which trainings differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.localiser_task import LocaliserTask
from SAMSpineLib.training.prompt_task import PromptTask
from SAMSpineLib.training.recipes import LocaliserRecipe, PromptRecipe, Recipe, SliceRecipe
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


TASKS: dict[type[Recipe], Callable[[Any, Sequence[Case]], Task]] = {
    PromptRecipe: PromptTask,
    LocaliserRecipe: LocaliserTask,
    SliceRecipe: SliceTask,
}


def task_of(recipe: Recipe, cases: Sequence[Case]) -> Task:
    """Return the task that a recipe describes, on these cases."""
    return TASKS[type(recipe)](recipe, cases)
