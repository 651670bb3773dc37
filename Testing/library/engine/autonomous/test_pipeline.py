"""A whole spine without a click: what is found, named, flagged, reported, cancelled."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.pipeline import NOTHING_FOUND, segment_spine
from SAMSpineLib.engine.autonomous.prompters import AtlasPrompter, CentrePrompter, centre_prompts
from SAMSpineLib.engine.autonomous.review import flags_of
from SAMSpineLib.engine.autonomous.survey import survey
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.protocols import Prompter
from SAMSpineLib.prompts import MaskPrompt, Point
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Volume

L1, L3, SACRUM = 20, 22, 26


class Oracle:
    """A localiser that knows the answer, and tells its progress in quarters."""

    def __init__(self, localisation):
        self.localisation = localisation

    def localise(self, volume, *, progress=None):
        for share in (0.25, 0.5, 0.75, 1.0):
            if progress is not None:
                progress(share)
        return self.localisation


def _volume(spine):
    return Volume(np.zeros(spine.grid.shape, np.int16), spine.grid)


@pytest.fixture
def session(open_session, fake, low_back):
    return open_session(fake(patch=48), volume=_volume(low_back))


def _dice(a, b):
    return 2 * (a & b).sum() / max(a.sum() + b.sum(), 1)


def test_every_level_is_found_named_and_segmented(session, low_back):
    result = segment_spine(session, Oracle(low_back.ideal))
    assert [one.value for one in result.levels] == [17, 18, 19, 20, 21, 22, 23, 24, 26]
    assert not result.ambiguous
    assert result.message == ""
    for one in result.levels:
        assert one.voxels == (result.labels == one.value).sum()
        if one.value != SACRUM:
            assert _dice(result.labels == one.value, low_back.labels == one.value) > 0.7
            assert np.linalg.norm(np.array(one.centre) - low_back.centres[one.value]) < 6
    assert list(result.seconds) == ["localise", "segment"]


def test_the_result_is_the_sessions_own_and_a_click_corrects_it(session, low_back):
    result = segment_spine(session, Oracle(low_back.ideal))
    before = result.labels.copy()
    session.select(spine_labels().by_value(L3))
    x, y, z = low_back.centres[L3]
    session.add(Point((x, y, z), positive=False))
    assert (session.result == L3).sum() < (before == L3).sum()
    assert np.array_equal(session.result == L1, before == L1)
    for _ in range(1 + len(result.levels)):
        session.undo()
    assert not session.result.any()


def test_an_image_without_a_spine_gives_no_segment_and_says_so(session, low_back):
    seen = low_back.ideal
    empty = replace(seen, bone=0 * seen.bone, heat=0 * seen.heat, offsets=0 * seen.offsets)
    result = segment_spine(session, Oracle(empty))
    assert result.message == NOTHING_FOUND == "no vertebra found"
    assert result.levels == ()
    assert not result.labels.any()


def test_progress_grows_to_one_through_the_stages(session, low_back):
    told = []
    segment_spine(session, Oracle(low_back.ideal), progress=lambda stage, share: told.append((stage, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(1)
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["localise", "segment"]


@pytest.mark.parametrize(("after", "finished"), [(0, 0), (3, 0), (9, 4)])
def test_cancelling_ends_the_run_and_keeps_what_is_finished(session, low_back, after, finished):
    calls = []

    def cancelled():
        calls.append(1)
        return len(calls) > after

    result = segment_spine(session, Oracle(low_back.ideal), cancelled=cancelled)
    assert "kept" in result.message
    assert len(calls) == after + 1
    assert len(result.levels) == len(set(np.unique(result.labels)) - {0}) == finished


def test_a_corrected_level_renames_the_others_and_keeps_their_places(low_back):
    found = survey(_volume(low_back), Oracle(low_back.ideal))
    told = found.renumbered(0, 16)
    assert [one.value for one in told.found] == [16, 17, 18, 19, 20, 21, 22, 23, 26]
    assert [one.instance for one in told.found] == [one.instance for one in found.found]
    assert all(one.confidence == 1 for one in told.found)


def test_each_level_is_prompted_with_its_coarse_mask_and_a_click_inside(low_back):
    found = survey(_volume(low_back), Oracle(low_back.ideal))
    prompts = centre_prompts(found)
    assert isinstance(CentrePrompter(Oracle(low_back.ideal)), Prompter)
    for value, (mask, click) in prompts.items():
        assert isinstance(mask, MaskPrompt)
        assert isinstance(click, Point)
        assert mask.mask[mask.grid.voxel_at(click.ras)]
        assert low_back.labels[low_back.grid.voxel_at(click.ras)] == value
    assert CentrePrompter(Oracle(low_back.ideal)).prompt(_volume(low_back)).keys() == prompts.keys()


def test_what_the_localiser_sees_beyond_an_oblique_image_is_never_clicked(open_session, fake, low_back):
    """The image ends in the middle of a vertebra that the localiser's larger grid still covers."""
    _, j, i = low_back.grid.shape
    end = int(low_back.grid.to_ijk(low_back.centres[19])[2]) - 2
    view = low_back.grid.crop((0, i - 1, 0, j - 1, 0, end))
    volume = Volume(np.zeros(view.shape, np.int16), view)
    session = open_session(fake(patch=48), volume=volume)
    result = segment_spine(session, Oracle(low_back.ideal))
    assert {20, 21, 22, 23, 24} <= {one.value for one in result.levels}
    for _, click in centre_prompts(survey(volume, Oracle(low_back.ideal))).values():
        assert view.voxel_at(click.ras) is not None


