"""Teaching the localiser: bone, centres, the way to them, which level a voxel belongs to, and ribs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.losses import DiceFocalLoss
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.models.localiser.config import CONFIGS
from SAMSpineLib.models.localiser.network import OFFSET_UNIT_MM, Localiser, LocaliserMaps
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.localiser_patches import WindowSampler
from SAMSpineLib.training.localiser_targets import IGNORED, LocaliserTarget
from SAMSpineLib.training.losses import heat_loss
from SAMSpineLib.training.recipes import LocaliserRecipe


class LocaliserTask:
    """Windows drawn along the spine; the loss of all five maps."""

    figures = ("bone_dice", "heat", "offset_mm", "level_hits", "rib_dice")

    def __init__(self, recipe: LocaliserRecipe, cases: Sequence[Case]) -> None:
        """Prepare the windows of the cases."""
        self.recipe = recipe
        self.config = CONFIGS[recipe.model]
        self.sampler = WindowSampler(cases, self.config)
        self._mask = DiceFocalLoss(sigmoid=True, squared_pred=True, lambda_dice=0.7, lambda_focal=0.3, batch=True)

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        return Localiser(self.config).to(memory_format=torch.channels_last_3d)

    def loss(
        self, network: nn.Module, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, tuple[float, ...]]:
        """Draw a batch and return its loss, and the figures of its bone, heat, offsets, levels and ribs."""
        drawn = [self.sampler.draw(rng) for _ in range(self.recipe.batch)]
        image = torch.from_numpy(np.stack([image for image, _ in drawn])[:, None])
        maps: LocaliserMaps = network(image.to(device, memory_format=torch.channels_last_3d))
        targets = [target for _, target in drawn]
        bone = _stacked([t.bone[None].astype(np.float32) for t in targets], device)
        heat = _stacked([t.heat[None] for t in targets], device)
        loss = self._mask(maps.bone.float(), bone)
        heat_error = heat_loss(maps.heat.float(), heat)
        offset_error = self._offset_loss(maps, targets, device)
        level_error, hits = self._level_loss(maps, targets, device)
        loss = loss + self.recipe.heat_share * heat_error
        loss = loss + self.recipe.offset_share * offset_error + self.recipe.level_share * level_error
        rib_error, rib_dice = self._rib_loss(maps, targets, device)
        loss = loss + self.recipe.rib_share * rib_error
        offset_mm = OFFSET_UNIT_MM * offset_error.item()
        return loss, (_dice(maps.bone, bone), heat_error.item(), offset_mm, hits, rib_dice)

    def _rib_loss(
        self, maps: LocaliserMaps, targets: Sequence[LocaliserTarget], device: torch.device
    ) -> tuple[Tensor, float]:
        """Return the loss and the Dice of the ribs over those windows where somebody labelled ribs."""
        known = [n for n, target in enumerate(targets) if target.ribs is not None]
        if not known:
            return maps.ribs.float().sum() * 0, float("nan")
        said = maps.ribs[known].float()
        truth = _stacked([t.ribs[None].astype(np.float32) for t in targets if t.ribs is not None], device)
        return self._mask(said, truth), _dice(said, truth)

    def _offset_loss(self, maps: LocaliserMaps, targets: Sequence[LocaliserTarget], device: torch.device) -> Tensor:
        """Return the mean error of the ways to the centres, in `OFFSET_UNIT_MM`, over the voxels of vertebrae."""
        where = _stacked([t.vertebrae[None].astype(np.float32) for t in targets], device)
        truth = _stacked([t.offsets for t in targets], device) / OFFSET_UNIT_MM
        error = F.smooth_l1_loss(maps.offsets.float(), truth, reduction="none", beta=0.1).mean(dim=1, keepdim=True)
        return (error * where).sum() / where.sum().clamp(min=1)

    def _level_loss(
        self, maps: LocaliserMaps, targets: Sequence[LocaliserTarget], device: torch.device
    ) -> tuple[Tensor, float]:
        """Return the cross-entropy of the levels, each level counting the same, and the share of voxels named right."""
        truth = _stacked([t.levels for t in targets], device)
        seen = truth != IGNORED
        if not bool(seen.any()):
            return maps.levels.float().sum() * 0, float("nan")
        error = F.cross_entropy(
            maps.levels.float(), truth, ignore_index=IGNORED, reduction="none", label_smoothing=0.05
        )
        counts = torch.bincount(truth[seen], minlength=maps.levels.shape[1])
        weight = torch.where(seen, 1.0 / counts[truth.clamp(min=0)].clamp(min=1), 0.0)
        hits = (maps.levels.argmax(dim=1)[seen] == truth[seen]).float().mean().item()
        return (error * weight).sum() / weight.sum(), hits


def _dice(said: Tensor, truth: Tensor) -> float:
    """Return the Dice of a batch of logits and masks; 1 where both are empty."""
    overlap = ((said > 0) & (truth > 0)).sum()
    return float((2 * overlap + 1) / ((said > 0).sum() + truth.sum() + 1))


def _stacked(arrays: Sequence[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device)
