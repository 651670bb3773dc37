"""A label map of a whole volume, made by an engine in another process as in this one."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.errors import ModelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.whole_map import WholeMap
from SAMSpineLib.prompts import Point

L3, L4 = (spine_labels().by_name(name) for name in ("L3", "L4"))


class Slabs:
    """Find L3 in the lower half of a volume's middle and L4 in the upper one."""

    structures = (L3, L4)

    def segment(self, volume, *, progress, names=None):
        assert names is None  # two levels are no chain that could be counted
        progress(0.5)
        labels = np.zeros(volume.shape, np.uint8)
        half = volume.shape[0] // 2
        labels[half:, 10:30, 10:30], labels[:half, 10:30, 10:30] = L3.value, L4.value
        return WholeMap(labels, {L3.value: 0.9, L4.value: 0.6})


@pytest.fixture
def served(serve, fake, oracle):
    networks = Networks(lambda _: fake(), lambda _: oracle(), build_segmenter=lambda _method, _device: Slabs())
    with serve(fake(), networks=networks) as engine:
        yield engine


def test_it_arrives_with_what_is_known_of_it_and_can_be_undone(there, ct):
    result = there.segment_spine(method="masksam")
    np.testing.assert_array_equal(there.result, Slabs().segment(ct, progress=lambda _: None).labels)
    assert {one.value: (one.quality, one.flags) for one in result.levels} == {
        L3.value: (0.9, ()), L4.value: (0.6, ("the mask may be poor",)),
    }  # fmt: skip
    there.undo()
    there.undo()
    assert not there.result.any()


def test_a_click_goes_on_and_a_lost_engine_makes_it_all_again(there, lose_engine):
    there.segment_spine(method="masksam")
    there.select(L3)
    k, j, i = there.volume.shape[0] // 2 + 4, 20, 20
    there.add(Point(tuple(there.volume.grid.to_ras([i, j, k]).tolist()), positive=False))
    assert there.result[k, j, i] == 0
    lose_engine()


def test_where_there_is_no_such_network_it_says_so(serve, fake, ct):
    with serve(fake()) as engine:
        session = engine.session()
        session.set_volume(ct)
        with pytest.raises(ModelError, match="no network for the method 'ma-sam'"):
            session.segment_spine(method="ma-sam")
