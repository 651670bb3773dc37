"""Teaching MaskSAM: stacks of a few slices, of which each query learns to see one vertebra, or nothing."""

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
from SAMSpineLib.models.masksam.config import CONFIGS
from SAMSpineLib.models.masksam.learnt import MaskSamCard, read_masksam, save_masksam
from SAMSpineLib.models.masksam.network import MaskSam
from SAMSpineLib.models.sam2rad.segmenter import NORMALS
from SAMSpineLib.models.taught_file import TaughtStructure, check_backbone, fill, fingerprint
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.masksam.losses import MaskSamLoss
from SAMSpineLib.training.masksam.matching import StackTruth
from SAMSpineLib.training.masksam.stacks import StackSampler
from SAMSpineLib.training.recipes import MaskSamRecipe


class MaskSamTask:
    """Stacks through the spine, in front of a SAM that prompts itself."""

    figures = ("dice", "first_dice", "named")

    def __init__(self, recipe: MaskSamRecipe, cases: Sequence[Case]) -> None:
        """Prepare the stacks of the cases."""
        self.recipe = recipe
        self.config = replace(CONFIGS[recipe.model], image_size=recipe.side)
        self.sampler = StackSampler(cases, recipe.side, self.config.apart, NORMALS[recipe.direction])
        self._loss = MaskSamLoss()

    def network(self) -> MaskSam:
        """Return a model that has learnt nothing yet, on the SAM of the recipe."""
        return MaskSam(self.config, self._sam).train()

    def begin(self, network: MaskSam, start: Path) -> None:
        """Fill the network with what a file of an earlier run holds; its slices may have had another size.

        Raises:
            ModelError: if the file is damaged, of another shape, or was taught on another SAM.
        """
        tensors, card = read_masksam(start)
        check_backbone(start, card, self._sam)
        fill(network, network.learnt(), tensors, start)

    def keep(self, network: MaskSam, path: Path) -> Path:
        """Write what was learnt, with its card."""
        return save_masksam(path, network, self._card)

    @cached_property
    def _sam(self) -> Any:
        return build_backbone(self.recipe.sam, image_size=self.recipe.side).backbone.network

    @property
    def _card(self) -> MaskSamCard:
        recipe, table = self.recipe, spine_labels()
        rows = [table.by_value(value) for value in LEVEL_VALUES]
        named = tuple(TaughtStructure(one.value, one.name, one.colour) for one in rows)
        return MaskSamCard(named, recipe.sam, fingerprint(self._sam), self.config, recipe.direction, seed=recipe.seed)

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
