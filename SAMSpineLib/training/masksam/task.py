"""Teaching MaskSAM: stacks of a few slices, of which each query learns to see one vertebra, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from SAMSpineLib.models.masksam.config import CONFIGS, MaskSamConfig
from SAMSpineLib.models.masksam.learnt import MASKSAM_FILE
from SAMSpineLib.models.masksam.network import MaskSam
from SAMSpineLib.models.sam2rad.segmenter import NORMALS
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.masksam.losses import MaskSamLoss
from SAMSpineLib.training.masksam.matching import StackTruth
from SAMSpineLib.training.masksam.stacks import StackSampler
from SAMSpineLib.training.on_sam import OnSam
from SAMSpineLib.training.recipes import MaskSamRecipe


class MaskSamTask(OnSam[MaskSamConfig, MaskSam]):
    """Stacks through the spine, in front of a SAM that prompts itself."""

    figures = ("dice", "first_dice", "named")

    def __init__(self, recipe: MaskSamRecipe, cases: Sequence[Case]) -> None:
        """Prepare the stacks of the cases."""
        self.recipe = recipe
        super().__init__(MASKSAM_FILE, recipe, replace(CONFIGS[recipe.model], image_size=recipe.side))
        self.sampler = StackSampler(cases, recipe.side, self.config.apart, NORMALS[recipe.direction])
        self._loss = MaskSamLoss()

    def loss(
        self, network: MaskSam, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, tuple[float, ...]]:
        """Draw a batch and return its loss, Dice of masks and first masks, and the share of levels named right.

        All stacks of a batch have the same depth, any from one slice to those of the recipe.
        """
        depth = int(rng.integers(1, self.recipe.depth + 1))
        drawn = [self.sampler.draw(rng, depth) for _ in range(self.recipe.batch)]
        pictures = torch.from_numpy(np.stack([one.pictures for one in drawn])).to(device)
        marked = [(torch.from_numpy(one.kinds), torch.from_numpy(one.shares)) for one in drawn]
        truths = [StackTruth(kinds.to(device), shares.to(device)) for kinds, shares in marked]
        loss, seen = self._loss(network(pictures), truths)
        return loss, (seen.dice, seen.first_dice, seen.named)
