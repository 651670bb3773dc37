"""Which query answers for which structure, and what that costs: against brute force, known answers and gradients."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from torch.nn import functional as F

from SAMSpineLib.models.masksam.network import StackAnswer
from SAMSpineLib.models.masksam.prompt_generator import StackPrompts
from SAMSpineLib.training.masksam.losses import NO_OBJECT, MaskSamLoss, class_loss
from SAMSpineLib.training.masksam.matching import BOX, CLASS, FIRST_MASK, MASK, OVERLAP, StackTruth, costs, matched


def perfect(truth: StackTruth, kinds: int = 3) -> StackAnswer:
    """Return an answer that could not be better: a query for each structure, and one that sees no object."""
    count = len(truth.kinds)
    logits = torch.full((1, count + 1, kinds + 1), -20.0)
    logits[0, torch.arange(count + 1), [*truth.kinds.tolist(), kinds]] = 20.0
    masks = torch.cat([(truth.shares - 0.5) * 40, torch.full((1, 2, 8, 8), -20.0)])[None]
    boxes = torch.cat([truth.boxes()[0], torch.zeros(1, 2, 4)])[None]
    return StackAnswer(logits, masks, StackPrompts(masks, boxes, torch.zeros(1, count + 1, 2, 32)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kinds", [(0,), (1, 2), (2, 0, 1), (0, 1, 1, 2)])
def test_the_pairs_cost_least_of_all_that_there_are(answered, marked, seed, kinds):
    answer, truth = answered(seed=seed), marked(*kinds, seed=seed)
    table = costs(answer, 0, truth)
    ((queries, structures),) = matched(answer, [truth])
    least = min(sum(table[q, g] for g, q in enumerate(chosen)) for chosen in permutations(range(4), len(kinds)))
    assert sorted(structures.tolist()) == list(range(len(kinds)))
    assert len(set(queries.tolist())) == len(kinds)
    torch.testing.assert_close(table[queries, structures].sum(), least)


def test_a_pair_costs_what_it_would_lose(answered, marked):
    answer, truth, loss = answered(seed=3), marked(2, 0, seed=3), MaskSamLoss()
    table = costs(answer, 0, truth)
    boxes, there = truth.boxes()
    for query in range(4):
        for structure in range(2):
            one, share = slice(query, query + 1), truth.shares[structure : structure + 1]
            lost = MASK * loss.mask_loss(answer.masks[0, one], share)
            lost += FIRST_MASK * loss.mask_loss(answer.prompts.masks[0, one], share)
            lost += loss.box_loss(
                answer.prompts.boxes[0, one], boxes[structure : structure + 1], there[structure : structure + 1]
            )
            lost -= CLASS * answer.kinds[0, query].softmax(dim=-1)[truth.kinds[structure]]
            torch.testing.assert_close(table[query, structure], lost)


def test_more_structures_than_queries_leave_the_worst_without(answered, marked):
    answer = answered(queries=2)
    ((queries, structures),) = matched(answer, [marked(0, 1, 2, 1)])
    assert sorted(queries.tolist()) == [0, 1]
    assert len(set(structures.tolist())) == 2


def test_a_perfect_answer_loses_next_to_nothing_and_any_other_more(answered, marked):
    truth, loss = marked(1, 2, seed=5), MaskSamLoss()
    truth = StackTruth(truth.kinds, (truth.shares > 0.5).float())
    best, figures = loss(perfect(truth), [truth])
    assert float(best) < 0.02
    assert (figures.dice, figures.first_dice, figures.named) == (1.0, 1.0, 1.0)
    assert float(loss(answered(queries=3), [truth])[0]) > float(best) + 0.5


def test_where_nothing_is_marked_every_query_shall_see_no_object(answered, marked):
    answer, truth = answered(grad=True), marked()
    loss, figures = MaskSamLoss()(answer, [truth])
    loss.backward()
    torch.testing.assert_close(loss, CLASS * F.cross_entropy(answer.kinds[0], torch.full((4,), 3)))
    assert figures.named != figures.named
    assert answer.masks.grad is None
    assert (answer.kinds.grad[..., 3] < 0).all()


def test_queries_that_see_nothing_weigh_a_tenth(answered, marked):
    answer, truth = answered(queries=3), marked(1)
    pairs = [(torch.tensor([2]), torch.tensor([0]))]
    each = -answer.kinds[0].log_softmax(dim=-1)
    wanted = (each[2, 1] + NO_OBJECT * (each[0, 3] + each[1, 3])) / (1 + 2 * NO_OBJECT)
    torch.testing.assert_close(class_loss(answer.kinds, [truth], pairs), wanted)


def test_the_loss_of_a_batch_counts_every_structure_alike(answered, marked):
    """Two structures in one stack and one in another: masks and boxes are a mean over three."""
    answer, truths, loss = answered(stacks=2), [marked(0, 1, seed=1), marked(2, seed=2)], MaskSamLoss()
    whole, _ = loss(answer, truths)
    pairs = matched(answer, truths)
    total = CLASS * class_loss(answer.kinds, truths, pairs)
    for stack, (truth, (queries, structures)) in enumerate(zip(truths, pairs, strict=True)):
        table = costs(answer, stack, truth) + CLASS * answer.kinds[stack].softmax(dim=-1)[:, truth.kinds]
        total = total + table[queries, structures].sum() / 3
    torch.testing.assert_close(whole, total, atol=1e-4, rtol=1e-4)


def test_each_part_of_the_loss_has_a_gradient(answered, marked):
    answer, truth = answered(grad=True), marked(1, 0, 2)
    MaskSamLoss()(answer, [truth])[0].backward()
    ((queries, structures),) = matched(answer, [truth])
    assert answer.kinds.grad.abs().min() > 0
    for part in (answer.masks, answer.prompts.masks):
        assert (part.grad[0, queries].abs().amax(dim=(1, 2, 3)) > 0).all()
        assert part.grad[0].abs().sum(dim=(1, 2, 3)).count_nonzero() == 3
    there = truth.boxes()[1][structures]
    moved = answer.prompts.boxes.grad[0, queries].abs().amax(dim=-1) > 0
    assert torch.equal(moved, there)


def test_first_masks_are_scored_as_logits(answered, marked):
    """A sigmoid too many would leave the loss of a sure and right mask far from nothing."""
    truth = replace(marked(1), shares=(marked(1).shares > 0.5).float())
    assert float(MaskSamLoss().mask_loss((truth.shares - 0.5) * 40, truth.shares)) < 1e-3


def test_boxes_weigh_as_published(marked):
    truth = marked(1)
    wanted, there = truth.boxes()
    moved = wanted.clone()
    moved[0, 0] += torch.tensor([0.1, 0.0, 0.1, 0.0])
    width, height = (wanted[0, 0, 2:] - wanted[0, 0, :2]).tolist()
    both, all_of_it = (width - 0.1) * height, (width + 0.1) * height
    overlap = both / (2 * width * height - both) - (all_of_it - (2 * width * height - both)) / all_of_it
    expected = BOX * 0.05 + OVERLAP * (1 - overlap)
    assert float(MaskSamLoss().box_loss(moved, wanted, there)) == pytest.approx(expected, rel=1e-4)
