"""One lesson after the other: learned prompts alone, beside a box, and beside clicks that correct the mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from SAMSpineLib.evaluation.robot import Placement, next_click
from SAMSpineLib.models.sam2rad.frozen_sam import BOX_END, BOX_START
from SAMSpineLib.models.sam2rad.network import ManualPrompts, Sam2Rad
from SAMSpineLib.training.teaching.features import Lesson, Lessons
from SAMSpineLib.training.teaching.losses import boxes_around, mask_loss, prompt_loss
from SAMSpineLib.training.teaching.plan import TeachPlan
from SAMSpineLib.volume import Grid

# Of what a mask shows, the network's image has so many pixels along either side.
STRIDE = 4
NOTHING = -1
# How often a human's box stands beside the learned prompts, and how far its corners are off (shares of its side).
BOX_ODDS = 0.3
BOX_ERROR = 0.08
# How often a structure is asked for that is not there.
ABSENT_ODDS = 0.25


class TeachTask:
    """Teach a frozen SAM some structures."""

    figures = ("dice", "dice_clicked", "presence")

    def __init__(self, plan: TeachPlan, lessons: Lessons) -> None:
        """Teach with lessons; the SAM of the plan stays as it is."""
        self.plan, self.recipe, self.lessons = plan, plan.recipe, lessons
        there = np.array(lessons.present, bool)
        self._full = [np.flatnonzero(column) for column in there.T]
        self._empty = [np.flatnonzero(~column) for column in there.T]

    def network(self) -> Sam2Rad:
        """Return a model that has learnt nothing yet."""
        return Sam2Rad(self.plan.config, self.plan.model.backbone.network, len(self.plan.structures))

    def loss(
        self, network: Sam2Rad, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, tuple[float, ...]]:
        """Draw a batch and return its loss, Dice without and with clicks, and how often presence was told right.

        As in `SliceTask`, gradients come from the first and the last answer.
        """
        structures = rng.integers(len(self.plan.structures), size=self.recipe.batch)
        drawn = [self.lessons.read(self._slice_for(int(one), rng)) for one in structures]
        truth, present = truth_in(drawn, structures, device)
        maps = features_of(network, drawn, device)
        learned = network.predict(maps, torch.from_numpy(structures).to(device))
        manual = _boxes(truth, present, rng)
        logits, quality = network.decode(maps, learned, manual)
        losses = [_scored(logits, quality, truth, present)]
        dice = dices(logits[:, 0], truth)[present]
        clicked = dice
        clicks = int(rng.integers(self.recipe.rounds + 1)) if bool(present.any()) else 0
        for turn in range(clicks):
            manual = corrected(manual, logits, truth, rng)
            with torch.set_grad_enabled(turn == clicks - 1):
                logits, quality = network.decode(maps, learned, manual)
        if clicks:
            losses.append(_scored(logits, quality, truth, present))
            clicked = dices(logits[:, 0], truth)[present]
        loss = torch.stack(losses).mean() + prompt_loss(learned, truth, present)
        right = ((learned.presence > 0) == present).float().mean()
        return loss, (_mean(dice), _mean(clicked), float(right))

    def _slice_for(self, structure: int, rng: np.random.Generator) -> int:
        full, empty = self._full[structure], self._empty[structure]
        among = empty if len(empty) and (not len(full) or rng.random() < ABSENT_ODDS) else full
        return int(rng.choice(among))


def features_of(network: Sam2Rad, drawn: Sequence[Lesson], device: torch.device) -> tuple[Tensor, ...]:
    """Return the feature maps (B, C, H, W), coarse to fine, of B lessons."""
    if network.adapters is not None:
        return network.encode([one.shown[0].to(device).float() for one in drawn])
    levels = zip(*(one.shown for one in drawn), strict=True)
    return tuple(torch.stack([one.float() for one in level]).to(device) for level in levels)


def truth_in(drawn: Sequence[Lesson], structures: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the shares (B, h, w) of one structure in each of B lessons, and (B,) whether it is there."""
    pairs = list(zip(drawn, structures, strict=True))
    share = torch.stack([one.share[which] for one, which in pairs])
    present = torch.stack([one.present[which] for one, which in pairs])
    return share.to(device), present.to(device)


def corrected(manual: ManualPrompts, logits: Tensor, truth: Tensor, rng: np.random.Generator) -> ManualPrompts:
    """Return what a human says who sees masks (B, 1, h, w): what they said, and a click in the worst error."""
    points, labels = [], []
    shown, wanted = (logits[:, 0] > 0).cpu().numpy(), (truth > 0.5).cpu().numpy()
    for mask, right in zip(shown, wanted, strict=True):
        grid = Grid((1, *right.shape), np.eye(4))
        placement: Placement = "deepest" if rng.random() < 0.5 else "random"
        click = next_click(right[None], mask[None], grid, rng=rng, placement=placement)
        if click is None:
            points.append([0.0, 0.0])
            labels.append(NOTHING)
        else:
            points.append([(one + 0.5) * STRIDE - 0.5 for one in grid.to_ijk(click.ras)[:2]])
            labels.append(int(click.positive))
    place = torch.tensor(points, dtype=torch.float32, device=truth.device)[:, None]
    kind = torch.tensor(labels, dtype=torch.int32, device=truth.device)[:, None]
    return ManualPrompts(
        torch.cat([manual.points, place], 1), torch.cat([manual.labels, kind], 1), logits.detach().float()
    )


def box_prompts(boxes: Tensor, given: Tensor, side: int) -> ManualPrompts:
    """Return boxes (B, 4; shares of the side) as prompts where they are given (B,), and nothing elsewhere."""
    points = boxes.view(-1, 2, 2) * side - 0.5
    corners = torch.tensor([BOX_START, BOX_END], dtype=torch.int32, device=boxes.device)
    return ManualPrompts(points, torch.where(given[:, None], corners, NOTHING).int())


def dices(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the Dice (B,) of masks (B, h, w; logits) and shares (B, h, w)."""
    mask, wanted = logits.detach() > 0, truth > 0.5
    overlap = (mask & wanted).sum(dim=(1, 2))
    return 2 * overlap / (mask.sum(dim=(1, 2)) + wanted.sum(dim=(1, 2))).clamp(min=1)


def _boxes(truth: Tensor, present: Tensor, rng: np.random.Generator) -> ManualPrompts:
    """Return the box of a human around some of the structures, a little off."""
    boxes = boxes_around(truth)
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    off = torch.from_numpy(rng.normal(0, BOX_ERROR, boxes.shape)).to(boxes) * size
    given = present & torch.from_numpy(rng.random(len(boxes)) < BOX_ODDS).to(present.device)
    return box_prompts((boxes + off).clamp(0, 1), given, STRIDE * truth.shape[-1])


def _scored(logits: Tensor, quality: Tensor, truth: Tensor, present: Tensor) -> Tensor:
    """Return the loss of masks where their structures are, and of the IoU that was expected of them."""
    if not bool(present.any()):
        return logits.sum() * 0
    masks, wanted = logits[present, 0].float(), truth[present]
    with torch.no_grad():
        hard, inside = masks > 0, wanted > 0.5
        iou = (hard & inside).sum(dim=(1, 2)) / (hard | inside).sum(dim=(1, 2)).clamp(min=1)
    return mask_loss(masks, wanted).mean() + ((quality[present].float() - iou) ** 2).mean()


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")
