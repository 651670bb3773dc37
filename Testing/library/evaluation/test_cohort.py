"""Many results: each case against what is known by hand, and the page that shows them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SAMSpineLib.errors import LabelError, OutputError
from SAMSpineLib.evaluation.cohort import evaluate_pairs, read_pair, score_case, summarised, value_of
from SAMSpineLib.evaluation.cohort_report import write_cohort_report
from SAMSpineLib.evaluation.pairs import Pair
from SAMSpineLib.evaluation.report import evaluate
from SAMSpineLib.evaluation.worst_cases import RESULT_COLOUR, SHARED_COLOUR, TRUTH_COLOUR, draw, worst_of
from SAMSpineLib.io.numbering import NamedLabels
from SAMSpineLib.io.writing import write_segmentation
from SAMSpineLib.labels import Label, LabelTable, spine_labels
from SAMSpineLib.volume import Grid, Volume

TABLE = spine_labels()
L1, L2, L3 = (TABLE.by_name(name).value for name in ("L1", "L2", "L3"))
GRID = Grid((10, 20, 30), np.diag([1.0, 1.0, 3.0, 1.0]))
ANY = Pair("case", "someone", Path("r"), Path("t"))


def _map(*blocks):
    array = np.zeros(GRID.shape, np.uint8)
    for value, k0, k1, i0, i1 in blocks:
        array[k0:k1, 5:15, i0:i1] = value
    return Volume(array, GRID)


def _case(prediction, truth, subject="someone", name="case", **options):
    pair = Pair(name, subject, Path("r"), Path("t"))
    return score_case(pair, prediction, NamedLabels(truth, TABLE), **options)


def test_a_case_agrees_with_the_scores_of_two_files():
    prediction, truth = _map((L1, 2, 5, 3, 9), (L2, 6, 9, 5, 9)), _map((L1, 2, 5, 5, 11), (L2, 6, 9, 5, 12))
    found, known = _case(prediction, truth), evaluate(prediction, truth, TABLE)
    for name, score in found.structures.items():
        other = known.labels[name]
        assert (score.dice, score.surface_dice, score.hd95_mm) == (other.dice, other.nsd_2mm, other.hd95_mm)
    assert found.structures["L1"].iou == pytest.approx(4 / 8)


def test_presence_is_the_share_of_slices_that_are_right_about_it():
    # Slices 2 to 4 are true; 4 to 6 are said: four of ten are wrong.
    assert _case(_map((L1, 4, 7, 5, 9)), _map((L1, 2, 5, 5, 9))).structures["L1"].presence == pytest.approx(0.6)
    assert _case(_map((L1, 2, 5, 20, 25)), _map((L1, 2, 5, 5, 9))).structures["L1"].presence == 1.0


def test_the_tolerance_of_the_surface_dice_is_ones_own():
    shifted = _case(_map((L1, 2, 5, 6, 12)), _map((L1, 2, 5, 5, 11)), tolerance_mm=0.5).structures["L1"]
    assert shifted.surface_dice < 1.0
    assert _case(_map((L1, 2, 5, 6, 12)), _map((L1, 2, 5, 5, 11))).structures["L1"].surface_dice == 1.0


def test_what_is_missed_counts_as_nothing_and_what_is_too_much_only_in_presence():
    report = summarised(
        [
            _case(_map(), _map((L1, 2, 5, 5, 9)), "a"),
            _case(_map((L1, 2, 5, 5, 9), (L3, 6, 9, 5, 9)), _map((L1, 2, 5, 5, 9)), "b"),
            _case(_map((L1, 0, 1, 5, 9)), _map((L2, 2, 5, 5, 9)), "c"),
        ]
    )
    l1 = report.structures["L1"]
    assert (l1.cases, l1.missed) == (2, 1)
    assert (l1.metrics["dice"].mean, l1.metrics["dice"].subjects) == (0.5, 2)
    assert (l1.metrics["hd95_mm"].mean, l1.metrics["hd95_mm"].subjects) == (0.0, 1)
    # 3 of 10 slices missed, none, and 1 of 10 too much.
    assert l1.metrics["presence"].mean == pytest.approx((0.7 + 1.0 + 0.9) / 3)
    assert report.structures["L2"].metrics["presence"].mean == pytest.approx((1.0 + 1.0 + 0.7) / 3)
    assert report.extra == ("L3",)


def test_scans_of_one_subject_are_averaged_first():
    truth = _map((L1, 2, 5, 5, 9))
    report = summarised([_case(truth, truth, "a"), _case(truth, truth, "a"), _case(_map(), truth, "b")])
    assert report.structures["L1"].metrics["dice"].mean == 0.5
    assert report.subjects == 2
    assert report.mean["dice"].mean == 0.5


def test_the_mean_over_structures_is_taken_in_each_case_first():
    both, one = _map((L1, 2, 5, 5, 9), (L2, 6, 9, 5, 9)), _map((L1, 2, 5, 5, 9))
    report = summarised([_case(one, both, "a"), _case(one, one, "b")])
    assert report.mean["dice"].mean == pytest.approx((0.5 + 1.0) / 2)


def test_truths_without_any_structure_are_refused_and_one_of_them_is_not():
    empty = _case(_map(), _map())
    with pytest.raises(LabelError, match="nothing to score"):
        summarised([empty])
    report = summarised([empty, _case(_map((L1, 2, 5, 5, 9)), _map((L1, 2, 5, 5, 9)))])
    assert report.structures["L1"].cases == 1
    assert math.isnan(value_of(empty, "L1", "dice"))
    assert value_of(empty, "L1", "presence") == 1.0


@pytest.fixture
def pairs(tmp_path):
    """Give three pairs on disk, with images: right, shifted by two columns, and missed."""
    found = []
    truth = _map((L1, 2, 5, 8, 18))
    results = {"right": truth, "shifted": _map((L1, 2, 5, 10, 20)), "missed": _map((L2, 6, 8, 5, 9))}
    for name, result in results.items():
        paths = [tmp_path / f"{name}_{what}.nii.gz" for what in ("pred", "seg", "ct")]
        for path, volume in zip(paths, (result, truth), strict=False):
            write_segmentation(path, volume.array, GRID, TABLE)
        image = sitk.GetImageFromArray(np.full(GRID.shape, -50, np.int16))
        image.CopyInformation(sitk.ReadImage(str(paths[0])))
        sitk.WriteImage(image, str(paths[2]))
        found.append(Pair(name, name, *paths, ids="samspine"))
    return found


def test_pairs_on_disk_are_scored_in_their_order_and_json_is_strict(pairs):
    told = []
    report = evaluate_pairs(pairs, TABLE, progress=lambda *args: told.append(args))
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert [one["labels"]["L1"]["dice"] for one in found["cases"]] == [1.0, 0.8, 0.0]
    assert found["cases"][2]["labels"]["L1"]["hd95_mm"] is None
    assert found["structures"]["L1"]["missed"] == 1
    assert found["extra"] == ["L2"]
    assert told[-1] == (3, 3, "missed")


def test_structures_are_matched_by_name_where_the_files_number_them_differently(tmp_path):
    own = [*TABLE, Label(40000, "psoas", "psoas", "", (1, 2, 3)), Label(40001, "skin", "skin", "", (1, 2, 3))]
    array = np.zeros(GRID.shape, np.uint16)
    array[2:5], array[6] = 40000, 40001
    write_segmentation(tmp_path / "r.seg.nrrd", array, GRID, own)
    theirs = [Label(7, "psoas", "psoas", "", (1, 2, 3))]
    write_segmentation(tmp_path / "t.nii.gz", (array == 40000).astype(np.uint8) * 7, GRID, LabelTable(theirs))
    pair = Pair("a", "a", tmp_path / "r.seg.nrrd", tmp_path / "t.nii.gz", ids="none")
    report = evaluate_pairs([pair], TABLE)
    assert report.structures["psoas"].metrics["dice"].mean == 1.0
    assert report.extra == ("skin",)


def test_masks_of_any_value_are_compared(tmp_path):
    for name, value in (("r", 1), ("t", 255)):
        mask = np.zeros((30, 40), np.uint8)
        mask[5:15, 5:25] = value
        sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / f"{name}.png"))
    pair = Pair("a", "a", tmp_path / "r.png", tmp_path / "t.png", ids="any")
    notices = []
    prediction, truth = read_pair(pair, TABLE, notices.append)
    assert score_case(pair, prediction, truth).structures["structure"].dice == 1.0
    assert len(notices) == 2


def test_the_worst_cases_come_with_the_lowest_dice_first(pairs):
    report = evaluate_pairs(pairs, TABLE)
    chosen = worst_of(report.cases, list(report.structures), 2)
    assert [(case.pair.name, name) for case, name in chosen] == [("missed", "L1"), ("shifted", "L1")]


def test_of_few_cases_more_structures_are_shown():
    truth = _map((L1, 1, 3, 5, 9), (L2, 4, 6, 5, 9), (L3, 7, 9, 5, 9))
    cases = [
        _case(_map((L1, 1, 3, 5, 9), (L2, 4, 6, 6, 10), (L3, 7, 9, 7, 11)), truth, name="a"),
        _case(_map((L1, 1, 3, 5, 9), (L2, 4, 6, 5, 9), (L3, 7, 9, 6, 10)), truth, name="b"),
    ]
    chosen = [(case.pair.name, name) for case, name in worst_of(cases, ["L1", "L2", "L3"], 4)]
    assert chosen == [("a", "L3"), ("b", "L3"), ("a", "L2"), ("a", "L1")]
    assert len(worst_of(cases, ["L1", "L2", "L3"], 99)) == 6


def test_a_picture_shows_both_outlines_where_they_lie(pairs):
    report = evaluate_pairs(pairs, TABLE)
    by_name = {case.pair.name: draw(case, "L1", TABLE).pixels for case in report.cases}

    def columns(name, colour):
        return np.flatnonzero((by_name[name] == colour).all(axis=2).any(axis=0))

    # The patient's right is on the left: the first column of the truth, 8, is the last one that is drawn of it.
    truth, result = columns("shifted", TRUTH_COLOUR), columns("shifted", RESULT_COLOUR)
    pixel = len(columns("right", SHARED_COLOUR)) / 10
    assert result.min() < truth.min()
    assert truth.max() - result.max() == pytest.approx(2 * pixel, abs=1)
    assert not len(columns("right", TRUTH_COLOUR))
    assert not len(columns("missed", RESULT_COLOUR))
    assert len(columns("missed", TRUTH_COLOUR)) == pytest.approx(10 * pixel, abs=1)


def test_a_picture_of_long_voxels_is_not_squeezed(tmp_path):
    grid = Grid((9, 20, 20), np.diag([3.0, 1.0, 1.0, 1.0]))
    array = np.zeros(grid.shape, np.uint8)
    array[:, 8:14, 8:14] = L1
    write_segmentation(tmp_path / "t.nii.gz", array, grid, TABLE)
    pair = Pair("a", "a", tmp_path / "t.nii.gz", tmp_path / "t.nii.gz", ids="samspine")
    pixels = draw(evaluate_pairs([pair], TABLE).cases[0], "L1", TABLE).pixels
    rows, columns = (np.flatnonzero((pixels == SHARED_COLOUR).all(axis=2).any(axis=axis)) for axis in (1, 0))
    sides = sorted((np.ptp(rows) + 1, np.ptp(columns) + 1))
    # Sagittal slices 3 mm apart, of 9 x 6 mm.
    assert sides[1] / sides[0] == pytest.approx(9 / 6, rel=0.05)


def test_the_page_stands_alone_and_tells_every_case(pairs, tmp_path):
    report = evaluate_pairs(pairs, TABLE)
    path = tmp_path / "report.html"
    write_cohort_report(path, report, TABLE, title="a <b> & c")
    text = path.read_text(encoding="utf-8")
    assert "<h1>a &lt;b&gt; &amp; c</h1>" in text
    assert re.findall(r"(?:src|href)=\"(?!data:image/png)", text) == []
    assert re.findall(r"https?:|<script|@import|url\(", text) == []
    assert text.count("<img ") == 3
    assert "shifted, L1: Dice 0.800" in text
    assert text.count('<circle class="dot"') == 3 * 5 - 1  # the missed one has no Hausdorff distance
    assert 'class="curve"' in text
    assert "In no truth, so not scored: L2" in text


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_drawn(pairs, tmp_path):
    report = evaluate_pairs(pairs[:1], TABLE)
    with pytest.raises(OutputError):
        write_cohort_report(
            tmp_path / "nowhere" / "report.html", report, TABLE, progress=lambda *_: pytest.fail("late")
        )
