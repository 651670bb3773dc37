"""What MaskSAM is scored by (arXiv 2403.14103, release): classes, masks, first masks and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.losses import BoxGIoULoss, DiceLoss
from torch import Tensor
from torch.nn import functional as F

from SAMSpineLib.models.masksam.network import StackAnswer
from SAMSpineLib.training.masksam.matching import BOX, CLASS, FIRST_MASK, MASK, OVERLAP, StackTruth, matched

# Most queries see no object; together they would say more than all the others.
NO_OBJECT = 0.1


@dataclass(frozen=True)
class StackFigures:
    """How good an answer is: Dice of masks and first masks (0..1), the share of structures that are named right.

    Where nothing is marked they are NaN.
    """

    dice: float
    first_dice: float
    named: float


class MaskSamLoss:
    """The loss of answers for some stacks.

    All that is marked is one mean over the batch. Unlike the release, masks are scored at each of their values and not
    at a sample of them, and first masks as the logits that they are.
    """

    def __init__(self) -> None:
        """Prepare MONAI's losses."""
        self._dice = DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=1.0, smooth_dr=1.0)
        self._overlap = BoxGIoULoss(reduction="none")

    def __call__(self, answer: StackAnswer, truths: list[StackTruth]) -> tuple[Tensor, StackFigures]:
        """Return the loss, to be minimised, and how good the answer is."""
        pairs = matched(answer, truths)
        loss = CLASS * class_loss(answer.kinds, truths, pairs)
        stack = torch.cat([torch.full_like(queries, place) for place, (queries, _) in enumerate(pairs)])
        query = torch.cat([queries for queries, _ in pairs])
        if not len(query):
            return loss, StackFigures(float("nan"), float("nan"), float("nan"))
        chosen = [(truth, structures) for truth, (_, structures) in zip(truths, pairs, strict=True)]
        shares = torch.cat([truth.shares[structures] for truth, structures in chosen])
        kinds = torch.cat([truth.kinds[structures] for truth, structures in chosen])
        masks, first = answer.masks[stack, query].float(), answer.prompts.masks[stack, query].float()
        loss = loss + MASK * self.mask_loss(masks, shares) + FIRST_MASK * self.mask_loss(first, shares)
        boxes = [tuple(part[structures] for part in truth.boxes()) for truth, structures in chosen]
        wanted, there = (torch.cat(part) for part in zip(*boxes, strict=True))
        loss = loss + self.box_loss(answer.prompts.boxes[stack, query].float(), wanted, there)
        named = (answer.kinds[stack, query].argmax(dim=-1) == kinds).float().mean()
        return loss, StackFigures(_dice(masks, shares), _dice(first, shares), float(named))

    def mask_loss(self, masks: Tensor, shares: Tensor) -> Tensor:
        """Return the mean of cross-entropy plus Dice of masks (M, D, h, w; logits) against shares."""
        dice: Tensor = self._dice(masks[:, None], shares[:, None])
        return F.binary_cross_entropy_with_logits(masks, shares) + dice

    def box_loss(self, boxes: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
        """Return the error of boxes (M, D, 4): for each structure the mean over those slices (M, D) where it is."""
        slices = there / there.sum(dim=1, keepdim=True).clamp(min=1) / len(boxes)
        apart = (boxes[there] - wanted[there]).abs().mean(dim=-1)
        overlap = self._overlap(boxes[there], wanted[there])
        total: Tensor = ((BOX * apart + OVERLAP * overlap) * slices[there]).sum()
        return total


def class_loss(kinds: Tensor, truths: list[StackTruth], pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the cross-entropy of what all queries (B, N, K + 1; logits) take their masks for."""
    none = kinds.shape[-1] - 1
    wanted = torch.full(kinds.shape[:2], none, device=kinds.device)
    for row, truth, (queries, structures) in zip(wanted, truths, pairs, strict=True):
        row[queries] = truth.kinds[structures]
    weight = torch.ones(none + 1, device=kinds.device)
    weight[none] = NO_OBJECT
    return F.cross_entropy(kinds.float().flatten(0, 1), wanted.flatten(), weight)


def _dice(masks: Tensor, shares: Tensor) -> float:
    """Return the mean Dice of masks (M, D, h, w; logits) and shares."""
    mask, wanted = (masks.detach() > 0).flatten(1), (shares > 0.5).flatten(1)
    return float((2 * (mask & wanted).sum(dim=1) / (mask.sum(dim=1) + wanted.sum(dim=1)).clamp(min=1)).mean())
