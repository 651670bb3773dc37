"""Teaching MA-SAM: windows through the spine, with what any number of atlases could say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.build import build_backbone
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.models.ma_sam.config import CONFIGS
from SAMSpineLib.models.ma_sam.learnt import MaSamCard, read_ma_sam, save_ma_sam
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.ma_sam.prompt_encoder import class_probabilities
from SAMSpineLib.models.taught_file import TaughtStructure, check_backbone, fill, fingerprint
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.ma_sam.losses import ClassLoss, mean_dice
from SAMSpineLib.training.ma_sam.slices import PromptedSlice, PromptedSlices
from SAMSpineLib.training.recipes import MaSamRecipe


class MaSamTask:
    """Slices of the spine in front of a SAM that is told what atlases say."""

    figures = ("dice", "said_dice")

    def __init__(self, recipe: MaSamRecipe, cases: Sequence[Case]) -> None:
        """Prepare the slices of the cases."""
        self.recipe = recipe
        self.config = replace(CONFIGS[recipe.model], image_size=recipe.side)
        self.slices = PromptedSlices(cases, recipe.side, self.config.pixel, recipe.direction)
        self._loss = ClassLoss()

    def network(self) -> MaSam:
        """Return a model that has learnt nothing yet, on the SAM of the recipe."""
        return MaSam(self.config, self._sam).train()

    def begin(self, network: MaSam, start: Path) -> None:
        """Fill the network with what a file of an earlier run holds; its slices may have had another size.

        Raises:
            ModelError: if the file is damaged, of another shape, or was taught on another SAM.
        """
        tensors, card = read_ma_sam(start)
        check_backbone(start, card, self._sam)
        fill(network, network.learnt(), tensors, start)

    def keep(self, network: MaSam, path: Path) -> Path:
        """Write what was learnt, with its card."""
        return save_ma_sam(path, network, self._card)

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

    @cached_property
    def _sam(self) -> Any:
        return build_backbone(self.recipe.sam, image_size=self.recipe.side).backbone.network

    @property
    def _card(self) -> MaSamCard:
        recipe, table = self.recipe, spine_labels()
        rows = [table.by_value(value) for value in LEVEL_VALUES]
        named = tuple(TaughtStructure(one.value, one.name, one.colour) for one in rows)
        return MaSamCard(named, recipe.sam, fingerprint(self._sam), self.config, recipe.direction, seed=recipe.seed)


def _votes(shown: PromptedSlice, classes: int) -> Tensor:
    """Return the class (S, S) that most atlases say."""
    return class_probabilities(torch.from_numpy(shown.said)[None], classes)[0].argmax(dim=0)
