"""Teaching a small SAM 2: simulated users prompt it on slices of every look and correct it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn import functional as F

from SAMSpineLib.models.sam.config import OWN_CONFIGS
from SAMSpineLib.models.sam.networks import PIXEL_MEAN, PIXEL_STD, build_sam2
from SAMSpineLib.models.sam.sam2_forward import (
    SliceAnswers,
    SliceFeatures,
    as_logits,
    decode_slices,
    encode_slices,
)
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.losses import candidate_losses
from SAMSpineLib.training.recipes import SliceRecipe
from SAMSpineLib.training.slice_user import SliceUser, prompts_of
from SAMSpineLib.training.slices import SliceSampler

# The network sees each pixel of a slice as so many in a row: its masks have a fourth of its image's resolution.
PIXELS = 2


class SliceTask:
    """Slices through all kinds of structures, each in front of a user."""

    figures = ("dice_first", "dice_last", "quality")

    def __init__(self, recipe: SliceRecipe, cases: Sequence[Case]) -> None:
        """Prepare the slices of the cases."""
        self.recipe = recipe
        self.config = replace(OWN_CONFIGS[recipe.model], image_size=PIXELS * recipe.side)
        self.sampler = SliceSampler(cases, recipe.side)

    def network(self) -> SAM2Base:
        """Return the network with fresh weights."""
        return build_sam2(self.config).train().to(memory_format=torch.channels_last)

    def loss(
        self, network: SAM2Base, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, tuple[float, ...]]:
        """Draw a batch and return its loss, Dice after first and last prompt, and the error of the expected IoU.

        Gradients come from the first and the last answer; those between only bring the users to where they are.
        """
        shown = [self.sampler.draw(rng) for _ in range(self.recipe.batch)]
        users = [SliceUser(one, rng) for one in shown]
        truth = torch.from_numpy(np.stack([one.target for one in shown])).to(device)
        images = torch.from_numpy(np.stack([one.image for one in shown])).to(device)
        features = encode_slices(network, _as_seen(images))
        previous = self._given(users, device)
        last = 0 if rng.random() < 1 / 4 else int(rng.integers(1, max(2, self.recipe.rounds)))
        losses: list[Tensor] = []
        dices: list[float] = []
        for turn in range(last + 1):
            with torch.set_grad_enabled(turn in (0, last)):
                answers = self._answers(network, features, users, previous, first=turn == 0)
                loss, best, error = candidate_losses(answers.logits, answers.quality, answers.presence, truth)
            if turn in (0, last):
                losses.append(loss)
                dices.append(_dice(best, truth))
            previous = best.detach().float()
            if turn < last:
                masks = F.interpolate(previous, size=truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0
                for user, mask in zip(users, masks.cpu().numpy(), strict=True):
                    user.correct(mask)
        return torch.stack(losses).mean(), (dices[0], dices[-1], error)

    def _answers(
        self,
        network: SAM2Base,
        features: SliceFeatures,
        users: Sequence[SliceUser],
        previous: Tensor | None,
        *,
        first: bool,
    ) -> SliceAnswers:
        points, labels = (one.to(features.embedding.device) for one in prompts_of(users))
        return decode_slices(network, features, points * PIXELS, labels, previous=previous, candidates=first)

    def _given(self, users: Sequence[SliceUser], device: torch.device) -> Tensor | None:
        """Return the masks that users begin with as logits; a prompt encoder takes a mask for all or for none.

        A user without one is given an even mask: nothing is known of any pixel.
        """
        if all(user.mask is None for user in users):
            return None
        masks = [np.full_like(user.shown.target, 0.5) if user.mask is None else user.mask for user in users]
        return as_logits(torch.from_numpy(np.stack(masks)).to(device), self.config.image_size // 4)


def _as_seen(images: Tensor) -> Tensor:
    """Return slices (B, H, W; -1..1) as the network sees them (B, 3, S, S): grey, normalised as natural images are."""
    side = PIXELS * images.shape[-1]
    grey = F.interpolate(127.5 * (images[:, None] + 1), size=(side, side), mode="bilinear", align_corners=False)
    mean, deviation = (torch.tensor(one, device=images.device).view(1, 3, 1, 1) for one in (PIXEL_MEAN, PIXEL_STD))
    return (grey - mean) / deviation


def _dice(logits: Tensor, truth: Tensor) -> float:
    """Return the mean Dice of masks (B, 1, h, w; logits) and shares (B, H, W)."""
    answer = F.interpolate(logits.detach().float(), size=truth.shape[-2:], mode="bilinear", align_corners=False) > 0
    mask, wanted = answer[:, 0].flatten(1), (truth > 0.5).flatten(1)
    overlap = (mask & wanted).sum(dim=1)
    return float((2 * overlap / (mask.sum(dim=1) + wanted.sum(dim=1)).clamp(min=1)).mean())
