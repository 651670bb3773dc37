"""Patches are encoded once, and the memory they hold is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest

from SAMSpineLib.engine.cache import EncodedCache, PatchStore, know_content
from SAMSpineLib.engine.service.upload import digest_of
from SAMSpineLib.engine.session import Session
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Grid, Volume

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
    model = fake()
    first, second = (EncodedCache(model, store=store) for _ in range(2))
    grid = grids(fake(), 1)[0]
    assert first.get(ct, grid) is second.get(ct, grid)
    first.clear()
    assert second.nbytes == PATCH_BYTES
    second.make_room()
    assert first.nbytes == 0


def copy_of(volume, **changes):
    return Volume(**{"array": volume.array.copy(), "grid": volume.grid, "modality": volume.modality} | changes)


def test_the_same_content_opened_again_is_not_encoded_again(fake, ct):
    model = fake()
    cache, grid = EncodedCache(model, limit_bytes=10 * PATCH_BYTES), grids(model, 1)[0]
    first = cache.get(ct, grid)
    assert cache.get(copy_of(ct, name="the same once more"), grid) is first
    negative_zero = Grid(grid.shape, np.where(grid.ijk_to_ras == 0, -0.0, grid.ijk_to_ras))
    assert cache.get(ct, negative_zero) is first
    assert cache.encoded_count == 1


def test_other_voxels_another_place_or_another_modality_are_other_content(fake, ct):
    model, moved = fake(), ct.ijk_to_ras.copy()
    moved[0, 3] += 1.0
    edited = ct.array.copy()
    edited[3, 4, 5] += 1
    cache, grid = EncodedCache(model, limit_bytes=10 * PATCH_BYTES), grids(model, 1)[0]
    others = [copy_of(ct, array=edited), copy_of(ct, grid=Grid(ct.shape, moved)), copy_of(ct, modality="MR")]
    for volume in (ct, *others):
        cache.get(volume, grid)
    assert cache.encoded_count == 4


def test_voxels_are_hashed_once_and_not_at_all_where_the_hash_is_known(fake, ct, monkeypatch):
    digest, hashed = digest_of(ct.array.dtype.name, ct.shape, memoryview(ct.array).cast("B")), []
    monkeypatch.setattr("SAMSpineLib.engine.cache.hashlib.sha256", lambda data: hashed.append(data) or sha256(data))
    model, volume, known = fake(), copy_of(ct), copy_of(ct)
    know_content(known, digest)
    cache = EncodedCache(model, limit_bytes=10 * PATCH_BYTES)
    for grid in grids(model, 3):
        cache.get(known, grid)
    assert hashed == []
    for grid in grids(model, 3):
        cache.get(volume, grid)
    assert len(hashed) == 1
    assert cache.encoded_count == 3


def test_networks_that_share_a_store_share_its_bound_and_never_a_patch(fake, ct):
    store = PatchStore(limit_bytes=2 * PATCH_BYTES)
    models = [fake(), fake()]
    caches = [EncodedCache(model, store=store) for model in models]
    a, b = grids(models[0], 2)
    assert caches[0].get(ct, a) is not caches[1].get(ct, a)
    caches[1].get(ct, b)
    assert store.nbytes == 2 * PATCH_BYTES
    assert not caches[0].holds(ct, a)


def test_a_session_that_opens_a_volume_again_finds_it_encoded(open_session, fake, ct):
    model = fake()
    session = open_session(model)
    for volume in (ct, copy_of(ct, modality="MR"), copy_of(ct)):
        session.set_volume(volume)
        session.select(spine_labels().by_name("L3"))
        session.add(Point((0.0, 0.0, 0.0)))
        if volume is ct:
            once = session.cache.encoded_count
    assert session.cache.encoded_count == 2 * once


def test_sessions_with_one_store_stay_within_one_bound(fake, ct):
    store = PatchStore(limit_bytes=3 * PATCH_BYTES)
    for x in (-30.0, 0.0, 30.0):
        session = Session(fake(), store=store)
        session.set_volume(ct)
        session.select(spine_labels().by_name("L3"))
        session.add(Point((x, 0.0, 0.0)))
        assert 0 < store.nbytes <= 3 * PATCH_BYTES


def test_what_is_gone_is_dropped_unless_somebody_has_the_same_open(fake, ct):
    store, model, twin = PatchStore(limit_bytes=10 * PATCH_BYTES), fake(), copy_of(ct)
    cache, grid = EncodedCache(model, store=store), grids(model, 1)[0]
    for volume in (ct, twin):
        cache.get(volume, grid)
    store.drop(id(twin))
    assert store.nbytes == PATCH_BYTES
    store.drop(id(ct))
    assert store.nbytes == 0


def test_the_bound_holds_over_hundreds_of_patches(fake, ct):
    store, model = PatchStore(limit_bytes=5 * PATCH_BYTES), fake()
    cache = EncodedCache(model, store=store)
    for n in range(300):
        patch = cache.get(ct, model.grid_at((2.0 * (n % 20) - 20.0, 2.0 * (n // 20), 0.0)))
        assert store.nbytes <= 5 * PATCH_BYTES
        assert patch.nbytes == PATCH_BYTES
    assert cache.encoded_count == 300
    assert store.nbytes == sum(one.nbytes for one in store._patches.values()) == 5 * PATCH_BYTES
