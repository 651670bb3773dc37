"""Who the subjects are: straight and scoliotic, healthy and ill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SAMSpineLib.training.synthetic.anatomy import Subject, draw_subject
from SAMSpineLib.training.synthetic.morphometry import name_of
from SAMSpineLib.training.synthetic.settings import PhantomSettings


@pytest.fixture(scope="module")
def crowd() -> list[Subject]:
    ill = PhantomSettings(pathology=1.0, metal=0.3)
    return [draw_subject(np.random.default_rng(seed), ill) for seed in range(150)]


def leaning(subject: Subject) -> float:
    """Return the largest angle (degrees) between two bodies seen from the front: Cobb's, without looking for ends."""
    up = np.array([pose.axes[:, 2] for pose in subject.poses])
    lean = np.degrees(np.arctan2(up[:, 0], up[:, 2]))
    return float(lean.max() - lean.min())


def test_every_kind_of_disease_occurs_and_is_named_with_its_level(crowd: list[Subject]) -> None:
    told = "; ".join(text for subject in crowd for text in subject.pathologies)
    kinds = ("wedge fracture", "biconcave fracture", "crush fracture", "cement", "sclerosis", "lysis", "disc worn")
    assert [kind for kind in (*kinds, "pedicle screws", "osteoporosis") if kind not in told] == []


def test_a_crushed_vertebra_is_lower_than_its_neighbours(crowd: list[Subject]) -> None:
    ratios = []
    for subject in crowd:
        for above, v, below in zip(subject.levels, subject.levels[1:], subject.levels[2:], strict=False):
            if f"{name_of(v.label)} crush fracture" in subject.pathologies:
                ratios.append(2 * v.height / (above.height + below.height))
    assert len(ratios) > 5
    assert np.median(ratios) < 0.8


def test_spines_range_from_straight_to_scoliotic(crowd: list[Subject]) -> None:
    angles = [leaning(subject) for subject in crowd]
    assert min(angles) < 8
    assert max(angles) > 25
    assert np.median(angles) < 20, "most people have no scoliosis"


def test_bone_ranges_from_osteoporotic_to_dense(crowd: list[Subject]) -> None:
    densities = [subject.trabecular for subject in crowd]
    assert min(densities) < 50
    assert max(densities) > 250
    assert all(("osteoporosis" in one.pathologies) == (one.trabecular < 80) for one in crowd)


def test_a_clean_subject_is_healthy_straight_and_the_same_each_time() -> None:
    clean = replace(PhantomSettings.small(), pathology=1.0, metal=1.0)
    first, second = (draw_subject(np.random.default_rng(seed), clean) for seed in (1, 2))
    assert first.pathologies == ()
    assert leaning(first) == pytest.approx(0)
    assert first.trabecular == second.trabecular
