"""Prompts become masks, and nothing that was not asked for changes."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import LabelError, PromptError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.protocols import Promptable
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Scribble
from SAMSpineLib.volume import Grid, Volume, slices_of

L3, L4, L5 = (spine_labels().by_name(name) for name in ("L3", "L4", "L5"))
SACRUM = spine_labels().by_name("sacrum")
MIDDLE = Point((0.0, 0.0, 0.0))


def at(session, point):
    return session.result[session.volume.grid.voxel_at(point.ras)]


def test_the_fake_is_a_promptable(fake):
    assert isinstance(fake(), Promptable)


def test_one_click_gives_the_structure_under_it(open_session, fake, shapes, voxel_places, ct):
    shape = shapes["ellipsoid"]((3.0, 2.0, 1.0), (12.0, 9.0, 7.0))
    session = open_session(fake([shape]))
    session.select(L3)
    session.add(Point((3.0, 2.0, 1.0)))
    truth, found = shape(voxel_places(ct.grid)) < 0, session.mask(L3.value) > 0
    assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.97
    assert session.quality(L3.value) == pytest.approx(0.9)
    assert session.quality(L4.value) is None


def test_the_update_holds_all_that_changed_and_little_more(open_session, ct):
    session = open_session()
    session.select(L3)
    before = session.result.copy()
    update = session.add(MIDDLE)
    changed = np.argwhere(session.result != before)[:, ::-1]
    i0, i1, j0, j1, k0, k1 = update.extent
    assert (changed >= (i0, j0, k0)).all()
    assert (changed <= (i1, j1, k1)).all()
    assert update.mask.shape == (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    assert update.mask.dtype == np.uint8
    assert update.label == L3.value
    assert np.array_equal(update.mask, session.result[slices_of(update.extent)] == L3.value)
    assert update.mask.size <= 24**3 < ct.array.size
    assert len(update.visited) == 1


def test_a_clicked_voxel_is_inside_and_a_voxel_clicked_away_is_not(open_session):
    session = open_session()
    session.select(L3)
    rng = np.random.default_rng(1)
    for number in range(12):
        point = Point(tuple(rng.uniform(-30, 30, 3)), positive=number % 3 != 1)
        session.add(point)
        assert (at(session, point) == L3.value) == point.positive, number


def test_a_click_that_the_network_ignores_still_marks_its_voxel(open_session, fake, shapes):
    session = open_session(fake([shapes["ball"]((20.0, 0.0, 0.0), 6.0)]))
    session.select(L3)
    update = session.add(Point((-10.0, 0.0, 0.0)))
    assert at(session, Point((-10.0, 0.0, 0.0))) == L3.value
    assert session.mask(L3.value).sum() == update.mask.sum() == 1


def test_a_leak_leaves_the_neighbour_its_voxels(open_session, fake, shapes):
    """A click on L5 whose answer runs into L4 must not take a voxel from L4, nor must its correction."""
    model = fake([shapes["ball"]((0.0, 0.0, 8.0), 12.0), shapes["ball"]((0.0, 0.0, -8.0), 12.0)])
    session = open_session(model)
    session.select(L4)
    session.add(Point((0.0, 0.0, 14.0)))
    before = session.mask(L4.value)
    session.select(L5)
    update = session.add(Point((0.0, 0.0, -14.0)))
    assert update.overwritten == ()
    assert update.mask.any()
    session.add(Point((0.0, 0.0, 5.0), positive=False))
    session.add(Point((0.0, 6.0, -8.0)))
    session.remove(Point((0.0, 6.0, -8.0)))
    session.clear()
    assert np.array_equal(session.mask(L4.value), before)


def test_overwriting_takes_voxels_and_names_who_lost_them(open_session, fake, shapes):
    model = fake([shapes["ball"]((0.0, 0.0, z), 12.0) for z in (8.0, -8.0)])
    session = open_session(model)
    session.select(L4)
    session.add(Point((0.0, 0.0, 14.0)))
    before = session.mask(L4.value)
    session.select(L5, overwrite=True)
    update = session.add(Point((0.0, 0.0, -14.0)))
    assert update.overwritten == (L4.value,)
    lost = (before > 0) & (session.mask(L4.value) == 0)
    assert lost.any()
    assert (session.result[lost] == L5.value).all()
    assert session.add(Point((0.0, 0.0, -16.0))).overwritten == ()


def test_the_volume_is_read_and_never_written(open_session, ct):
    before = ct.array.copy()
    session = open_session()
    for label in (L3, L4, SACRUM):
        session.select(label, overwrite=True)
        session.add(Point((4.0, 3.0, 2.0)))
        session.add(Point((9.0, 3.0, 2.0), positive=False))
    session.undo()
    session.clear()
    assert np.array_equal(ct.array, before)
    assert session.volume.array is ct.array


def test_the_result_is_a_view_that_nobody_can_write_to(open_session):
    session = open_session()
    with pytest.raises(ValueError, match="read-only"):
        session.result[0, 0, 0] = 1


def test_the_earlier_result_that_was_given_stays_as_it_was(open_session, ct):
    earlier = np.zeros(ct.shape, np.uint8)
    earlier[10:30, 10:30, 10:30] = L3.value
    kept = earlier.copy()
    session = open_session(labels=earlier)
    session.select(L3, overwrite=True)
    session.add(Point((4.0, 3.0, 2.0), positive=False))
    session.clear()
    assert np.array_equal(earlier, kept)


def test_a_slice_alone_is_segmented(open_session):
    matrix = np.diag([1.0, 1.0, 3.0, 1.0])
    volume = Volume.from_array(np.zeros((1, 60, 60), np.int16), matrix)
    session = open_session(volume=volume)
    session.select(L3)
    session.add(Point((30.0, 30.0, 0.5)))
    area = session.mask(L3.value).sum()
    assert area == pytest.approx(np.pi * 9.0**2, rel=0.12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_thinner_than_a_voxel_of_the_network_is_segmented(open_session, axis):
    shape = [50, 50, 50]
    shape[axis] = 1
    volume = Volume.from_array(np.zeros(shape, np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    session = open_session(volume=volume)
    session.select(L3)
    place = [25.0, 25.0, 25.0]
    place[2 - axis] = 0.0
    session.add(Point(tuple(place)))
    assert session.mask(L3.value).sum() == pytest.approx(np.pi * 9.0**2, rel=0.12)


OUTSIDE = (200.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "prompt",
    [
        Point(OUTSIDE),
        Point(OUTSIDE, positive=False),
        Box((190.0, -5.0, -5.0), (210.0, 5.0, 5.0)),
        Scribble(((195.0, 0.0, 0.0), (205.0, 0.0, 0.0))),
        Lasso(((194.0, 0.0, 0.0), (206.0, 0.0, 0.0), (200.0, 9.0, 0.0))),
        MaskPrompt(np.ones((3, 3, 3), bool), Grid.centred_on(OUTSIDE, shape=(3, 3, 3), spacing=1.0)),
    ],
    ids=lambda prompt: type(prompt).__name__,
)
def test_a_prompt_outside_the_volume_is_refused_with_its_place_and_the_volumes_bounds(open_session, prompt):
    session = open_session()
    session.select(L3)
    session.add(MIDDLE)
    before = session.result.copy()
    with pytest.raises(PromptError) as error:
        session.add(prompt)
    for part in ("200.0", "-48.0", "46.0", "-40.0", "38.0", "mm"):
        assert part in str(error.value)
    assert np.array_equal(session.result, before)
    assert session.prompts == (MIDDLE,)


@pytest.mark.parametrize(
    "prompt",
    [
        Box((-8.0, -8.0, -8.0), (8.0, 8.0, 8.0)),
        Scribble(((-6.0, 0.0, 0.0), (6.0, 0.0, 0.0))),
        Lasso(((-6.0, 0.0, 0.0), (6.0, 0.0, 0.0), (0.0, 9.0, 0.0))),
    ],
    ids=lambda prompt: type(prompt).__name__,
)
def test_every_kind_of_prompt_reaches_the_network(open_session, fake, prompt):
    session = open_session(model := fake())
    session.select(L3)
    session.add(prompt)
    assert model.decoded[0]["prompts"] == (prompt,)


def test_a_mask_prompt_gives_its_mask_even_in_pieces(open_session):
    mask = np.zeros((20, 20, 20), np.float32)
    mask[2:6, 5:15, 5:15] = mask[12:16, 5:15, 5:15] = 1.0
    session = open_session()
    session.select(L3)
    session.add(MaskPrompt(mask, Grid.centred_on((0.0, 0.0, 0.0), shape=mask.shape, spacing=2.0)))
    assert session.mask(L3.value).sum() == pytest.approx(mask.sum(), rel=0.02)


def test_a_mask_after_a_click_starts_anew_and_the_next_click_goes_on_from_the_answer(open_session, fake):
    session = open_session(model := fake())
    session.select(L3)
    session.add(MIDDLE)
    session.add(MaskPrompt(np.ones((5, 5, 5), bool), Grid.centred_on(MIDDLE.ras, shape=(5, 5, 5), spacing=2.0)))
    assert model.decoded[-1]["previous"] is None
    answer = session._state.answers[0].probability
    session.add(Point((6.0, 0.0, 0.0)))
    assert model.decoded[-1]["previous"] is answer


def test_whole_structures_ask_for_the_chain_and_levels_do_not(open_session, fake):
    session = open_session(model := fake())
    for name in ("L3", "spine"):
        session.select(spine_labels().by_name(name))
        session.add(MIDDLE)
    assert [call["chain"] for call in model.decoded] == [False, True]


def test_the_same_clicks_give_the_same_mask(open_session):
    def run():
        session = open_session()
        for label in (L3, L4):
            session.select(label)
            for x in (0.0, 7.0, 19.0):
                session.add(Point((x, float(label.value - 20), 1.0), positive=x != 7.0))
        return session.result

    assert np.array_equal(run(), run())


def test_clear_takes_the_prompts_and_voxels_of_one_label_only(open_session):
    session = open_session()
    session.select(L4)
    session.add(Point((0.0, 0.0, 20.0)))
    before = session.result.copy()
    session.select(L3)
    session.add(Point((0.0, 0.0, -10.0)))
    update = session.clear()
    assert not update.mask.any()
    assert "empty" in update.message
    assert session.prompts == ()
    assert np.array_equal(session.result, before)


def test_another_volume_starts_from_nothing(open_session, ct):
    session = open_session()
    session.select(L3)
    session.add(MIDDLE)
    other = Volume.from_array(np.zeros((30, 31, 32), np.int16), ct.ijk_to_ras)
    session.set_volume(other)
    assert session.result.shape == other.shape
    assert not session.result.any()
    assert session.prompts == ()
    assert session.undo().is_empty


def test_what_is_missing_is_said(ct, fake):
    session = Session(fake())
    with pytest.raises(PromptError, match="set_volume"):
        session.add(MIDDLE)
    session.set_volume(ct)
    with pytest.raises(LabelError, match="select"):
        session.add(MIDDLE)
    session.select(L3)
    with pytest.raises(PromptError, match="L3 has no such prompt"):
        session.remove(MIDDLE)
    with pytest.raises(LabelError, match=r"\(3, 3, 3\)"):
        session.set_volume(ct, np.zeros((3, 3, 3), np.uint8))


def test_the_second_click_in_a_known_patch_encodes_nothing(open_session, fake):
    session = open_session(model := fake())
    session.select(L3)
    session.add(MIDDLE)
    assert len(model.encoded) == session.cache.encoded_count == 1
    session.add(Point((6.0, 0.0, 0.0), positive=False))
    session.add(Point((0.0, 6.0, 0.0)))
    session.remove(Point((0.0, 6.0, 0.0)))
    session.select(L4)
    session.add(MIDDLE)
    assert len(model.encoded) == 1
    assert len(model.decoded) >= 5


def test_a_repeated_click_starts_from_the_last_answer(open_session, fake):
    session = open_session(model := fake())
    session.select(L3)
    session.add(MIDDLE)
    session.add(Point((6.0, 0.0, 0.0), positive=False))
    assert model.decoded[0]["previous"] is None
    assert model.decoded[1]["previous"].max() > 0.9
    assert model.decoded[1]["prompts"] == session.prompts
