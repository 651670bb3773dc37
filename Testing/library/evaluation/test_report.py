"""Scores of a finished segmentation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from SAMSpineLib.errors import LabelError
from SAMSpineLib.evaluation.report import evaluate
from SAMSpineLib.labels import Label
from SAMSpineLib.volume import Grid, Volume

TABLE = [Label(v, n, n, "lumbar", (1, 2, 3)) for v, n in ((20, "L1"), (21, "L2"), (22, "L3"))]
GRID = Grid((30, 20, 20), np.diag([1.0, 1.0, 2.0, 1.0]))


def _map(*blocks, grid=GRID, dtype=np.uint8):
    array = np.zeros(grid.shape, dtype)
    for value, k0, k1 in blocks:
        array[k0:k1, 5:15, 5:15] = value
    return Volume(array, grid)


TRUTH = _map((20, 2, 8), (21, 12, 18), (22, 22, 28))


def test_a_truth_scores_full_marks_against_itself():
    report = evaluate(TRUTH, TRUTH, TABLE)
    assert list(report.labels) == ["L1", "L2", "L3"]
    for row in report.labels.values():
        assert (row.dice, row.nsd_2mm, row.hd95_mm, row.centroid_mm, row.identified) == (1.0, 1.0, 0.0, 0.0, True)
        assert row.truth_cm3 == row.prediction_cm3 == pytest.approx(6 * 100 * 2 / 1000)
    assert report.mean()["identification_rate"] == 1.0


def test_missed_shifted_and_extra_labels_are_each_told_apart():
    prediction = _map((20, 3, 9), (22, 22, 28), (7, 0, 1))
    report = evaluate(prediction, TRUTH, TABLE)
    assert report.labels["L1"].dice == pytest.approx(5 / 6)
    assert report.labels["L1"].centroid_mm == pytest.approx(2.0)
    assert report.labels["L1"].hd95_mm == pytest.approx(2.0)
    assert report.missed == ("L2",)
    assert report.labels["L2"].dice == 0.0
    assert not report.labels["L2"].identified
    assert report.extra == ("7",)
    assert report.mean()["dice"] == pytest.approx((5 / 6 + 0 + 1) / 3)
    assert report.mean()["hd95_mm"] == pytest.approx(1.0)


def test_a_spine_numbered_one_level_off_is_not_identified():
    # 20 mm from level to level: within the challenge's radius, yet another vertebra is closer.
    report = evaluate(_map((21, 2, 8), (22, 12, 18)), TRUTH, TABLE)
    assert [row.identified for row in report.labels.values()] == [False, False, False]
    assert report.labels["L2"].dice == 0.0


def test_a_prediction_on_another_grid_is_scored_where_it_lies_in_the_patient():
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix[:3, 3] = [19, 19, -0.5]
    fine = Grid((60, 20, 20), matrix)
    array = np.repeat(TRUTH.array, 2, axis=0)[:, ::-1, ::-1].copy()
    report = evaluate(Volume(array, fine), TRUTH, TABLE)
    assert all(row.dice == 1.0 for row in report.labels.values())
    assert report.labels["L1"].prediction_cm3 == pytest.approx(1.2)


def test_label_maps_of_whole_reals_and_booleans_are_taken():
    as_real = Volume(TRUTH.array.astype(np.float32), GRID)
    assert evaluate(as_real, TRUTH, TABLE).mean()["dice"] == 1.0
    as_bool = Volume(TRUTH.array == 20, GRID)
    assert evaluate(as_bool, as_bool).labels["1"].dice == 1.0


@pytest.mark.parametrize("bad", [0.5, np.nan, -3.0, 1e6], ids=["fraction", "nan", "negative", "huge"])
def test_an_image_instead_of_a_label_map_is_refused(bad):
    array = TRUTH.array.astype(np.float32)
    array[0, 0, 0] = bad
    with pytest.raises(LabelError, match="prediction must be a label map"):
        evaluate(Volume(array, GRID), TRUTH, TABLE)


def test_an_empty_truth_is_refused_and_an_empty_prediction_scores_zero():
    empty = _map()
    with pytest.raises(LabelError, match="nothing to score"):
        evaluate(TRUTH, empty, TABLE)
    report = evaluate(empty, TRUTH, TABLE)
    assert report.mean()["dice"] == 0.0
    assert math.isnan(report.mean()["hd95_mm"])
    assert len(report.missed) == 3


def test_json_is_strict_and_complete():
    data = json.loads(json.dumps(evaluate(_map((20, 2, 8)), TRUTH, TABLE).to_json(), allow_nan=False))
    assert set(data) == {"labels", "mean", "missed", "extra"}
    assert data["labels"]["L1"]["dice"] == 1.0
    assert data["labels"]["L1"]["identified"] is True
    assert data["labels"]["L2"]["hd95_mm"] is None
    assert data["missed"] == ["L2", "L3"]
