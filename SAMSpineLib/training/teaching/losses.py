"""What a taught model is scored by (arXiv 2409.06821, release)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from SAMSpineLib.models.sam2rad.prompt_predictor import LearnedPrompts

FOCAL = 10.0
FIRST_MASK = 100.0
SMOOTHING = 0.1
MOST_SURE = 10.0


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the mean of Dice and ten times focal loss (B,) of masks (B, h, w) against shares."""
    probability = torch.sigmoid(logits)
    overlap = (probability * truth).sum(dim=(1, 2))
    dice = 1 - (2 * overlap + 1) / ((probability**2).sum(dim=(1, 2)) + (truth**2).sum(dim=(1, 2)) + 1)
    focal = sigmoid_focal_loss(logits, truth, alpha=0.7, gamma=3.0).mean(dim=(1, 2))
    loss: Tensor = (dice + FOCAL * focal) / 2
    return loss


def prompt_loss(learned: LearnedPrompts, truth: Tensor, present: Tensor) -> Tensor:
    """Return the loss of learned prompts: whether the structure is there, its box, and the first mask.

    Args:
        learned: of B structures.
        truth: (B, h, w) shares.
        present: (B,) whether each is there; box and mask count only where it is.
    """
    wanted = present.float() * (1 - SMOOTHING) + SMOOTHING / 2
    loss = F.binary_cross_entropy_with_logits(learned.presence.clamp(-MOST_SURE, MOST_SURE), wanted)
    if bool(present.any()):
        marked = truth[present]
        boxes = generalized_box_iou_loss(learned.box[present], boxes_around(marked), reduction="mean")
        first = sigmoid_focal_loss(learned.mask[present, 0], marked, alpha=0.6, gamma=3.0, reduction="mean")
        loss = loss + boxes + FIRST_MASK * first
    return loss


def boxes_around(truth: Tensor) -> Tensor:
    """Return the boxes (B, 4) x0, y0, x1, y1 around what is above one half of shares (B, h, w), as parts of the side.

    Where nothing is, around the largest share.
    """
    inside = truth > torch.minimum(torch.tensor(0.5, device=truth.device), truth.amax(dim=(1, 2), keepdim=True) * 0.99)
    boxes = []
    for axis in (1, 2):  # columns are left when rows are gone, and the other way round
        line = inside.any(dim=axis).float()
        size = line.shape[1]
        first = line.argmax(dim=1)
        last = size - line.flip(1).argmax(dim=1)
        boxes.append((first / size, last / size))
    (left, right), (top, bottom) = boxes
    return torch.stack([left, top, right, bottom], dim=1)
