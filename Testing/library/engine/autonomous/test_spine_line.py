"""A curve through centres measures the way along a spine, and a chain of peaks leaves out what is no spine."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.autonomous.spine_line import ChainSettings, SpineLine, best_chain, join_doubles
from SAMSpineLib.errors import GeometryError

RADIUS = 200.0
ANGLES = np.linspace(0, np.pi / 2, 12)
ARC = np.stack([np.full(12, 5.0), RADIUS * np.cos(ANGLES), -RADIUS * np.sin(ANGLES)], axis=1)


def chain(places, scores=None, bone=1.0):
    """Return the indices of the best chain, and the levels that its steps span."""
    places = np.asarray(places, float)
    scores = np.full(len(places), 0.8) if scores is None else np.asarray(scores, float)
    links = best_chain(places, scores, np.full((len(places),) * 2, bone), ChainSettings())
    return [link.peak for link in links], [link.levels for link in links]


def column(gaps):
    """Return places straight below one another."""
    down = np.concatenate([[0.0], np.cumsum(gaps)])
    return np.stack([0 * down, 0 * down, -down], axis=1)


def test_the_length_of_a_quarter_circle_is_known():
    assert SpineLine.fit(ARC, tolerance=0.1).length == pytest.approx(np.pi / 2 * RADIUS, abs=1.0)


def test_a_place_on_the_line_is_found_again_from_its_arc_length():
    line = SpineLine.fit(ARC, tolerance=0.1)
    along = np.linspace(0, line.length, 37)
    assert line.project(line.at(along)) == pytest.approx(along, abs=0.05)


def test_a_place_beside_the_line_projects_to_the_foot_of_its_perpendicular():
    line = SpineLine.fit(ARC, tolerance=0.1)
    beside = line.at(100.0) + 20 * np.array([1.0, 0.0, 0.0])
    assert line.project(beside) == pytest.approx(100.0, abs=0.5)


def test_tangents_are_unit_vectors_that_point_footwards():
    line = SpineLine.fit(ARC, tolerance=0.1)
    along = np.linspace(0, line.length, 25)
    expected = np.stack([0 * along, -np.sin(along / RADIUS), -np.cos(along / RADIUS)], axis=1)
    assert line.tangent(along) == pytest.approx(expected, abs=0.03)


def test_beyond_its_ends_the_line_goes_on_straight():
    line = SpineLine.fit([[0, 0, 100], [0, 0, 60], [0, 0, 20]])
    assert line.at(-10.0) == pytest.approx([0, 0, 110], abs=1e-6)
    assert line.at([line.length + 15.0]) == pytest.approx(np.array([[0, 0, 5]]), abs=1e-6)
    assert line.project([[3, 0, 110], [0, 4, 5]]) == pytest.approx([-10, line.length + 15], abs=1e-6)


def test_errors_of_the_centres_are_smoothed():
    rng = np.random.default_rng(0)
    line = SpineLine.fit(ARC + rng.normal(0, 2, ARC.shape))
    off = np.abs(np.hypot(line.points[:, 1], line.points[:, 2]) - RADIUS)
    assert off.mean() < 1.5
    turns = np.arccos(np.clip((line.tangent(np.arange(0, 300, 10.0)) * [0, 0, -1]).sum(axis=1), -1, 1))
    assert (np.diff(turns) > -0.1).all()


def test_two_centres_make_a_straight_line():
    line = SpineLine.fit([[0, 0, 30], [0, 40, 0]])
    assert line.length == pytest.approx(50.0)
    assert line.at(25.0) == pytest.approx([0, 20, 15])


@pytest.mark.parametrize("centres", [[], [[0, 0, 0]], [[0, 0, 0], [0, 0, 0]], [0, 1, 2]])
def test_fewer_than_two_different_centres_make_no_line(centres):
    with pytest.raises(GeometryError, match="at least two centres"):
        SpineLine.fit(centres)


def test_a_chain_goes_head_to_foot_in_whatever_order_peaks_come():
    places = column([14, 15, 16, 18, 20, 22])
    order = np.random.default_rng(1).permutation(7)
    assert np.array_equal(order[chain(places[order])[0]], np.arange(7))


def test_no_peaks_make_no_chain_and_one_makes_one():
    assert chain(np.zeros((0, 3))) == ([], [])
    assert chain([[1, 2, 3]]) == ([0], [0])


def test_a_missing_peak_makes_a_step_of_two_levels():
    assert chain(column([30, 31, 64, 33, 34])) == ([0, 1, 2, 3, 4, 5], [0, 1, 1, 2, 1, 1])


@pytest.mark.parametrize("apart", [8.0, 12.0, 18.0])
def test_a_doubled_peak_is_dropped(apart):
    places = np.insert(column([33, 34, 35, 36]), 3, [0, 0, -67 - apart], axis=0)
    scores = [0.8, 0.8, 0.8, 0.6, 0.8, 0.8]
    assert chain(places, scores) == ([0, 1, 2, 4, 5], [0, 1, 1, 1, 1])


def test_two_peaks_of_one_vertebra_are_joined_in_its_middle():
    places = column([22, 22, 16, 12, 16, 23])
    joined, scores, levels = join_doubles(places, np.full(7, 0.8), np.ones(6, int), ChainSettings())
    assert joined == pytest.approx(column([22, 22, 22, 22, 23]))
    assert (len(scores), levels.tolist()) == (6, [1] * 5)


def test_peaks_beside_the_spine_are_dropped():
    places = np.concatenate([column([25, 26, 27, 28, 29]), [[45, 0, -40], [-60, 10, -100], [50, -40, -120]]])
    assert chain(places)[0] == [0, 1, 2, 3, 4, 5]


def test_a_scoliotic_spine_is_one_chain():
    angle = np.linspace(0, 2 * np.pi, 17)
    places = np.stack([40 * np.sin(angle), 20 * np.cos(angle), -26.0 * np.arange(17)], axis=1)
    places = places + np.random.default_rng(2).normal(0, 2, places.shape)
    assert chain(places) == (list(range(17)), [0] + [1] * 16)


def test_the_longer_of_two_spines_is_chosen():
    short = column([30, 30]) + [150, 0, 0]
    assert chain(np.concatenate([short, column([28, 29, 30, 31])]))[0] == [3, 4, 5, 6, 7]
