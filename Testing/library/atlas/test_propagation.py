"""Propagation: shapes of other spines become a pseudo-mask of each level, and bad ones take no part."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from SAMSpineLib.atlas.propagation import PropagatedLevel, propagate
from SAMSpineLib.atlas.registration import RegistrationSettings
from SAMSpineLib.atlas.shapes import AtlasShape
from SAMSpineLib.errors import VolumeError
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Grid

QUICK = RegistrationSettings(spacing=3.5)


def overlap(level: PropagatedLevel, mask: np.ndarray, grid: Grid) -> float:
    seen = sample(level.probability, level.grid, grid, fill=0.0) > 0.5
    return 2 * int((seen & mask).sum()) / int(seen.sum() + mask.sum())


@pytest.fixture(scope="module")
def shapes(spot) -> list[AtlasShape]:
    """Give the vertebra in four other patients: larger, smaller, flatter, turned grid."""
    result = []
    for number, (scale, kind) in enumerate(
        [((1.1, 1.1, 1.1), "RAS"), ((0.9, 0.9, 0.95), "LPS"), ((1.0, 1.05, 0.85), "permuted"), ((1, 1, 1), "oblique")]
    ):
        grid = spot.grid(kind)
        mask = spot.vertebra(grid, lambda p, s=scale: spot.centre + (p - spot.centre) * s)
        result.append(AtlasShape(f"atlas-{number}", 22, mask, grid))
    return result


@pytest.fixture(scope="module")
def coarse(spot) -> tuple[np.ndarray, Grid]:
    grid = spot.grid("oblique", 2.5)
    return spot.vertebra(grid), grid


@pytest.mark.parametrize("method", ["average", "staple", "local"])
def test_other_vertebrae_become_this_one(shapes, coarse, method: str) -> None:
    level = propagate({22: coarse}, {22: shapes}, QUICK, method=method)[22]
    assert level.used == tuple(shape.atlas for shape in shapes)
    assert level.dropped == ()
    assert level.reason == ""
    assert overlap(level, *coarse) > 0.93
    assert set(level.registrations) == set(level.used)


def test_bad_shapes_are_dropped_by_name_with_a_reason(spot, shapes, coarse, sphere) -> None:
    mirrored = AtlasShape("mirrored", 22, shapes[0].mask[:, ::-1], shapes[0].grid)
    empty = AtlasShape("empty", 22, np.zeros_like(shapes[0].mask), shapes[0].grid)
    bad = [AtlasShape("sphere", 22, *sphere), mirrored, empty]
    level = propagate({22: coarse}, {22: [*bad, *shapes]}, QUICK)[22]
    assert {one.name for one in level.dropped} == {"sphere", "mirrored", "empty"}
    assert all(one.reason and one.quality < 0.9 for one in level.dropped)
    clean = propagate({22: coarse}, {22: shapes}, QUICK)[22]
    np.testing.assert_allclose(level.probability, clean.probability, atol=1e-5)


def test_levels_without_a_shape_or_with_none_that_fits_say_why(shapes, coarse) -> None:
    empty = AtlasShape("empty", 21, np.zeros_like(shapes[0].mask), shapes[0].grid)
    levels = propagate({20: coarse, 21: coarse, 22: coarse}, {21: [empty], 22: shapes[:1]}, QUICK)
    assert list(levels) == [20, 21, 22]
    assert levels[20].probability is None
    assert levels[21].probability is None
    assert levels[20].reason
    assert levels[21].dropped[0].name == "empty"
    assert levels[22].used == ("atlas-0",)


def test_a_shape_that_stands_in_for_another_level_is_told_apart(shapes, coarse) -> None:
    neighbour = AtlasShape("atlas-0", 21, shapes[0].mask, shapes[0].grid)
    level = propagate({22: coarse}, {22: [shapes[0], neighbour]}, QUICK)[22]
    assert level.used == ("atlas-0", "atlas-0 (label 21)")


def test_the_number_of_workers_does_not_change_the_result(shapes, coarse) -> None:
    one, three = (propagate({22: coarse}, {22: shapes}, QUICK, workers=n)[22] for n in (1, 3))
    np.testing.assert_array_equal(one.probability, three.probability)


def test_progress_counts_every_shape_once_in_the_callers_thread(shapes, coarse) -> None:
    seen = []
    propagate(
        {22: coarse, 23: coarse},
        {22: shapes[:2], 23: shapes[2:3]},
        QUICK,
        progress=lambda *counted: seen.append((*counted, threading.current_thread())),
    )
    assert [done for done, _, _, _ in seen] == [1, 2, 3]
    assert {total for _, total, _, _ in seen} == {3}
    assert sorted(name for _, _, name, _ in seen) == ["atlas-0", "atlas-1", "atlas-2 (label 22)"]
    assert {thread for *_, thread in seen} == {threading.current_thread()}


def test_a_cancel_keeps_the_levels_that_are_done_and_ends_the_rest_soon(shapes, coarse) -> None:
    stopped_at: list[float] = []

    def count(done: int, total: int, name: str) -> None:
        if done == 2:
            stopped_at.append(time.perf_counter())

    wanted = {22: shapes[:1], 23: shapes * 3}
    levels = propagate(
        {22: coarse, 23: coarse}, wanted, QUICK, progress=count, cancelled=lambda: bool(stopped_at), workers=1
    )
    assert time.perf_counter() - stopped_at[0] < 2.0
    assert list(levels) == [22]


def test_an_empty_coarse_mask_is_refused(shapes, coarse) -> None:
    with pytest.raises(VolumeError, match="voxels inside"):
        propagate({22: (np.zeros_like(coarse[0]), coarse[1])}, {22: shapes}, QUICK)
