"""Both parts of the loss teach, and levels that nobody sees do not hide those that are there."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from SAMSpineLib.training.ma_sam.losses import ClassLoss, mean_dice


def shares_of(labels: torch.Tensor, classes: int = 5) -> torch.Tensor:
    return F.one_hot(labels, classes).movedim(-1, 1).float()


def a_truth() -> torch.Tensor:
    labels = torch.zeros(2, 16, 16, dtype=torch.int64)
    labels[0, 2:8, 3:9] = 1
    labels[1, 9:14, 4:12] = 3
    return labels


def test_dice_has_a_gradient_of_its_own(monkeypatch):
    """In the release it has none: training is cross-entropy alone."""
    logits = torch.zeros(2, 5, 16, 16, requires_grad=True)
    monkeypatch.setattr(F, "cross_entropy", lambda logits, shares: torch.zeros(()))
    ClassLoss()(logits, shares_of(a_truth())).backward()
    assert logits.grad is not None
    inside = a_truth()[0] == 1
    assert (logits.grad[0, 1][inside] < 0).all()
    assert (logits.grad[0, 1][~inside] > 0).all()


def test_cross_entropy_has_a_gradient_where_no_structure_is_seen():
    logits = torch.zeros(1, 5, 8, 8, requires_grad=True)
    loss = ClassLoss()(logits, shares_of(torch.zeros(1, 8, 8, dtype=torch.int64)))
    loss.backward()
    assert loss.item() == pytest.approx(F.cross_entropy(torch.zeros(1, 5), torch.zeros(1, dtype=torch.int64)).item())
    assert logits.grad is not None
    assert (logits.grad[:, 0] < 0).all()


def test_the_truth_costs_nothing_and_a_missed_structure_costs_its_dice():
    shares = shares_of(a_truth())
    assert ClassLoss()(40 * shares, shares).item() < 1e-4
    missed = 40 * shares_of(a_truth() * (a_truth() == 1))
    sure_of_nothing = F.cross_entropy(missed, shares)
    assert ClassLoss()(missed, shares).item() - sure_of_nothing.item() == pytest.approx(0.5, abs=0.02)


def test_levels_that_are_not_there_do_not_water_down_the_dice_of_those_that_are():
    few, many = shares_of(a_truth(), 5), shares_of(a_truth(), 20)
    dice = [
        ClassLoss()(torch.zeros_like(one), one).item() - F.cross_entropy(torch.zeros_like(one), one).item()
        for one in (few, many)
    ]
    assert dice[1] > dice[0]


def test_half_a_pixel_is_best_answered_by_a_half():
    half = torch.zeros(1, 2, 8, 8)
    half[:, 1, 2:6, 2:6] = 1.0
    half[:, 1, 2:6, 6] = 0.5
    half[:, 0] = 1 - half[:, 1]
    losses = {}
    for said in (0.2, 0.5, 0.8):
        answer = half.clone()
        answer[:, 1, 2:6, 6], answer[:, 0, 2:6, 6] = said, 1 - said
        losses[said] = ClassLoss()((answer + 1e-6).log(), half).item()
    assert losses[0.5] < min(losses[0.2], losses[0.8])


def test_mean_dice_is_that_of_the_structures_that_are_there():
    truth = a_truth()
    assert mean_dice(truth, truth) == 1
    assert mean_dice(torch.where(truth == 3, 2, truth), truth) == 0.5
    assert torch.isnan(torch.tensor(mean_dice(truth, torch.zeros_like(truth))))
