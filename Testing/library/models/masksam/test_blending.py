"""Windows along a stack: every slice once, in order, blended, and no more held than a window needs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SAMSpineLib.models.masksam.blending import between, blended, windows


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_windows_cover_a_stack_and_stay_in_it(count, depth):
    every = windows(count, depth)
    assert sorted({number for window in every for number in window}) == list(range(count))
    assert all(len(window) == min(depth, count) for window in every)
    assert [one.start for one in every] == sorted({one.start for one in every})


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_what_all_windows_agree_on_is_left_as_it_is(count, depth):
    values = torch.randn(count, 2)
    found = list(blended(count, depth, lambda window: values[window.start : window.stop]))
    torch.testing.assert_close(torch.stack(found), values)


def test_where_windows_differ_the_middle_of_a_window_counts_more():
    found = torch.stack(list(blended(9, 6, lambda window: torch.full((6, 1), float(window.start)))))[:, 0]
    assert found[:3].tolist() == [0, 0, 0]
    assert found[6:].tolist() == [3, 3, 3]
    assert (found.diff() >= 0).all()
    assert 0 < found[3] < 1.5 < found[5] < 3


def test_a_slice_is_handed_on_as_soon_as_no_window_will_see_it_again():
    asked = []

    def answer(window):
        asked.append(window.start)
        return torch.zeros(len(window), 1)

    seen = blended(100, 6, answer)
    next(seen)
    assert asked == [0]
    for _ in range(3):
        next(seen)
    assert asked == [0, 3]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40))
def test_slices_between_those_that_were_seen_lie_where_they_should(count, finer):
    places = torch.arange(count, dtype=torch.float64) * finer / count + (finer / count - 1) / 2
    found = [float(torch.lerp(a, b, share)) for a, b, share in between(iter(places), count, finer)]
    assert len(found) == finer
    wanted = torch.arange(finer, dtype=torch.float64).clamp(float(places[0]), float(places[-1]))
    assert found == pytest.approx(wanted.tolist(), abs=1e-9)
