"""A click on a mask that is there corrects the error that it points at, and leaves alone what was right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SAMSpineLib.models.sam2rad.correcting import MOST_ELSEWHERE, Click, corrected

SIDE = 32


def mask(*squares: tuple[int, int, int, int]) -> np.ndarray:
    """Return logits that are inside in squares (top, bottom, left, right)."""
    logits = np.full((SIDE, SIDE), -3.0, np.float32)
    for top, bottom, left, right in squares:
        logits[top:bottom, left:right] = 3.0
    return logits


def nobody() -> np.ndarray:
    """Fail where no object has to be looked for."""
    pytest.fail("the answer follows the click: no object is asked for")


BONE, MISSED, FALSE = (2, 10, 2, 10), (14, 22, 14, 22), (24, 28, 2, 8)


def test_an_answer_that_follows_the_click_and_changes_little_else_is_taken_whole():
    answer = mask((2, 11, 2, 10), MISSED)
    assert (corrected(mask(BONE), answer, Click(18, 18, positive=True), nobody) == answer).all()


def test_of_an_answer_that_loses_what_was_right_only_the_piece_with_the_click_is_taken():
    answer = mask(MISSED, (26, 30, 20, 30))
    found = corrected(mask(BONE), answer, Click(18, 18, positive=True), nobody)
    assert ((found > 0) == (mask(BONE, MISSED) > 0)).all()


def test_of_an_answer_that_adds_where_something_was_to_go_only_what_goes_is_taken():
    found = corrected(mask(BONE, FALSE), mask(BONE, MISSED), Click(26, 4, positive=False), nobody)
    assert ((found > 0) == (mask(BONE) > 0)).all()


def test_where_the_answer_does_not_heed_a_click_the_object_at_the_click_is_added():
    found = corrected(mask(BONE), mask(FALSE), Click(18, 18, positive=True), lambda: mask(MISSED))
    assert ((found > 0) == (mask(BONE, MISSED) > 0)).all()


def test_of_the_object_at_a_negative_click_that_is_taken_away_of_which_it_is_surer_than_the_mask():
    before = mask(BONE, FALSE)
    found = corrected(before, before, Click(26, 4, positive=False), lambda: 2 * mask(FALSE))
    assert ((found > 0) == (mask(BONE) > 0)).all()
    found = corrected(before, before, Click(26, 4, positive=False), lambda: 0.5 * mask(FALSE))
    assert (found == before).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_away_from_the_click_little_changes_whatever_the_network_says(seed, positive):
    rng = np.random.default_rng(seed)
    before, answer, thing = rng.normal(rng.uniform(-1, 1), 1, (3, SIDE, SIDE)).astype(np.float32)
    click = Click(*rng.integers(SIDE, size=2).tolist(), positive=positive)
    inside, after = before > 0, corrected(before, answer, click, lambda: thing) > 0
    wrong_way = inside & ~after if positive else after & ~inside
    assert wrong_way.sum() <= MOST_ELSEWHERE * inside.sum()
