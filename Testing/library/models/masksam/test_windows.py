"""Windows along a stack cover it, and slices between those of a coarser one lie where they should."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SAMSpineLib.models.masksam.windows import between, windows


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_windows_cover_a_stack_and_stay_in_it(count, depth):
    every = windows(count, depth)
    assert sorted({number for window in every for number in window}) == list(range(count))
    assert all(len(window) == min(depth, count) for window in every)
    assert [one.start for one in every] == sorted({one.start for one in every})


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40))
def test_slices_between_those_that_were_seen_lie_where_they_should(count, finer):
    places = torch.arange(count, dtype=torch.float64) * finer / count + (finer / count - 1) / 2
    found = [float(torch.lerp(a, b, share)) for a, b, share in between(iter(places), count, finer)]
    assert len(found) == finer
    wanted = torch.arange(finer, dtype=torch.float64).clamp(float(places[0]), float(places[-1]))
    assert found == pytest.approx(wanted.tolist(), abs=1e-9)
