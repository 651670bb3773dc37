"""Fusion: known answers, and what does not fit takes no part."""

from __future__ import annotations

import math

import numpy as np
import pytest

from SAMSpineLib.atlas.fusion import METHODS, chosen, fuse
from SAMSpineLib.errors import VolumeError

SHAPE = (12, 14, 16)


def block(start: int = 4, stop: int = 10) -> np.ndarray:
    mask = np.zeros(SHAPE, np.float32)
    mask[3:9, 4:10, start:stop] = 1.0
    return mask


@pytest.mark.parametrize("method", METHODS)
def test_atlases_that_agree_give_what_they_say(method: str) -> None:
    fusion = fuse([block()] * 3, [0.9, 0.92, 0.94], method)
    assert fusion.used == (0, 1, 2)
    assert fusion.probability.dtype == np.float32
    np.testing.assert_allclose(fusion.probability, block(), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_one_atlas_alone_is_believed(method: str) -> None:
    np.testing.assert_allclose(fuse([block()], [0.9], method).probability, block(), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_majority_wins_at_every_voxel(method: str) -> None:
    fusion = fuse([block(), block(), block(4, 12)], [0.9, 0.9, 0.9], method)
    np.testing.assert_array_equal(fusion.probability > 0.5, block() > 0)


def test_the_average_is_weighted_by_quality() -> None:
    one, nothing = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    fusion = fuse([one, nothing], [0.90, 0.88], "average")
    np.testing.assert_allclose(fusion.probability, 0.9 / 1.78, rtol=1e-5)


def test_staple_trusts_the_atlas_that_performs_better_than_the_others() -> None:
    # Two careless atlases miss different ends; where they disagree, each with the careful one is the majority.
    fusion = fuse([block(), block(6, 10), block(4, 8)], [0.9, 0.9, 0.9], "staple")
    assert (fusion.probability[block() > 0] > 0.5).mean() > 0.99
    assert fusion.probability[block() == 0].max() < 0.01


def test_local_weights_silence_an_atlas_where_it_is_wrong_and_keep_it_where_it_is_right() -> None:
    good, torn = block(), block()
    torn[3:9, 4:10, 11:15] = 1.0
    local = fuse([good, good, good, torn], [0.9] * 4, "local").probability
    average = fuse([good, good, good, torn], [0.9] * 4, "average").probability
    assert average[6, 7, 13] == pytest.approx(0.25)
    assert local[6, 7, 13] < 0.15
    assert local[6, 7, 6] == pytest.approx(1.0)


def test_a_hopeless_atlas_is_dropped_and_not_averaged_in() -> None:
    fusion = fuse([block(), np.ones(SHAPE, np.float32), block()], [0.9, 0.4, 0.9], "average")
    assert fusion.used == (0, 2)
    assert "0.40" in fusion.dropped[1]
    np.testing.assert_allclose(fusion.probability, block())


def test_an_atlas_far_worse_than_the_others_is_dropped_although_it_would_pass_alone() -> None:
    assert chosen([0.95, 0.94, 0.96, 0.95, 0.82])[0] == (0, 1, 2, 3)
    assert chosen([0.82])[0] == (0,)
    assert chosen([0.80, 0.84, 0.88, 0.90, 0.78])[0] == (0, 1, 2, 3, 4)
    assert chosen([0.95, 0.95, 0.95, 0.91])[0] == (0, 1, 2, 3)


def test_an_atlas_without_a_quality_is_dropped() -> None:
    assert chosen([math.nan, 0.9])[0] == (1,)


@pytest.mark.parametrize("qualities", [[], [0.2, 0.3]])
def test_where_no_atlas_is_left_there_is_a_reason_and_no_probability(qualities: list[float]) -> None:
    fusion = fuse([block()] * len(qualities), qualities)
    assert fusion.probability is None
    assert fusion.reason
    assert len(fusion.dropped) == len(qualities)


def test_shapes_that_differ_and_unknown_methods_are_refused() -> None:
    with pytest.raises(VolumeError, match="one shape"):
        fuse([block(), block()[1:]], [0.9, 0.9])
    with pytest.raises(VolumeError, match="one shape"):
        fuse([block()], [0.9, 0.9])
    with pytest.raises(VolumeError, match="vote"):
        fuse([block()], [0.9], "vote")  # type: ignore[arg-type]
