"""What MA-SAM is scored by: cross-entropy and Dice of all classes (Fan et al., IEEE TMI 2025, release)."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional as F


class ClassLoss:
    """Cross-entropy plus the mean Dice loss of those structures that a batch shows.

    The release takes Dice out of the graph, so that it teaches nothing; here it has a gradient. What no slice of the
    batch shows is left to cross-entropy: its Dice is the same for all that is nearly nothing.
    """

    def __init__(self) -> None:
        """Prepare MONAI's Dice: over the whole batch, with squares, so that half a pixel is best answered by 0.5."""
        self._dice = DiceLoss(
            softmax=True, include_background=False, squared_pred=True, batch=True, reduction="none", smooth_nr=1.0,
            smooth_dr=1.0,
        )  # fmt: skip

    def __call__(self, logits: Tensor, shares: Tensor) -> Tensor:
        """Return the loss, to be minimised.

        Args:
            logits: (B, classes, H, W), the first class is background.
            shares: (B, classes, H, W), how much (0..1) of each pixel is of each class.
        """
        logits, shares = logits.float(), shares.float()
        loss = F.cross_entropy(logits, shares)
        shown = shares[:, 1:].amax(dim=(0, 2, 3)) > 0.5
        if bool(shown.any()):
            loss = loss + self._dice(logits, shares).flatten()[shown].mean()
        return loss


@torch.no_grad()
def mean_dice(labels: Tensor, truth: Tensor) -> float:
    """Return the mean Dice of the structures that are in a truth (B, H, W; classes, 0 is background); NaN for none."""
    dices = []
    for kind in torch.unique(truth[truth > 0]):
        mask, wanted = labels == kind, truth == kind
        dices.append(float(2 * (mask & wanted).sum() / (mask.sum() + wanted.sum())))
    return sum(dices) / len(dices) if dices else float("nan")
