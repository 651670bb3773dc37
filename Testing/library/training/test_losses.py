"""What the network is scored by."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.training.losses import PromptLoss, heat_loss, soft_dice


def _masks():
    masks = torch.zeros(2, 2, 12, 12, 12)
    masks[:, 0, 3:8, 3:8, 3:8] = 1
    masks[:, 1, 2:10, 2:10, 2:10] = 1
    return masks


ASKED = torch.tensor([0, 1])


def test_perfect_logits_have_a_dice_of_one_and_hardly_a_loss():
    masks = _masks()
    logits, quality = 40 * (masks - 0.5), torch.full((2, 2), 12.0)
    assert torch.equal(soft_dice(logits, masks), torch.ones(2, 2))
    assert PromptLoss()(logits, quality, masks, ASKED) < 1e-4


def test_dice_is_of_the_mask_where_the_logit_is_above_zero_and_of_no_second_sigmoid():
    masks = _masks()
    wrong = -3 * torch.ones_like(masks)
    wrong[:, 0, 3:8, 3:8, 3:5] = 0.1
    found = soft_dice(wrong, masks)
    assert found[0, 0] == pytest.approx((2 * 50 + 1) / (50 + 125 + 1))
    assert found[0, 1] == pytest.approx(1 / (512 + 1))  # sigmoid(sigmoid(-3)) > 0.5 would mark everything


def test_the_dice_term_alone_moves_the_logits():
    masks, loss = _masks(), PromptLoss()
    loss.segmentation.lambda_focal = 0.0
    logits = torch.zeros_like(masks, requires_grad=True)
    loss(logits, torch.zeros(2, 2), masks, ASKED).backward()
    gradient = logits.grad
    assert (gradient[masks > 0] < 0).all()
    assert (gradient[masks == 0] > 0).all()


@pytest.mark.parametrize("term", ["lambda_dice", "lambda_focal"])
def test_each_term_falls_as_the_answer_gets_better(term):
    masks, loss = _masks(), PromptLoss(quality=0.0)
    for name in ("lambda_dice", "lambda_focal"):
        setattr(loss.segmentation, name, float(name == term))
    values = [loss(strength * (masks - 0.5), torch.zeros(2, 2), masks, ASKED).item() for strength in (-4, 0, 4, 16)]
    assert all(later < earlier for earlier, later in zip(values[:-1], values[1:], strict=True))


def test_the_loss_is_the_published_mix_of_dice_with_squares_and_focal():
    torch.manual_seed(1)
    masks, logits = _masks()[:1, :1], torch.randn(1, 1, 12, 12, 12)
    both, wanted = torch.cat([logits, logits], dim=1), torch.cat([masks, masks], dim=1)
    found = PromptLoss(quality=0.0)(both, torch.zeros(1, 2), wanted, torch.tensor([0])).item()
    x, y = logits.double().numpy(), masks.double().numpy()
    p = 1 / (1 + np.exp(-x))
    dice = 1 - 2 * (p * y).sum() / ((p**2).sum() + (y**2).sum())
    cross = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    focal = ((1 - np.where(y == 1, p, 1 - p)) ** 2 * cross).mean()
    assert found == pytest.approx(0.8 * dice + 0.2 * focal, rel=1e-4)


def test_the_best_answer_for_a_voxel_that_is_half_bone_is_a_half():
    shares = torch.zeros(1, 2, 8, 8, 8)
    shares[..., 2:6], shares[..., 6] = 1.0, 0.5
    loss, strong = PromptLoss(quality=0.0), 30 * (shares - 0.5)
    values = {}
    for answer in (-6.0, -1.0, 0.2, 1.0, 6.0):
        logits = strong.clone()
        logits[..., 6] = answer
        values[answer] = loss(logits, torch.zeros(1, 2), shares, torch.tensor([0])).item()
    assert min(values, key=values.get) == 0.2


def test_the_mask_that_was_asked_for_weighs_more():
    masks, quality = _masks(), torch.zeros(2, 2)
    good, bad = 20 * (masks - 0.5), 20 * (0.5 - masks)
    part_right = torch.stack([good[:, 0], bad[:, 1]], dim=1)
    loss = PromptLoss(quality=0.0)
    assert loss(part_right, quality, masks, torch.tensor([0, 0])) < loss(
        part_right, quality, masks, torch.tensor([1, 1])
    )


def test_the_quality_score_learns_the_dice_and_does_not_pull_at_the_masks():
    masks = _masks()
    logits = torch.randn_like(masks).requires_grad_()
    quality = torch.zeros(2, 2, requires_grad=True)
    with_score, without = (PromptLoss(quality=weight)(logits, quality, masks, ASKED) for weight in (0.1, 0.0))
    pulls = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (with_score, without)]
    assert torch.equal(*pulls)
    (gradient,) = torch.autograd.grad(with_score, quality)
    assert torch.equal(gradient > 0, soft_dice(logits, masks) < 0.5)


def test_an_empty_truth_gives_a_finite_loss_with_a_gradient_towards_nothing():
    logits = torch.zeros(2, 2, 8, 8, 8, requires_grad=True)
    value = PromptLoss()(logits, torch.zeros(2, 2), torch.zeros(2, 2, 8, 8, 8), ASKED)
    value.backward()
    assert torch.isfinite(value)
    assert (logits.grad > 0).all()


def test_missing_a_heat_maps_peak_costs_more_than_a_spot_elsewhere():
    target = torch.zeros(1, 1, 8, 8, 8)
    target[0, 0, 4, 4, 4] = 1
    spot = target.clone()
    spot[0, 0, 1, 1, 1] = 1
    assert heat_loss(target, target) == 0
    assert heat_loss(torch.zeros_like(target), target) == pytest.approx(51 * heat_loss(spot, target).item())


def test_a_wrong_answer_to_a_correction_costs_more_than_the_same_error_elsewhere():
    masks, loss = _masks(), PromptLoss()
    logits, quality = 20 * (masks - 0.5), torch.full((2, 2), 12.0)
    logits[0, 0, 3:8, 3:8, 3] = -10.0
    around = torch.zeros(2, 1, 12, 12, 12, dtype=torch.bool)
    there, beside = around.clone(), around.clone()
    there[0, 0, 2:9, 2:9, 2:5], beside[0, 0, 2:9, 2:9, 6:9] = True, True
    plain = loss(logits, quality, masks, ASKED)
    assert loss(logits, quality, masks, ASKED, around) == plain
    assert loss(logits, quality, masks, ASKED, there) > plain + 0.05
    assert loss(logits, quality, masks, ASKED, beside) == pytest.approx(float(plain), abs=1e-3)
