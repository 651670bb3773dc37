"""What MaskSAM sees is numbered as a chain: neighbours decide what one look leaves open."""

from __future__ import annotations

import numpy as np

from SAMSpineLib.engine.autonomous.track_names import ChainNames, fits
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.models.masksam.tracks import Track

SACRUM = 26


def track(height: float, likely: dict[int, float], *, size: float = 40e3) -> Track:
    """Return a track at a height (mm), with the chances of some levels and the rest shared by all."""
    chances = np.full(len(LEVEL_VALUES), (1 - sum(likely.values())) / len(LEVEL_VALUES))
    for value, chance in likely.items():
        chances[LEVEL_VALUES.index(value)] += chance
    return Track(np.array([0.0, 0.0, height]), size, chances)


def spine(values: list[int], chance: float = 0.6) -> list[Track]:
    return [track(-30.0 * place, {value: chance}) for place, value in enumerate(values)]


def test_one_that_was_mistaken_for_its_neighbour_is_put_right_by_the_others():
    seen = spine([18, 19, 20, 21, 22, 23])
    seen[2] = track(-60.0, {21: 0.6})
    chain = ChainNames()
    assert chain(seen) == [18, 19, 20, 21, 22, 23]
    assert chain.assigned.values == (18, 19, 20, 21, 22, 23)
    assert not chain.assigned.ambiguous


def test_a_splinter_is_nothing_and_is_not_counted():
    seen = [*spine([20, 21]), track(-45.0, {21: 0.5}, size=2e3), *spine([20, 21, 22, 23])[2:]]
    assert ChainNames()(seen) == [20, 21, 0, 22, 23]


def test_pieces_of_the_sacrum_are_the_sacrum_and_below_it_is_nothing_else():
    seen = [*spine([22, 23, 24]), track(-95, {SACRUM: 0.8}), track(-120, {SACRUM: 0.7}), track(-150, {24: 0.5})]
    assert ChainNames()(seen) == [22, 23, 24, SACRUM, SACRUM, 0]


def test_nothing_seen_is_an_empty_chain():
    chain = ChainNames()
    assert chain([]) == []
    assert chain.assigned.values == ()


def test_where_nothing_tells_levels_apart_other_numberings_are_offered():
    chain = ChainNames()
    names = chain(spine([14, 15, 16], chance=0.02))
    assert names == list(range(names[0], names[0] + 3))
    assert chain.assigned.ambiguous
    assert chain.assigned.alternatives


def test_only_the_levels_of_the_spine_can_be_counted():
    levels = tuple(spine_labels().by_value(value) for value in LEVEL_VALUES)
    assert fits(levels)
    assert not fits(levels[:-1])
