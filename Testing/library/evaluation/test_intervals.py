"""Confidence over subjects: what is known by hand, and what textbooks say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from SAMSpineLib.evaluation.intervals import interval_over_subjects


def test_each_subject_counts_once_however_many_scans_it_has():
    scans = [("a", 0.0), ("a", 0.2), ("a", 0.4), ("b", 0.8)]
    found = interval_over_subjects(scans)
    assert found.mean == pytest.approx((0.2 + 0.8) / 2)
    assert found.subjects == 2


def test_more_scans_of_the_same_subjects_do_not_make_it_surer():
    few = [(str(n), n / 8) for n in range(8)]
    many = [one for one in few for _ in range(20)]
    assert interval_over_subjects(few) == interval_over_subjects(many)


def test_the_interval_of_many_normal_values_is_the_textbooks():
    values = np.random.default_rng(1).normal(0.8, 0.05, 60)
    found = interval_over_subjects((str(n), float(value)) for n, value in enumerate(values))
    half = 1.96 * values.std() / math.sqrt(60)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
    assert (found.high + found.low) / 2 == pytest.approx(values.mean(), abs=half / 20)


def test_subjects_that_are_all_alike_leave_no_doubt():
    found = interval_over_subjects([(name, 0.5) for name in "abcd"])
    assert (found.low, found.mean, found.high) == (0.5, 0.5, 0.5)


def test_one_subject_has_a_mean_and_no_interval_and_none_has_nothing():
    one = interval_over_subjects([("a", 0.3)])
    assert (one.mean, one.subjects) == (0.3, 1)
    assert math.isnan(one.low)
    none = interval_over_subjects([("a", math.nan), ("b", math.inf)])
    assert none.subjects == 0
    assert none.to_json() == {"mean": None, "low": None, "high": None, "subjects": 0}


def test_the_order_of_the_values_makes_no_difference_and_the_seed_does():
    values = [(str(n), n % 7 / 7) for n in range(15)]
    assert interval_over_subjects(values, 3) == interval_over_subjects(values[::-1], 3)
    assert interval_over_subjects(values, 3).low != interval_over_subjects(values, 4).low
