"""A mean and how sure one can be of it, with subjects as what was drawn at random."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from SAMSpineLib.evaluation.metrics import json_number

CONFIDENCE = 0.95
RESAMPLES = 9999


@dataclass(frozen=True)
class Interval:
    """A mean over `subjects`, and the ends of its 95 % confidence interval; NaN where there are too few."""

    mean: float
    low: float
    high: float
    subjects: int

    def to_json(self) -> dict[str, float | int | None]:
        """Return the fields in plain JSON types; NaN is None."""
        ends = {"mean": self.mean, "low": self.low, "high": self.high}
        return {**{name: json_number(value) for name, value in ends.items()}, "subjects": self.subjects}


def interval_over_subjects(values: Iterable[tuple[str, float]], seed: int = 0) -> Interval:
    """Return the mean of values, each subject counting once, with its confidence interval.

    Values of one subject are averaged first: two scans of one patient are no two patients. The interval is the
    percentile bootstrap over subjects (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13).

    Args:
        values: pairs of subject and value, in any order; what is not finite is left out.
        seed: of the resampling; the same seed gives the same interval.

    Returns:
        Of one subject the mean alone; without any nothing but NaN.
    """
    by_subject: dict[str, list[float]] = {}
    for subject, value in values:
        if math.isfinite(value):
            by_subject.setdefault(subject, []).append(value)
    means = np.array([np.mean(by_subject[subject]) for subject in sorted(by_subject)])
    if not means.size:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(means.mean())
    if means.size == 1:
        return Interval(mean, math.nan, math.nan, 1)
    found = stats.bootstrap(
        (means,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, batch=1000, method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(mean, float(found.low), float(found.high), int(means.size))
