"""What the network is scored by: MONAI's Dice and focal losses, weighted as published."""

from __future__ import annotations

import torch
from monai.losses import DiceFocalLoss, MaskedDiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

FOCAL = 4.0


class PromptLoss(nn.Module):
    """Loss of one answer: 0.8 Dice + 0.2 focal on each of the two masks, and the error of the quality score.

    The weights of Dice and focal are CT-SAM3D's (arXiv 2403.15063). Unlike the release, the quality score has a loss,
    and Dice has squares in its denominator (Milletari et al., V-Net, 3DV 2016): so a voxel of which half is bone is
    best answered by 0.5, which is what puts the border between voxel centres.
    """

    def __init__(self, *, other_mask: float = 0.25, quality: float = 0.1, near: float = 0.5) -> None:
        """Weigh the mask that was not asked for by `other_mask`, the quality score by `quality`.

        `near` weighs a second Dice, of the asked mask around the corrections alone: what one correction can gain is a
        hundredth of the whole structure, and would be lost in the noise of training.
        """
        super().__init__()
        self.segmentation = DiceFocalLoss(
            sigmoid=True, squared_pred=True, lambda_dice=0.8, lambda_focal=0.2, gamma=2.0, reduction="none"
        )
        self.corrected = MaskedDiceLoss(squared_pred=True, reduction="none")
        self.other_mask = other_mask
        self.quality = quality
        self.near = near

    def forward(
        self, logits: Tensor, quality: Tensor, masks: Tensor, asked: Tensor, around: Tensor | None = None
    ) -> Tensor:
        """Return the mean loss.

        Args:
            logits: (B, 2, N, N, N) for part and whole.
            quality: (B, 2) logits of the expected Dice.
            masks: (B, 2, N, N, N) truth: the share of each voxel, 0..1.
            asked: (B,) index of the mask that the user wants.
            around: (B, 1, N, N, N) 1 around the corrections, or None if there are none.
        """
        wanted = F.one_hot(asked, 2).to(logits.dtype)
        weights = wanted + self.other_mask * (1 - wanted)
        # Under automatic mixed precision the sums of Dice would overflow in half precision.
        per_mask = self.segmentation(logits.float(), masks.float()).mean(dim=(2, 3, 4))
        expected = F.mse_loss(torch.sigmoid(quality.float()), soft_dice(logits, masks), reduction="none")
        mean: Tensor = (weights * (per_mask + self.quality * expected)).sum() / weights.sum()
        if around is None or not bool(around.any()):
            return mean
        pick = asked.view(-1, 1, 1, 1, 1).expand(-1, 1, *logits.shape[2:])
        answer = torch.sigmoid(logits.float()).gather(1, pick)
        there = self.corrected(answer, masks.float().gather(1, pick), around).flatten()
        clicked = around.flatten(1).any(dim=1)
        total: Tensor = mean + self.near * there[clicked].mean()
        return total


@torch.no_grad()
def soft_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the Dice (B, 2) of thresholded masks."""
    predicted, truth = (logits > 0).float(), (masks > 0.5).float()
    overlap = (predicted * truth).sum(dim=(2, 3, 4))
    return (2 * overlap + 1) / (predicted.sum(dim=(2, 3, 4)) + truth.sum(dim=(2, 3, 4)) + 1)


def heat_loss(heat: Tensor, target: Tensor, *, emphasis: float = 50.0) -> Tensor:
    """Return the squared error of a heat map (B, 1, N, N, N); a click fills few voxels, so they weigh more."""
    return ((1 + emphasis * target) * (heat - target) ** 2).mean()


def candidate_losses(
    logits: Tensor, quality: Tensor, presence: Tensor, truth: Tensor, ambiguous: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Score the masks of Segment Anything: the first, or the best of the others where a prompt may mean several things.

    Source: SAM (Kirillov et al., arXiv 2304.02643, section 3 and appendix A): focal and Dice loss, only of the mask
    with the least loss, and the squared error of the expected IoU of all that were in the choice. Focal loss weighs
    `FOCAL` here and 20 there: from fresh weights and with small targets 20 ends in empty masks.

    Args:
        logits: (B, 4, h, w).
        quality: (B, 4) expected IoU.
        presence: (B, 1) logit that there is an object; it always is here.
        truth: (B, H, W) share of each pixel, at the resolution at which the mask is wanted.
        ambiguous: (B,) whether the choice is among the last three masks.

    Returns:
        The mean loss, the chosen masks' logits (B, 1, h, w), the mean error of the expected IoU.
    """
    sized = F.interpolate(logits.float(), size=truth.shape[-2:], mode="bilinear", align_corners=False)
    wanted = truth[:, None].float().expand_as(sized)
    probability = torch.sigmoid(sized)
    overlap = (probability * wanted).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / ((probability**2).sum(dim=(2, 3)) + (wanted**2).sum(dim=(2, 3)) + 1)
    masks = FOCAL * sigmoid_focal(sized, wanted).mean(dim=(2, 3)) + dice
    choice = torch.stack([~ambiguous, ambiguous, ambiguous, ambiguous], dim=1)
    best = masks.masked_fill(~choice, torch.inf).argmin(dim=1)
    rows = torch.arange(len(best), device=best.device)
    with torch.no_grad():
        hard, inside = sized > 0, wanted > 0.5
        iou = (hard & inside).sum(dim=(2, 3)) / (hard | inside).sum(dim=(2, 3)).clamp(min=1)
    errors = (quality.float() - iou)[choice]
    there = F.binary_cross_entropy_with_logits(presence.float(), torch.ones_like(presence.float()))
    total: Tensor = masks[rows, best].mean() + (errors**2).mean() + 0.05 * there
    return total, logits[rows, best][:, None], errors.detach().abs().mean().item()


def sigmoid_focal(logits: Tensor, truth: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Return the focal loss of each pixel for shares of 0..1 (Lin et al., ICCV 2017)."""
    plain = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (torch.sigmoid(logits) - truth).abs() ** gamma * plain
