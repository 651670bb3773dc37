"""Patches are encoded once, and the memory they hold is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from SAMSpineLib.engine.cache import EncodedCache, PatchStore
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


def test_two_threads_that_want_the_same_patch_wait_for_one_encoding(fake, ct):
    model, begun, goes_on = fake(), threading.Event(), threading.Event()
    cache = EncodedCache(model, limit_bytes=10 * PATCH_BYTES)
    encode = model.encode

    def slow(volume, grid):
        begun.set()
        assert goes_on.wait(10)
        return encode(volume, grid)

    model.encode = slow
    grid = grids(model, 1)[0]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, ct, grid)
        assert begun.wait(10)
        second = pool.submit(cache.get, ct, grid)
        assert cache.holds(ct, grid)
        goes_on.set()
        assert first.result() is second.result()
    assert cache.encoded_count == 1


def test_what_could_not_be_encoded_is_tried_again(fake, ct):
    model = fake()
    cache = EncodedCache(model, limit_bytes=10 * PATCH_BYTES)
    grid, encode = grids(model, 1)[0], model.encode

    def fail(volume, grid):
        raise MemoryError

    model.encode = fail
    with pytest.raises(MemoryError):
        cache.get(ct, grid)
    assert not cache.holds(ct, grid)
    model.encode = encode
    assert cache.get(ct, grid).nbytes == PATCH_BYTES


def test_sessions_that_share_a_store_encode_a_patch_once_for_all(fake, ct):
    store = PatchStore(limit_bytes=10 * PATCH_BYTES)
    first, second = (EncodedCache(fake(), store=store) for _ in range(2))
    grid = grids(fake(), 1)[0]
    assert first.get(ct, grid) is second.get(ct, grid)
    first.clear()
    assert second.nbytes == PATCH_BYTES
    second.make_room()
    assert first.nbytes == 0
