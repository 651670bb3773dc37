"""Teaching MA-SAM: windows through the spine, with what any number of atlases could say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from SAMSpineLib.models.ma_sam.config import CONFIGS, MaSamConfig
from SAMSpineLib.models.ma_sam.learnt import MA_SAM_FILE
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.ma_sam.prompt_encoder import class_probabilities
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.ma_sam.losses import ClassLoss, mean_dice
from SAMSpineLib.training.ma_sam.slices import PromptedSlice, PromptedSlices
from SAMSpineLib.training.on_sam import OnSam
from SAMSpineLib.training.recipes import MaSamRecipe


class MaSamTask(OnSam[MaSamConfig, MaSam]):
    """Slices of the spine in front of a SAM that is told what atlases say."""

    figures = ("dice", "said_dice")

    def __init__(self, recipe: MaSamRecipe, cases: Sequence[Case]) -> None:
        """Prepare the slices of the cases."""
        self.recipe = recipe
        super().__init__(MA_SAM_FILE, recipe, replace(CONFIGS[recipe.model], image_size=recipe.side))
        self.slices = PromptedSlices(cases, recipe.side, self.config.pixel, recipe.direction)
        self._loss = ClassLoss()

    def loss(self, network: MaSam, rng: np.random.Generator, device: torch.device) -> tuple[Tensor, tuple[float, ...]]:
        """Draw a batch and return its loss, Dice of the answer, and Dice of what most atlases say.

        Each slice has another number of atlases, unless the prompt has a channel for each.
        """
        most = self.recipe.atlases
        counts = [self.config.atlases or int(rng.integers(1, most + 1)) for _ in range(self.recipe.batch)]
        drawn = [self.slices.draw(rng, count) for count in counts]
        pictures = torch.from_numpy(np.stack([one.picture for one in drawn])).to(device)
        shares = torch.from_numpy(np.stack([one.shares for one in drawn])).to(device)
        said = torch.stack([self._prompt(one) for one in drawn]).to(device)
        logits = network(pictures, said)
        truth = shares.argmax(dim=1)
        votes = torch.stack([_votes(one, len(shares[0])) for one in drawn]).to(device)
        return self._loss(logits, shares), (mean_dice(logits.argmax(dim=1), truth), mean_dice(votes, truth))

    def _prompt(self, shown: PromptedSlice) -> Tensor:
        """Return the prompt (P, S, S) of a slice."""
        said = torch.from_numpy(shown.said)
        return said.float() if self.config.atlases else class_probabilities(said[None], self.config.classes)[0]


def _votes(shown: PromptedSlice, classes: int) -> Tensor:
    """Return the class (S, S) that most atlases say."""
    return class_probabilities(torch.from_numpy(shown.said)[None], classes)[0].argmax(dim=0)
