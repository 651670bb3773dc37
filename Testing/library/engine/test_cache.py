"""Patches are encoded once, and the memory they hold is bounded."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.cache import EncodedCache
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point

PATCH_BYTES = 24**3 * 4


def grids(model, count):
    return [model.grid_at((10.0 * n, 0.0, 0.0)) for n in range(count)]


def test_a_patch_is_encoded_once(fake, ct):
    model = fake()
    cache = EncodedCache(model, limit_bytes=10 * PATCH_BYTES)
    first = [cache.get(ct, grid) for grid in grids(model, 3)]
    again = [cache.get(ct, grid) for grid in grids(model, 3)]
    assert all(a is b for a, b in zip(first, again, strict=True))
    assert len(model.encoded) == cache.encoded_count == 3
    assert cache.nbytes == 3 * PATCH_BYTES


def test_the_patch_that_was_not_asked_for_longest_goes_first(fake, ct):
    model = fake()
    cache = EncodedCache(model, limit_bytes=2 * PATCH_BYTES)
    a, b, c = grids(model, 3)
    for grid in (a, b, a, c):
        cache.get(ct, grid)
    assert cache.nbytes <= 2 * PATCH_BYTES
    assert cache.encoded_count == 3
    cache.get(ct, a)
    assert cache.encoded_count == 3
    cache.get(ct, b)
    assert cache.encoded_count == 4


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_the_bound_holds_and_answers_are_the_same_as_without_it(open_session, fake, ct, limit):
    def run(**settings):
        session = open_session(fake(), **settings)
        session.select(spine_labels().by_name("L3"))
        for x in (-30.0, 0.0, 30.0, -28.0, 2.0):
            session.add(Point((x, 0.0, 0.0)))
        return session

    bounded, free = run(cache_bytes=limit * PATCH_BYTES), run()
    assert bounded.cache.nbytes <= max(limit, 1) * PATCH_BYTES
    assert bounded.cache.encoded_count >= free.cache.encoded_count
    assert np.array_equal(bounded.result, free.result)


def test_after_clear_everything_is_encoded_anew(fake, ct):
    model = fake()
    cache = EncodedCache(model, limit_bytes=10 * PATCH_BYTES)
    cache.get(ct, grids(model, 1)[0])
    cache.clear()
    assert cache.nbytes == 0
    cache.get(ct, grids(model, 1)[0])
    assert len(model.encoded) == 2
