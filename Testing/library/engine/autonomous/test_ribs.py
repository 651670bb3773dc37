"""Which vertebrae bear ribs, seen by a localiser that knows the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SAMSpineLib.engine.autonomous.instances import find_instances
from SAMSpineLib.engine.autonomous.ribs import RibSettings, rib_evidence, rib_volumes
from SAMSpineLib.engine.autonomous.survey import survey
from SAMSpineLib.volume import Volume

T1, T12 = 8, 19


def named(found, spine):
    """Return the true label value of each instance, 26 for the sacrum."""
    centres = spine.centres
    return [
        26 if one.is_sacrum else min(centres, key=lambda v: np.linalg.norm(centres[v] - one.centre))
        for one in found.instances
    ]


def test_thoracic_vertebrae_bear_ribs_and_the_others_do_not(whole_spine):
    found = find_instances(whole_spine.ideal)
    odds = dict(zip(named(found, whole_spine), rib_evidence(whole_spine.ideal, found, whole_spine.grid), strict=True))
    assert all(odds[value] > 1 for value in range(T1, T12 + 1))
    assert all(odds[value] < -1 for value in odds if value < T1 - 1 or T12 + 1 < value < 26)
    assert odds[26] == 0


def test_ribs_are_found_on_their_own_side(whole_spine):
    """Right is R: the ribs of the left half are taken away."""
    i = np.arange(whole_spine.grid.shape[2])
    r = whole_spine.grid.to_ras(np.stack([i, 0 * i, 0 * i], axis=-1))[:, 0]
    middle = np.mean([centre[0] for centre in whole_spine.centres.values()])
    seen = replace(whole_spine.ideal, ribs=np.where(r > middle, whole_spine.ideal.ribs, 0).astype(np.float32))
    found = find_instances(seen)
    right, left = rib_volumes(seen, found, whole_spine.grid, RibSettings()).T
    thoracic = np.array([T1 <= value <= T12 for value in named(found, whole_spine)])
    assert (right[thoracic] > 0.3).all()
    assert (left[thoracic] == 0).all()


def test_what_the_image_does_not_show_says_nothing(whole_spine):
    """A narrow field of view ends beside the bodies; the maps may reach beyond it."""
    found = find_instances(whole_spine.ideal)
    centres = np.array([one.centre for one in found.instances if not one.is_sacrum])
    ijk = np.rint(whole_spine.grid.to_ijk(centres)).astype(int)
    low, high = ijk.min(axis=0) - 6, ijk.max(axis=0) + 6
    k, j, _ = whole_spine.grid.shape
    narrow = whole_spine.grid.crop((int(low[0]), int(high[0]), 0, j - 1, 0, k - 1))
    assert not rib_evidence(whole_spine.ideal, found, narrow).any()


def test_a_single_vertebra_has_no_line_and_so_no_evidence(low_back):
    found = find_instances(low_back.with_labels(np.where(low_back.labels == T12, low_back.labels, 0)).ideal)
    assert len(found.instances) == 1
    assert rib_evidence(low_back.ideal, found, low_back.grid).tolist() == [0.0]


class Silent:
    """A localiser that sees bone, centres and ribs and has no idea of levels."""

    def __init__(self, spine):
        self.spine = spine

    def localise(self, volume, *, progress=None):
        return replace(self.spine.ideal, levels=np.full_like(self.spine.ideal.levels, -np.log(25)))


@pytest.mark.parametrize("first", [12, 15])
def test_a_spine_is_numbered_by_its_last_rib_alone(make_spine, first):
    spine = make_spine(3, (first, 23))
    found = survey(Volume(np.zeros(spine.grid.shape, np.int16), spine.grid), Silent(spine))
    assert found.levels.values == tuple(range(first, 24))
