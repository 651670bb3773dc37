"""A chain of vertebrae is numbered as a whole: anatomy and evidence decide, and what they leave open is said."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from SAMSpineLib.engine.autonomous.level_chain import STATES, LevelSettings, ladder
from SAMSpineLib.engine.autonomous.levels import assign_levels, renumber
from SAMSpineLib.errors import LabelError, ModelError
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES

T10, T11, T12, T13 = 17, 18, 19, 28
L1, L2, L3, L4, L5, L6 = 20, 21, 22, 23, 24, 25
SACRUM = 26
REGULAR = ladder()
SHOWN_AS = {T13: T12, L6: L5}


def column(value):
    return LEVEL_VALUES.index(SHOWN_AS.get(value, value))


def sharp(*values, depth=20.0):
    """Return evidence that names these levels and leaves each other level `depth` below."""
    rows = np.full((len(values), 25), -depth)
    rows[np.arange(len(values)), [column(value) for value in values]] = 0.0
    return rows


def one_of(*groups):
    """Return evidence that tells a group of levels but not which of them."""
    rows = np.full((len(groups), 25), -20.0)
    for row, group in zip(rows, groups, strict=True):
        row[[column(value) for value in group]] = 0.0
    return rows


def spacing(values):
    """Return distances in mm to the next centre: 14 mm in the neck to 36 mm in the lumbar spine."""
    return np.array([14.0 + 22.0 * min(column(value), 23) / 23 for value in values[:-1]])


CERVICAL, THORACIC, LUMBAR = range(1, 8), range(8, 20), range(20, 25)


@pytest.mark.parametrize("length", [1, 2, 5, 12, 25])
def test_perfect_evidence_gives_the_truth_at_any_crop(length):
    for top in range(0, len(REGULAR) - length + 1, 3):
        truth = REGULAR[top : top + length]
        found = assign_levels(sharp(*truth), spacing(truth))
        assert found.values == truth
        assert min(found.confidence) > 0.85
        assert not found.ambiguous
        assert (found.alternatives, found.message) == ((), "")


@pytest.mark.filterwarnings("error")
def test_certainty_and_centres_at_one_place_are_survived():
    truth = (L3, L4, L5, SACRUM)
    assert assign_levels(sharp(*truth, depth=np.inf), None).values == truth
    assert assign_levels(sharp(*truth, depth=np.inf), [0.0, 0.0, 30.0]).values[-1] == SACRUM


def test_uniform_evidence_is_ambiguous_and_says_so():
    found = assign_levels(np.zeros((6, 25)), None)
    assert found.ambiguous
    assert max(found.confidence) < 0.1
    assert {numbering[0] for numbering in (found.values, *found.alternatives)} >= set(REGULAR[:20])
    assert found.message.startswith("levels ambiguous: nothing visible fixes the numbering; it may also be C")


def test_lumbar_like_evidence_leaves_every_lumbar_shift():
    found = assign_levels(one_of(LUMBAR, LUMBAR, LUMBAR), [34.0, 35.0])
    assert found.ambiguous
    assert {found.values, *found.alternatives} == {(L1, L2, L3), (L2, L3, L4), (L3, L4, L5)}
    others = {f"L{numbering[0] - T12}" for numbering in found.alternatives}
    assert set(re.findall(r"L\d", found.message.split(" instead of ")[0])) == others
    assert found.confidence[0] == pytest.approx(1 / 3, abs=0.05)


def test_the_sacrum_anchors_a_featureless_lumbar_chain():
    found = assign_levels(one_of(LUMBAR, LUMBAR, LUMBAR, {SACRUM}), None)
    assert found.values == (L3, L4, L5, SACRUM)
    assert not found.ambiguous
    assert min(found.confidence) > 0.8


def test_the_last_rib_anchors_what_is_above_and_below():
    found = assign_levels(one_of(*[THORACIC] * 4, *[LUMBAR] * 3), None)
    assert found.values == (16, T10, T11, T12, L1, L2, L3)
    assert min(found.confidence) > 0.8


def test_the_last_rib_fixes_a_numbering_that_nothing_else_does():
    truth = (T10, T11, T12, L1, L2)
    unsure = one_of(*[range(8, 25)] * 5)
    assert assign_levels(unsure, spacing(truth)).ambiguous
    found = assign_levels(unsure, spacing(truth), ribs=[3.0, 3.0, 3.0, -3.0, -3.0])
    assert found.values == truth
    assert min(found.confidence) > 0.8


def test_ribs_outweigh_names_that_are_one_level_off_and_little_sure():
    truth = (T10, T11, T12, L1, L2)
    wrong = sharp(T11, T12, L1, L2, L3, depth=1.0)
    assert assign_levels(wrong, spacing(truth)).values == (T11, T12, L1, L2, L3)
    assert assign_levels(wrong, spacing(truth), ribs=[2.4, 2.4, 2.4, -2.4, -2.4]).values == truth


def test_ribs_that_nobody_saw_change_nothing():
    truth = (T11, T12, L1)
    silent = assign_levels(sharp(*truth), spacing(truth), ribs=[0.0] * 3)
    assert silent == assign_levels(sharp(*truth), spacing(truth))


@pytest.mark.parametrize("ribs", [[1.0], [1.0, np.nan], [[1.0], [1.0]]])
def test_log_odds_of_ribs_that_do_not_fit_are_refused(ribs):
    with pytest.raises(ModelError, match="log-odds of ribs"):
        assign_levels(sharp(T12, L1), None, ribs=ribs)


def test_a_neck_anchors_what_follows_it():
    found = assign_levels(one_of(CERVICAL, CERVICAL, *[THORACIC] * 4), None)
    assert found.values == (6, 7, 8, 9, 10, 11)


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("wild", [3, 12, L5, SACRUM])
def test_one_wild_vertebra_in_seven_shifts_nothing(place, wild):
    truth = (15, 16, T10, T11, T12, L1, L2)
    evidence = sharp(*truth, depth=8.0)
    evidence[place] = sharp(wild, depth=60.0)
    found = assign_levels(evidence, spacing(truth))
    assert found.values == truth
    assert not found.ambiguous


VARIED = [
    (T10, T11, T12, T13, L1, L2, L3),
    (L2, L3, L4, L5, L6, SACRUM),
    (16, T10, T11, L1, L2, L3),
    (L1, L2, L3, L4, SACRUM),
]


@pytest.mark.parametrize("truth", VARIED)
def test_a_variant_is_found_where_the_evidence_shows_it(truth):
    found = assign_levels(sharp(*truth, depth=10.0), spacing(truth))
    assert found.values == truth
    assert not found.ambiguous


@pytest.mark.parametrize("truth", VARIED)
def test_a_variant_is_not_invented_where_the_evidence_is_silent(truth):
    top = REGULAR.index(truth[0])
    regular = REGULAR[top : top + len(truth)]
    evidence = np.zeros((len(regular), 25))
    evidence[0] = sharp(truth[0])
    found = assign_levels(evidence, spacing(regular))
    assert found.values == regular


def test_t13_or_l6_is_left_open_where_only_the_count_tells():
    blank = [range(1, 25)] * 18
    found = assign_levels(one_of(*[{value} for value in range(1, 8)], *blank, {SACRUM}), None)
    assert found.values == (*range(1, 8), *range(8, 20), *range(20, 25), L6, SACRUM)
    assert (*range(1, 8), *range(8, 20), T13, *range(20, 25), SACRUM) in found.alternatives


def test_a_missed_vertebra_is_seen_by_the_double_gap():
    truth = (15, 16, T10, T12, L1, L2)
    gaps = spacing(truth)
    gaps[2] *= 2.0
    evidence = np.zeros((6, 25))
    evidence[0] = sharp(15)
    assert assign_levels(evidence, gaps).values == truth
    assert assign_levels(evidence, spacing(truth)).values == (15, 16, T10, T11, T12, L1)
    assert assign_levels(evidence, gaps * 0.4).values == truth  # a child


def test_a_missed_vertebra_is_seen_by_the_names_where_no_gap_is_known():
    truth = (15, 16, T10, T12, L1, L2)
    assert assign_levels(sharp(*truth), None).values == truth


def test_a_spurious_detection_is_seen_by_the_half_gaps():
    evidence = np.insert(sharp(16, T10, T11, T12, L1, L2), 3, 0.0, axis=0)
    gaps = [28.0, 29.0, 15.0, 15.0, 31.0, 32.0]
    found = assign_levels(evidence, gaps)
    assert found.values == (16, T10, T11, 0, T12, L1, L2)
    assert found.confidence[3] > 0.8
    silent = np.zeros((7, 25))
    silent[0] = sharp(16)
    assert assign_levels(silent, gaps).values == (16, T10, T11, 0, T12, L1, L2)


def test_the_way_to_the_sacrum_is_no_missed_vertebra():
    truth = (L2, L3, L4, L5, SACRUM)
    found = assign_levels(one_of(*[LUMBAR] * 4, {SACRUM}), [33.0, 34.0, 35.0, 75.0])
    assert found.values == truth


def test_the_sacrum_can_only_be_last():
    found = assign_levels(sharp(L3, L4, SACRUM, L5, depth=10.0), None)
    assert SACRUM not in found.values[:-1] or set(found.values[found.values.index(SACRUM) + 1 :]) == {0}


def test_no_detection_is_no_numbering():
    found = assign_levels(np.zeros((0, 25)), None)
    assert (found.values, found.confidence, found.alternatives, found.ambiguous) == ((), (), (), False)


def test_a_single_vertebra_is_named_by_its_own_evidence():
    found = assign_levels(one_of({L2, L3}), [])
    assert {found.values, *found.alternatives} == {(L2,), (L3,)}
    assert found.ambiguous


@pytest.mark.parametrize(
    ("evidence", "gaps"),
    [
        (np.zeros((3, 24)), None),
        (np.full((3, 25), np.nan), None),
        (np.full((3, 25), -np.inf), None),
        (np.zeros((3, 25)), [30.0]),
        (np.zeros((3, 25)), [30.0, -1.0]),
        (np.zeros((3, 25)), [30.0, np.nan]),
    ],
)
def test_what_is_no_evidence_is_refused(evidence, gaps):
    with pytest.raises(ModelError, match="got"):
        assign_levels(evidence, gaps)


@examples(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 30), strength=st.sampled_from([0.1, 3.0, 30.0]))
def test_values_follow_anatomical_order_always(seed, count, strength):
    rng = np.random.default_rng(seed)
    evidence = rng.normal(0.0, strength, (count, 25))
    gaps = rng.uniform(0.0, 80.0, count - 1) if seed % 2 else None
    found = assign_levels(evidence, gaps)
    for numbering in (found.values, *found.alternatives):
        rungs = [STATES.index(value) for value in numbering if value]
        assert len(numbering) == count
        assert rungs == sorted(set(rungs))
        assert rungs
    assert all(0.0 <= chance <= 1.0 for chance in found.confidence)
    assert found.values not in found.alternatives


def simulated(rng, error, correlation, width):
    """Draw a spine, a crop of it, and what a network says of it.

    Variants, missed and spurious detections are as frequent as the settings say, gaps vary by 12 %. The network takes
    each vertebra for one that is `error` levels off (standard deviation), neighbours being wrong together, and believes
    its error to be `width`.
    """
    known = LevelSettings()
    chances = {T13: known.t13, L6: known.l6, T12: known.no_t12, L5: known.no_l5}
    drawn = {value for value, chance in chances.items() if rng.random() < chance}
    drawn -= {value for variant, value in SHOWN_AS.items() if variant in drawn}
    spine = ladder(drawn & {T13, L6}, drawn & {T12, L5})
    count = int(rng.integers(3, 13))
    top = int(rng.integers(0, len(spine) - count + 1))
    crop = spine[top : top + count]
    heights = np.concatenate([[0.0], np.cumsum(spacing(crop) * np.exp(rng.normal(0.0, 0.12, count - 1)))])
    truth, where, looks = [], [], []
    for index, value in enumerate(crop):
        if index in (0, count - 1) or rng.random() > known.missed:
            truth, where, looks = [*truth, value], [*where, heights[index]], [*looks, column(value)]
        if index < count - 1 and rng.random() < known.spurious:
            truth, looks = [*truth, 0], [*looks, column(value) + 0.5]
            where = [*where, (heights[index] + heights[index + 1]) / 2]
    errors = rng.normal(0.0, error, len(truth))
    for index in range(1, len(truth)):
        errors[index] = correlation * errors[index - 1] + np.sqrt(1 - correlation**2) * errors[index]
    off = np.arange(25) - (np.array(looks) + errors)[:, None]
    return -0.5 * (off / width) ** 2, np.diff(where), tuple(truth)


def mean_confidence_and_accuracy(known, *noise, runs=400):
    rng = np.random.default_rng(7)
    chances, right = [], []
    for _ in range(runs):
        evidence, gaps, truth = simulated(rng, *noise)
        found = assign_levels(evidence, gaps, settings=known)
        chances.extend(found.confidence)
        right.extend(ours == true for ours, true in zip(found.values, truth, strict=True))
    return np.mean(chances), np.mean(right)


@pytest.mark.parametrize("noise", [(0.7, 0.6, 0.7), (1.0, 0.7, 1.0)])
def test_confidence_is_about_the_chance_of_being_right(noise):
    confidence, accuracy = mean_confidence_and_accuracy(LevelSettings(), *noise)
    assert confidence == pytest.approx(accuracy, abs=0.1)


def test_untempered_evidence_would_be_too_sure_of_itself():
    confidence, accuracy = mean_confidence_and_accuracy(
        LevelSettings(temperature=1.0, floor=1e-6), 1.0, 0.7, 1.0, runs=100
    )
    assert confidence > accuracy + 0.15


@pytest.mark.parametrize(
    ("values", "index", "value", "expected"),
    [
        ((T11, T12, L1, L2), 0, T12, (T12, L1, L2, L3)),
        ((T11, T12, L1, L2), 3, L1, (T10, T11, T12, L1)),
        ((L4,), 0, 3, (3,)),
        # T13 and L6 stay below T12 and L5 as long as these are in the chain.
        ((T11, T12, T13, L1, L2), 4, L3, (T12, T13, L1, L2, L3)),
        ((T12, T13, L1), 2, L3, (L1, L2, L3)),
        ((T11, T12, T13, L1, L2), 4, L1, (T10, T11, T12, T13, L1)),
        ((L3, L4, L5, L6), 0, L2, (L2, L3, L4, L5)),
        # The user denies a variant by giving it another name, or brings one in.
        ((T11, T12, T13, L1, L2), 2, L1, (T11, T12, L1, L2, L3)),
        ((T13, L1, L2), 0, T12, (T12, L1, L2)),
        ((T11, T12, L1, L2), 2, T13, (T11, T12, T13, L1)),
        ((L3, L4, L5, SACRUM), 2, L6, (L4, L5, L6, SACRUM)),
        # Without T12.
        ((T10, T11, L1, L2), 3, L3, (T11, L1, L2, L3)),
        ((T10, T11, L1, L2), 1, T12, (T11, T12, L1, L2)),
        # The sacrum keeps its name unless it is what the user renames.
        ((L3, L4, SACRUM), 1, L5, (L4, L5, SACRUM)),
        ((L4, L5, SACRUM), 0, L3, (L3, L4, SACRUM)),
        ((L3, L4, SACRUM), 2, L5, (L2, L3, L5)),
        ((L3, L4, L5), 2, SACRUM, (L4, L5, SACRUM)),
        # Skipped levels and what is no vertebra.
        ((L1, L3, L4), 0, T12, (T12, L2, L3)),
        ((L1, 0, L2), 0, L2, (L2, 0, L3)),
        ((L1, 0, L2), 1, L2, (L1, L2, L3)),
        ((L1, 0, L3), 1, L2, (L1, L2, L3)),
        ((0, L1), 0, T12, (T12, L1)),
        ((0,), 0, L5, (L5,)),
    ],
)
def test_one_name_moves_the_others_along_the_anatomy(values, index, value, expected):
    assert renumber(values, index, value) == expected


@pytest.mark.parametrize(
    ("values", "index", "value", "message"),
    [
        ((1, 2, 3), 2, 2, "If C3 becomes C2, what is now C1 would lie above C1 and have no name"),
        ((L3, L4, L5), 0, L5, "what is now L5 would lie below"),
        ((L4, L5, SACRUM), 0, L5, "what is now L5 would lie below"),
        ((L4, L5, SACRUM), 1, SACRUM, "what is now sacrum would lie below"),
        ((L4, L5), 0, 0, "'no vertebra'"),
        ((L4, L5), 0, 27, "'coccyx'"),
        ((L4, L5), 0, 999, "No structure has the label value 999"),
        ((L4, L5), 2, L5, "2 vertebrae and no number 2"),
    ],
)
def test_a_name_that_would_leave_another_without_one_is_refused(values, index, value, message):
    with pytest.raises(LabelError, match=re.escape(message)):
        renumber(values, index, value)


@examples(max_examples=100, deadline=None, derandomize=True)
@given(rungs=st.sets(st.sampled_from(range(len(STATES))), min_size=1, max_size=12), data=st.data())
def test_renumbering_keeps_the_order_and_the_given_name(rungs, data):
    values = tuple(STATES[rung] for rung in sorted(rungs))
    index = data.draw(st.integers(0, len(values) - 1))
    value = data.draw(st.sampled_from(STATES))
    try:
        found = renumber(values, index, value)
    except LabelError:
        return
    places = [STATES.index(one) for one in found]
    assert found[index] == value
    assert places == sorted(set(places))
    assert renumber(values, index, values[index]) == values
