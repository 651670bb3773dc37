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
    as_logits,
    decode_slices,
    encode_slices,
)
from SAMSpineLib.training.attention_start import attend_nearby
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
        network = build_sam2(self.config).train().to(memory_format=torch.channels_last)
        attend_nearby(network.sam_mask_decoder.transformer)
        return network

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
        masks, given = self._given(users, device)
        last = 0 if rng.random() < 1 / 4 else int(rng.integers(1, max(2, self.recipe.rounds)))
        losses: list[Tensor] = []
        dices: list[float] = []
        for turn in range(last + 1):
            points, labels = (one.to(device) for one in prompts_of(users))
            ambiguous = torch.tensor([user.is_ambiguous for user in users], device=device)
            with torch.set_grad_enabled(turn in (0, last)):
                answers = decode_slices(network, features, points * PIXELS, labels, masks, given)
                loss, best, error = candidate_losses(
                    answers.logits, answers.quality, answers.presence, truth, ambiguous
                )
            if turn in (0, last):
                losses.append(loss)
                dices.append(_dice(best, truth))
            masks, given = best.detach().float(), torch.ones_like(given)
            if turn < last:
                shapes = F.interpolate(masks, size=truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0
                for user, shape in zip(users, shapes.cpu().numpy(), strict=True):
                    user.correct(shape)
        return torch.stack(losses).mean(), (dices[0], dices[-1], error)

    def _given(self, users: Sequence[SliceUser], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the masks that users begin with as logits (B, 1, S/4, S/4), and (B,) whether each has one."""
        masks = [np.zeros_like(user.shown.target) if user.mask is None else user.mask for user in users]
        logits = as_logits(torch.from_numpy(np.stack(masks)).to(device), self.config.image_size // 4)
        return logits, torch.tensor([user.mask is not None for user in users], device=device)


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