def test_atlases_of_the_same_spine_give_masks_closer_to_the_truth_than_coarse_ones(low_back):
    """The coarse masks are spoiled; an atlas that is the truth itself must mend them."""
    rng = np.random.default_rng(1)
    bone = low_back.ideal.bone * (rng.random(low_back.ideal.bone.shape) > 0.25)
    oracle, volume = Oracle(replace(low_back.ideal, bone=bone.astype(np.float32))), _volume(low_back)
    atlas = Atlas("same", low_back.labels.astype(np.uint8), low_back.grid)
    fused = AtlasPrompter(oracle, [atlas]).prompt(volume)
    coarse = CentrePrompter(oracle).prompt(volume)
    better = 0
    for value in (21, 22, 23):
        scores = []
        for prompts in (coarse, fused):
            mask, truth = prompts[value][0], low_back.labels == value
            share = sample(np.asarray(mask.mask, np.float32), mask.grid, low_back.grid, fill=0.0)
            scores.append(_dice(share > 0.5, truth))
        better += scores[1] > scores[0]
    assert better == 3


def _found(value, *, score=0.9, cut=False, confidence=0.95):
    return SimpleNamespace(value=value, confidence=confidence, instance=SimpleNamespace(score=score, cut=cut))


def test_levels_are_flagged_for_a_reason_and_only_then():
    found = [_found(v) for v in (19, 20, 21, 22, 23)] + [_found(26)]
    voxels = {19: 800, 20: 900, 21: 950, 22: 1000, 23: 1050, 26: 4000}
    assert not any(flags_of(found, voxels, lambda value: 0.9).values())
    assert flags_of(found, {**voxels, 21: 400}, lambda value: 0.9)[21] == ("its size does not fit its neighbours'",)
    assert flags_of(found, {**voxels, 21: 0}, lambda value: 0.9)[21] == ("nothing is marked",)
    assert flags_of(found, voxels, lambda value: 0.5 if value == 22 else 0.9)[22] == ("the mask may be poor",)
    found[1], found[2], found[3] = _found(20, score=0.2), _found(21, cut=True), _found(22, confidence=0.5)
    flags = flags_of(found, voxels, lambda value: 0.9)
    assert flags[20] == ("it was barely seen",)
    assert flags[21] == ("the image's border cuts it",)
    assert flags[22] == ("the name is unsure",)
