"""Which query of a stack answers for which structure: one for each, in all of its slices.

Source: Carion et al., DETR, ECCV 2020, section 3.1, and Xie et al., arXiv 2403.14103, where each slice is matched by
itself. A structure that had another query in the next slice could have another name there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from monai.data.box_utils import box_giou
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from SAMSpineLib.models.masksam.network import StackAnswer
from SAMSpineLib.models.masksam.prompt_generator import tight_boxes

# What each part of the loss weighs, here and where the loss itself is computed: as in the release for ACDC, but for the
# class, which is 0.2 there, where there are three of them and not 25.
CLASS, MASK, FIRST_MASK, BOX, OVERLAP = 1.0, 1.5, 0.5, 0.5, 0.2


@dataclass(frozen=True, eq=False)
class StackTruth:
    """What is marked on a stack of D slices.

    Attributes:
        kinds: (G,) the class of each structure.
        shares: (G, D, h, w) the share (0..1) of each value that it fills.
    """

    kinds: Tensor
    shares: Tensor = field(repr=False)

    def boxes(self) -> tuple[Tensor, Tensor]:
        """Return the boxes (G, D, 4) of what is mostly filled, as shares of the side, and (G, D) where there is any."""
        return tight_boxes(self.shares - 0.5)


@torch.no_grad()
def matched(answer: StackAnswer, truths: list[StackTruth]) -> list[tuple[Tensor, Tensor]]:
    """Return for each stack which queries (M,) answer for which structures (M,): the pairs that cost least in all.

    Where there are more structures than queries, those that would cost most have none.
    """
    found = []
    for stack, truth in enumerate(truths):
        pairs = linear_sum_assignment(costs(answer, stack, truth).double().cpu().numpy())
        found.append(tuple(torch.from_numpy(np.asarray(one)).to(answer.kinds.device) for one in pairs))
    return [(queries, structures) for queries, structures in found]


def costs(answer: StackAnswer, stack: int, truth: StackTruth) -> Tensor:
    """Return what it costs (N, G) that a query of a stack answers for a structure.

    The same as the loss of the pair, but for the class: its probability, not its logarithm, as in DETR.
    """
    prompts = answer.prompts
    kinds = answer.kinds[stack].float().softmax(dim=-1)[:, truth.kinds]
    masks, first = answer.masks[stack].float(), prompts.masks[stack].float()
    boxes = _box_costs(prompts.boxes[stack].float(), *truth.boxes())
    return MASK * mask_costs(masks, truth.shares) + FIRST_MASK * mask_costs(first, truth.shares) + boxes - CLASS * kinds


def mask_costs(masks: Tensor, shares: Tensor) -> Tensor:
    """Return cross-entropy plus Dice loss (N, G) of masks (N, D, h, w; logits) against shares (G, D, h, w)."""
    logits, wanted = masks.flatten(1), shares.flatten(1)
    entropy = (F.softplus(logits).sum(dim=1, keepdim=True) - logits @ wanted.T) / logits.shape[1]
    probability = logits.sigmoid()
    size = probability.square().sum(dim=1, keepdim=True) + wanted.square().sum(dim=1)
    return entropy + 1 - (2 * probability @ wanted.T + 1) / (size + 1)


def _box_costs(boxes: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
    """Return the error (N, G) of boxes (N, D, 4) against (G, D, 4), over the slices (G, D) where a structure is."""
    total = torch.zeros(len(boxes), len(wanted), device=boxes.device)
    for depth in range(boxes.shape[1]):
        mine, theirs = boxes[:, depth], wanted[:, depth]
        error = BOX * torch.cdist(mine, theirs, p=1) / 4 + OVERLAP * (1 - box_giou(mine, theirs))
        total += error * there[:, depth]
    return total / there.sum(dim=1).clamp(min=1)
