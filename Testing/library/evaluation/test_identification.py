"""Levels found and named: every kind of mistake a numbering can make, worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from SAMSpineLib.errors import GeometryError, LabelError
from SAMSpineLib.evaluation.identification import score_centres, score_labels
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid

TABLE = spine_labels()
# Oblique, left-handed and anisotropic; K runs towards the feet.
OBLIQUE = np.array([[0.8, -0.6, 0.0, 12.0], [0.6, 0.8, 0.0, -40.0], [0.0, 0.0, -2.5, 300.0], [0.0, 0.0, 0.0, 1.0]])
GRID = Grid((130, 40, 30), OBLIQUE)
LEVEL_K = 10  # voxels of 2.5 mm from level to level


def v(name):
    return TABLE.by_name(name).value


def spine(*names, first=0):
    """Give centres 25 mm apart, head to foot, on a slightly bent line (RAS mm)."""
    return {v(name): (0.0, 0.02 * (25 * n) ** 2 / 25, -25.0 * n) for n, name in enumerate(names, start=first)}


def label_map(*names, first=0, shift_k=0):
    array = np.zeros(GRID.shape, np.uint16)
    for n, name in enumerate(names, start=first):
        k = 3 + LEVEL_K * n + shift_k
        array[k : k + 8, 10:30, 8:22] = v(name)
    return array


SEVEN = ("T10", "T11", "T12", "L1", "L2", "L3", "L4")


def test_a_truth_identifies_itself():
    report = score_labels(label_map(*SEVEN), label_map(*SEVEN), GRID, TABLE)
    assert list(report.levels) == list(SEVEN)
    assert (report.identification_rate, report.localisation_mm, report.dice, report.dice_any_name) == (1, 0, 1, 1)
    assert (report.shift, report.beyond, report.false_positives) == (0, (), ())


def test_the_distance_is_in_the_patients_millimetres():
    report = score_labels(label_map(*SEVEN, shift_k=2), label_map(*SEVEN), GRID, TABLE)
    assert report.localisation_mm == pytest.approx(5.0)
    assert report.identification_rate == 1.0
    assert report.dice == pytest.approx(6 / 8)


def test_a_spine_numbered_one_level_too_high_is_found_but_not_named_and_its_names_must_move_down():
    report = score_labels(label_map("T9", *SEVEN[:-1]), label_map(*SEVEN), GRID, TABLE)
    assert report.shift == 1
    assert report.identification_rate == 0.0
    assert report.localisation_mm == pytest.approx(25.0)
    assert (report.dice, report.dice_any_name) == (0.0, 1.0)
    assert report.levels["L1"].called == "T12"
    assert report.levels["L4"].distance_mm == math.inf
    # T9 is the name of a vertebra that the truth has: wrong, not beyond.
    assert (report.beyond, report.false_positives) == ((), ("T9",))


def test_a_wrong_name_for_the_first_labelled_level_is_not_beyond_it_though_a_little_higher():
    truth = spine("T12", "L1", "L2")
    moved = {v("T11"): np.add(truth[v("T12")], (0, 0, 3.0)), v("L1"): truth[v("L1")]}
    report = score_centres(moved, truth, TABLE)
    assert (report.beyond, report.false_positives) == ((), ("T11",))


def test_where_as_many_names_speak_for_no_shift_as_for_one_there_is_none():
    truth = spine("T12", "L1")
    assert score_centres({v("L2"): truth[v("T12")], v("L1"): truth[v("L1")]}, truth, TABLE).shift == 0


def test_a_thirteenth_thoracic_vertebra_is_one_step_from_both_its_neighbours():
    truth = spine("T13")
    for name, shift in (("T12", 1), ("L1", -1)):
        assert score_centres({v(name): truth[v("T13")]}, truth, TABLE).shift == shift


def test_a_spine_numbered_too_low_must_move_up_across_the_regions():
    truth, named = ("C6", "C7", "T1", "T2"), ("T1", "T2", "T3", "T4")
    assert score_centres(spine(*named), spine(*truth), TABLE).shift == -2


def test_one_wrong_name_among_right_ones_is_no_shift():
    named = dict(spine(*SEVEN))
    named[v("L5")] = named.pop(v("L4"))
    report = score_centres(named, spine(*SEVEN), TABLE)
    assert report.shift == 0
    assert report.identification_rate == pytest.approx(6 / 7)
    assert report.false_positives == ("L5",)


def test_levels_that_the_truth_has_not_labelled_are_beyond_it():
    truth = label_map("T12", "L1", "L2", first=3)
    report = score_labels(label_map("T9", "T10", "T11", "T12", "L1", "L2", "L3"), truth, GRID, TABLE)
    assert report.beyond == ("T9", "T10", "T11", "L3")
    assert report.false_positives == ()
    assert report.identification_rate == 1.0


def test_a_fragment_at_the_cut_border_next_to_the_last_labelled_level_is_beyond():
    truth = spine("T12", "L1", "L2")
    named = {**truth, v("L3"): np.array(truth[v("L2")]) + (0, 0, -9.0)}
    assert score_centres(named, truth, TABLE).beyond == ("L3",)


def test_a_vertebra_invented_between_labelled_ones_is_a_false_positive():
    truth = spine("L1", "L2", "L3")
    named = {**truth, v("L6"): (0.0, 0.0, -37.0)}
    report = score_centres(named, truth, TABLE)
    assert (report.beyond, report.false_positives) == ((), ("L6",))


def test_next_to_one_labelled_level_everything_else_is_beyond():
    report = score_centres(spine("L1", "L2", "L3"), {v("L2"): (0.0, 0.0, -25.0)}, TABLE)
    assert report.beyond == ("L1", "L3")


def test_a_thirteenth_thoracic_vertebra_called_l1_shifts_what_is_below_it():
    truth = spine("T12", "T13", "L1", "L2", "L3", "L4")
    report = score_centres(spine("T12", "L1", "L2", "L3", "L4", "L5"), truth, TABLE)
    assert report.shift == -1
    assert report.levels["T13"].called == "L1"
    assert report.levels["T12"].identified
    assert list(report.levels)[:3] == ["T12", "T13", "L1"]


def test_six_lumbar_vertebrae_counted_from_below_are_one_step_off():
    report = score_centres(
        spine("L2", "L3", "L4", "L5", "L6", "sacrum"), spine("L1", "L2", "L3", "L4", "L5", "L6"), TABLE
    )
    assert report.shift == -1
    assert report.levels["L5"].called == "L6"


def test_a_missed_vertebra_is_not_taken_for_its_neighbour():
    truth = {v(name): (0.0, 0.0, -15.0 * n) for n, name in enumerate(("C3", "C4", "C5"))}
    report = score_centres({key: truth[key] for key in (v("C3"), v("C5"))}, truth, TABLE)
    assert report.levels["C4"].called is None
    assert report.levels["C4"].distance_mm == math.inf
    assert report.shift == 0
    assert report.identification_rate == pytest.approx(2 / 3)
    assert report.localisation_mm == 0.0


def test_sacrum_and_discs_do_not_count_as_vertebrae():
    truth = spine("L4", "L5", "sacrum")
    far = {**truth, v("sacrum"): (0, 0, -500.0), v("disc L4-L5"): (0, 0, -12.0)}
    report = score_centres(far, {**truth, v("spinal canal"): (0, -20, 0)}, TABLE)
    assert list(report.levels) == ["L4", "L5", "sacrum"]
    assert not report.levels["sacrum"].identified
    assert report.identification_rate == 1.0
    assert (report.beyond, report.false_positives) == ((), ())


def test_nothing_predicted_scores_nothing():
    report = score_labels(np.zeros(GRID.shape, np.uint16), label_map(*SEVEN), GRID, TABLE)
    assert (report.identification_rate, report.dice, report.dice_any_name, report.shift) == (0, 0, 0, 0)
    assert math.isnan(report.localisation_mm)


def test_a_truth_without_levels_and_another_grid_are_refused():
    with pytest.raises(LabelError, match="nothing to identify"):
        score_centres(spine("L1"), {v("spinal canal"): (0, 0, 0)}, TABLE)
    with pytest.raises(GeometryError, match=r"prediction of shape \(3, 3, 3\)"):
        score_labels(np.zeros((3, 3, 3), np.uint16), label_map("L1"), GRID, TABLE)


def test_json_is_strict_and_complete():
    truth = spine(*SEVEN)
    report = score_centres({key: truth[key] for key in list(truth)[:3]}, truth, TABLE)
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(data) == {"levels", "mean", "shift", "beyond", "false_positives"}
    assert set(data["mean"]) == {"identification_rate", "localisation_mm", "dice", "dice_any_name"}
    assert data["levels"]["T10"]["identified"] is True
    assert data["levels"]["L4"] == {
        "value": v("L4"),
        "vertebra": True,
        "identified": False,
        "distance_mm": None,
        "called": None,
        "dice": None,
        "dice_any_name": None,
    }
