"""MaskSAM and MA-SAM make label maps; a session takes them as masks that can be undone and corrected."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.run import run_autonomous
from SAMSpineLib.errors import Cancelled
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.models.masksam.tracks import Track
from SAMSpineLib.models.whole_map import Tally, WholeMap
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

L2, L3, T12 = 21, 22, 19


class Knows:
    """A localiser, and networks of whole volumes, that know the answer; each L3 voxel is claimed to 0.9."""

    def __init__(self, spine, *, silent=False):
        self.spine, self.silent = spine, silent
        self.said, self.tracks = None, []
        self.structures = tuple(spine_labels().by_value(value) for value in LEVEL_VALUES)

    def localise(self, volume, *, progress=None):
        return self.spine.ideal

    def segment(self, method, ask):
        self.method = method
        return ask(self.network(method))

    def network(self, method):
        knows = self

        class Network:
            structures = knows.structures

            def segment(self, volume, *said, progress, names=None):
                knows.said, knows.names = said, names
                progress(0.5)
                labels = np.zeros_like(knows.spine.labels) if knows.silent else knows.spine.labels
                if knows.tracks:
                    values = np.unique(labels)
                    labels = np.array([0, *names(knows.tracks)], labels.dtype)[np.searchsorted(values, labels)]
                return WholeMap(labels, dict.fromkeys((int(value) for value in np.unique(labels) if value), 0.9))

        return Network()


@pytest.fixture
def session(open_session, fake, low_back):
    return open_session(fake(patch=48), volume=Volume(np.zeros(low_back.grid.shape, np.int16), low_back.grid))


def test_masksam_names_and_segments_without_a_localiser(session, low_back):
    told = []
    result = run_autonomous(session, Knows(low_back), "masksam", progress=lambda *said: told.append(said))
    np.testing.assert_array_equal(result.labels, low_back.labels)
    assert [one.value for one in result.levels] == sorted({int(value) for value in np.unique(low_back.labels)} - {0})
    assert {one.quality for one in result.levels} == {0.9}
    assert result.message == ""
    for one in result.levels:
        assert np.linalg.norm(np.array(one.centre) - low_back.centres.get(one.value, one.centre)) < 15
    assert told == [("segment", 0.0), ("segment", 0.5)]


def test_masksam_s_chain_is_numbered_as_a_whole_and_other_numberings_are_offered(session, low_back):
    eyes = Knows(low_back)
    values = sorted({int(value) for value in np.unique(low_back.labels)} - {0})
    unsure = np.full(len(LEVEL_VALUES), 1 / len(LEVEL_VALUES))
    eyes.tracks = [Track(np.array([0.0, 0.0, -30.0 * place]), 40e3, unsure) for place in range(len(values))]
    result = run_autonomous(session, eyes, "masksam")
    found = [one.value for one in result.levels]
    assert found == list(range(found[0], found[0] + len(values)))
    assert result.ambiguous
    assert result.numberings[0].values == tuple(found)
    assert len(result.numberings) > 1
    assert "ambiguous" in result.message


def test_a_masksam_of_other_structures_names_them_itself(session, low_back):
    eyes = Knows(low_back)
    eyes.structures = eyes.structures[:3]
    assert run_autonomous(session, eyes, "masksam").levels
    assert eyes.names is None


def test_its_masks_are_steps_to_undo_and_a_click_corrects_them(session, low_back):
    run_autonomous(session, Knows(low_back), "masksam")
    before = session.result.copy()
    session.select(spine_labels().by_value(L3))
    x, y, z = low_back.centres[L3]
    session.add(Point((x, y, z), positive=False))
    assert session.result[low_back.grid.voxel_at((x, y, z))] == 0
    np.testing.assert_array_equal(session.result == L2, before == L2)
    session.undo()
    np.testing.assert_array_equal(session.result, before)
    run_autonomous(session, Knows(low_back), "masksam")  # once more, over what is there
    np.testing.assert_array_equal(session.result, before)
    while not session.undo().is_empty:
        pass
    assert not session.result.any()


def test_ma_sam_is_told_what_atlases_say_and_finds_nothing_elsewhere(session, low_back):
    eyes = Knows(low_back)
    only = np.where(low_back.labels == L3, low_back.labels, 0).astype(np.uint8)
    atlas = Atlas("neighbour", only, low_back.grid)
    result = run_autonomous(session, eyes, "ma-sam", atlases=lambda: [atlas])
    (said,) = eyes.said
    shares = said.prompt(
        low_back.grid.crop((0, low_back.grid.shape[2] - 1, 0, low_back.grid.shape[1] - 1, 40, 40)), [L3], 0
    )
    assert shares.shape[0] == 2
    assert eyes.method == "ma-sam"
    assert set(said.levels) == {one.value for one in result.levels}
    np.testing.assert_array_equal(result.labels == L3, low_back.labels == L3)
    assert list(result.seconds) == ["localise", "register", "segment"]
    assert result.fits


@pytest.mark.parametrize("method", ["masksam", "ma-sam"])
def test_what_is_cancelled_changes_nothing(method, session, low_back):
    calls = []

    def cancelled():
        calls.append(1)
        return len(calls) > (1 if method == "masksam" else 1000)

    def stop(stage, share):
        if stage == "segment" and share > 0.3 and method == "ma-sam":
            raise Cancelled(stage)

    result = run_autonomous(session, Knows(low_back), method, progress=stop, cancelled=cancelled)
    assert result.levels == ()
    assert not session.result.any()
    assert result.message


def test_an_image_in_which_it_sees_nothing_says_so(session, low_back):
    result = run_autonomous(session, Knows(low_back, silent=True), "masksam")
    assert (result.levels, result.message) == ((), "no vertebra found")


def test_the_dice_to_expect_is_what_comes_out_on_average_where_scores_are_chances():
    rng = np.random.default_rng(3)
    score = rng.uniform(0, 1, (200, 200)) ** 2
    named = np.where(score > 0.5, L3, 0).astype(np.uint8)
    tally = Tally()
    for part in np.array_split(np.arange(200), 3):
        tally.add(named[part], [(L3, score[part]), (0, 1 - score[part])])
    truths = rng.uniform(0, 1, (200, *score.shape)) < score
    dice = [2 * (truth & (named > 0)).sum() / (truth.sum() + (named > 0).sum()) for truth in truths]
    assert tally.expected()[L3] == pytest.approx(np.mean(dice), abs=0.01)
    assert list(tally.expected()) == [L3]
