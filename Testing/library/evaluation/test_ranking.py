"""Which scan to label next: the doubts are known, so the order is."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.errors import GeometryError, PromptError, VolumeError
from SAMSpineLib.evaluation.ranking import Opinion, entropy_bits, rank, rank_scans
from SAMSpineLib.volume import Grid, Volume

GRID = Grid((4, 6, 8), np.eye(4))


def _mask(*columns):
    mask = np.zeros(GRID.shape, bool)
    mask[:, :, list(columns)] = True
    return mask


SURE = np.array([0.0, 1.0, 1.0, 0.0])
SAME = (_mask(1, 2), _mask(1, 2), _mask(1, 2))


def test_the_entropy_of_a_coin_is_one_bit_and_of_what_is_certain_none():
    assert entropy_bits(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 1.0, 0.0]
    assert entropy_bits(np.array([0.25, 0.75])) == pytest.approx([0.811278, 0.811278])


def test_a_model_that_is_sure_and_always_says_the_same_gains_nothing():
    found = rank("a", Opinion(SURE, SAME))
    assert (found.gain, found.presence, found.disagreement) == (0.0, 0.0, 0.0)


def test_doubt_about_half_of_the_slices_is_half_a_bit():
    assert rank("a", Opinion(np.array([0.5, 1.0, 0.0, 0.5]), SAME)).presence == 0.5


def test_disagreement_is_one_minus_the_mean_dice_of_each_two_masks():
    masks = (_mask(1, 2), _mask(2, 3), _mask(5, 6))
    # The first two share half of their columns, the third none with either.
    assert rank("a", Opinion(SURE, masks)).disagreement == pytest.approx(1 - (0.5 + 0 + 0) / 3)


def test_empty_masks_agree_with_each_other_and_with_nothing_else():
    empty = _mask()
    assert rank("a", Opinion(SURE, (empty, empty))).disagreement == 0.0
    assert rank("a", Opinion(SURE, (empty, _mask(1)))).disagreement == 1.0


def test_neither_doubt_outweighs_the_other():
    tossed = rank("a", Opinion(np.full(4, 0.5), SAME))
    torn = rank("b", Opinion(SURE, (_mask(1), _mask(2))))
    assert tossed.gain == torn.gain == 1.0
    assert rank("c", Opinion(np.full(4, 0.5), (_mask(1), _mask(2)))).gain == 2.0


class Model:
    """Has an opinion of each scan by its name."""

    OPINIONS = {
        "sure": Opinion(SURE, SAME),
        "torn": Opinion(SURE, (_mask(1, 2), _mask(2, 3))),
        "lost": Opinion(np.full(4, 0.5), (_mask(1), _mask(2))),
        "also sure": Opinion(SURE, SAME),
    }

    def opinion(self, volume):
        return self.OPINIONS[volume.name]


def _scans(*names):
    return [Volume(np.zeros(GRID.shape, np.int16), GRID, name) for name in names]


def test_scans_come_with_the_most_doubtful_first_and_equal_ones_as_they_were():
    told = []
    ranks = rank_scans(Model(), _scans("sure", "torn", "also sure", "lost"), lambda *args: told.append(args))
    assert [one.name for one in ranks] == ["lost", "torn", "sure", "also sure"]
    assert ranks[1].to_json() == {"name": "torn", "gain": 0.5, "presence": 0.0, "disagreement": 0.5}
    assert told == [(1, 4, "sure"), (2, 4, "torn"), (3, 4, "also sure"), (4, 4, "lost")]


def test_scans_may_come_one_by_one():
    assert [one.name for one in rank_scans(Model(), iter(_scans("sure", "torn")))] == ["torn", "sure"]


@pytest.mark.parametrize("presence", [[], [1.2], [-0.1], [np.nan], [[0.5]]])
def test_presence_that_is_no_probability_is_refused(presence):
    with pytest.raises(PromptError, match="must be a probability"):
        rank("a", Opinion(np.array(presence), SAME))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(PromptError, match="at least two masks"):
        rank("a", Opinion(SURE, SAME[:1]))
    with pytest.raises(GeometryError):
        rank("a", Opinion(SURE, (SAME[0], np.ones((1, 2, 3), bool))))
    with pytest.raises(VolumeError, match="no scans"):
        rank_scans(Model(), [])
