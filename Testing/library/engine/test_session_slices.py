"""Prompts in slices of any direction become masks, and go through the stack from there."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.errors import Cancelled, PromptError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.protocols import SlicePromptable
from SAMSpineLib.prompts import Box, MaskPrompt, Point
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Grid, slices_of

from .conftest import FakeSlices, Shape, ball, ellipsoid, places, tube

L3, L4 = (spine_labels().by_name(name) for name in ("L3", "L4"))
BONE = ellipsoid((3.0, 2.0, 1.0), (14.0, 11.0, 9.0))
OTHER = ball((-30.0, 0.0, 0.0), 8.0)
IN_BONE, IN_OTHER = Point((3.4, 2.4, 1.4)), Point((-30.0, 0.0, 0.0))
VIEWS = {"axial": (0.0, 0.0, 1.0), "sagittal": (1.0, 0.0, 0.0), "coronal": (0.0, 1.0, 0.0), "oblique": (0.0, 0.6, 0.8)}


@pytest.fixture
def model() -> FakeSlices:
    return FakeSlices([BONE, OTHER])


@pytest.fixture
def session(open_session, model):
    opened = open_session(model)
    opened.select(L3)
    return opened


def truth(shape: Shape, grid: Grid) -> np.ndarray:
    return shape(places(grid)) < 0


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * float((first & second).sum()) / max(float(first.sum() + second.sum()), 1.0)


def test_the_fake_works_slice_by_slice(model):
    assert isinstance(model, SlicePromptable)


@pytest.mark.parametrize("view", VIEWS)
def test_a_click_marks_the_structure_in_the_slice_that_it_was_made_in(view, session):
    grid, normal = session.volume.grid, VIEWS[view]
    session.add(Point(IN_BONE.ras, normal=normal))
    stack = stack_along(grid, normal)
    here = stack.grid(stack.index_at(IN_BONE.ras), (200, 200)).holds(places(grid))
    found = session.mask(L3.value) > 0
    assert found.any()
    assert not (found & ~here).any()
    assert overlap(found, truth(BONE, grid) & here) > 0.93


def test_a_second_click_on_a_slice_goes_on_from_the_first_and_encodes_nothing(session, model):
    session.add(IN_BONE)
    session.add(Point((3.4, 6.4, 1.4), positive=False))
    assert session.cache.encoded_count == 1
    assert model.asked[-1] == (IN_BONE, Point((3.4, 6.4, 1.4), positive=False))
    assert session.result[session.volume.grid.voxel_at(IN_BONE.ras)] == L3.value
    assert session.result[session.volume.grid.voxel_at((3.4, 7.0, 1.4))] == 0


def test_clicks_of_a_corrected_slice_speak_on_its_neighbours_too(session, model):
    first, correction = IN_BONE, Point((3.4, 6.4, 1.4), positive=False)
    session.add(first)
    session.add(Point((3.4, 2.4, 4.4)))
    assert model.asked[-1] == (first, Point((3.4, 2.4, 4.4)))  # one click on a slice is no correction
    session.undo()
    session.add(correction)
    for ras in ((3.4, 2.4, 4.4), (3.4, 2.4, 14.4)):
        session.add(Point(ras))
    near, far = model.asked[-2:]
    stack = stack_along(session.volume.grid)
    assert [one.positive for one in near if one not in session.prompts] == [True, False]
    for moved, said in zip(near, (first, correction), strict=False):
        assert stack.index_at(moved.ras) == stack.index_at((3.4, 2.4, 4.4))
        across = np.array(moved.ras) - said.ras
        np.testing.assert_allclose(across, stack.step * np.dot(across, stack.step) / np.dot(stack.step, stack.step))
    assert set(far) <= set(session.prompts)  # nothing is said that far away


def test_the_other_masks_are_one_step_away_and_undo_takes_them_back(session):
    session.add(IN_BONE)
    first = session.result.copy()
    second = session.next_candidate()
    assert second.mask.any()
    assert 0 < (session.result > 0).sum() < (first > 0).sum()
    session.next_candidate()
    assert (session.result > 0).sum() == 44 * 48
    session.next_candidate()
    np.testing.assert_array_equal(session.result, first)
    for _ in range(3):
        session.undo()
    np.testing.assert_array_equal(session.result, first)


def test_without_a_prompted_slice_there_is_nothing_to_choose_or_to_follow(session, open_session):
    with pytest.raises(PromptError, match="L3 has no prompted slice"):
        session.next_candidate()
    with pytest.raises(PromptError, match="L3 cannot be followed"):
        session.propagate()
    cubes = open_session()
    cubes.select(L3)
    cubes.add(IN_BONE)
    with pytest.raises(PromptError, match="L3 cannot be followed"):
        cubes.propagate()


def test_where_slices_cross_the_one_prompted_last_is_right(session):
    session.add(IN_BONE)
    session.add(Point(IN_BONE.ras, normal=VIEWS["sagittal"]))
    session.next_candidate()  # in the sagittal slice, a small ball
    sagittal = session.result[:, :, session.volume.grid.voxel_at(IN_BONE.ras)[2]]
    assert 0 < (sagittal > 0).sum() < truth(BONE, session.volume.grid)[:, :, 25].sum() / 2


@pytest.mark.parametrize("view", VIEWS)
def test_from_one_slice_the_whole_structure_is_found(view, session, model):
    session.add(Point(IN_BONE.ras, normal=VIEWS[view]))
    (update,) = session.propagate()
    grid = session.volume.grid
    assert overlap(session.mask(L3.value) > 0, truth(BONE, grid)) > 0.93
    assert update.mask.sum() == (session.result > 0).sum()
    assert len(model.followed) < stack_along(grid, VIEWS[view]).count  # it ended by itself
    session.undo()
    assert (session.result > 0).sum() < truth(BONE, grid).sum() / 4


def test_several_labels_are_followed_in_one_pass_that_encodes_each_slice_once(session, model):
    session.add(IN_BONE)
    session.select(L4)
    session.add(IN_OTHER)
    session.propagate([L3, L4])
    grid = session.volume.grid
    for label, shape in ((L3, BONE), (L4, OTHER)):
        assert overlap(session.mask(label.value) > 0, truth(shape, grid)) > 0.9
    assert len(model.encoded) == len({one.ijk_to_ras.tobytes() for one in model.encoded})


def test_a_correction_makes_only_the_gaps_beside_it_be_walked_again(session, model):
    for height in (-5.4, 1.4, 7.4):
        session.add(Point((3.4, 2.4, height)))
    session.propagate()
    model.followed.clear()
    session.propagate()
    assert model.followed == []
    session.add(Point((3.4, 4.4, 5.4), positive=False))
    session.propagate()
    where = [stack_along(session.volume.grid).index_at((3.4, 2.4, height)) for height in (1.4, 5.4, 7.4)]
    assert sorted(model.followed) == [i for i in range(where[0] + 1, where[2]) if i != where[1]]


def test_a_correction_gives_what_the_same_prompts_give_from_the_beginning(session, open_session):
    session.add(IN_BONE)
    session.propagate()
    session.add(Point((3.4, 2.4, 5.4)))
    session.propagate()
    afresh = open_session(FakeSlices([BONE, OTHER]))
    afresh.select(L3)
    afresh.add(IN_BONE)
    afresh.add(Point((3.4, 2.4, 5.4)))
    afresh.propagate()
    np.testing.assert_array_equal(session.result, afresh.result)


def test_what_was_found_before_it_was_cancelled_is_kept_and_goes_on_from_there(session, model):
    session.add(IN_BONE)
    once = (session.result > 0).sum()
    heard = []

    def stop(done, total, name):
        heard.append((done, total, name))
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        session.propagate(progress=stop)
    assert [one[0] for one in heard] == [1, 2, 3]
    assert heard[0][1:] == (39, "L3")
    assert (session.result > 0).sum() > once
    session.propagate()
    assert overlap(session.mask(L3.value) > 0, truth(BONE, session.volume.grid)) > 0.93


def test_a_mask_starts_it_as_well(session, model):
    coarse = Grid.centred_on((0, 0, 0), shape=(30, 30, 30), spacing=2.5)
    session.add(MaskPrompt(truth(BONE, coarse), coarse))
    session.propagate()
    assert overlap(session.mask(L3.value) > 0, truth(BONE, session.volume.grid)) > 0.9


def test_a_box_of_another_view_says_nothing_in_this_one(session, model):
    session.add(Box((-9.0, -9.0, 1.0), (9.0, 9.0, 1.0), normal=VIEWS["axial"]))
    session.add(Point(IN_BONE.ras, normal=VIEWS["sagittal"]))
    assert model.asked[-1] == (Point(IN_BONE.ras, normal=VIEWS["sagittal"]),)


def test_an_earlier_result_is_gone_on_with(open_session, ct):
    earlier = np.where(truth(OTHER, ct.grid), L3.value, 0).astype(np.uint16)
    session = open_session(FakeSlices([BONE, OTHER]), labels=earlier)
    session.select(L3)
    session.add(Point((-24.5, 0.0, 1.0)))
    assert session.result[ct.grid.voxel_at((-35.0, 0.0, 1.0))] == L3.value
    assert (session.result > 0).sum() >= (earlier > 0).sum() - 4


def test_removing_a_prompt_gives_back_what_the_others_say(session):
    session.add(IN_BONE)
    first = session.result.copy()
    session.add(Point((3.4, 6.4, 1.4), positive=False))
    session.remove(Point((3.4, 6.4, 1.4), positive=False))
    np.testing.assert_array_equal(session.result, first)


def test_a_structure_that_is_missing_on_one_slice_is_followed_beyond_it(open_session):
    ring = tube(((0, 0, -12), (0, 0, 12)), 6.0)
    gap = lambda ras: np.maximum(ring(ras), 1.5 - np.abs(ras[..., 2] - 6))  # noqa: E731
    session = open_session(FakeSlices([gap]))
    session.select(L3)
    session.add(Point((0.0, 0.0, 0.0)))
    session.propagate()
    assert session.result[session.volume.grid.voxel_at((0.0, 0.0, 10.0))] == L3.value


def test_neighbours_are_encoded_while_the_user_looks_and_nothing_twice(open_session, model):
    session = open_session(model, slices_ahead=2)
    session.select(L3)
    session.add(IN_BONE)
    session._ahead.wait()
    grid = session.volume.grid
    stack = stack_along(grid)
    middle = stack.index_at(IN_BONE.ras)
    seen = [stack.index_at(one.to_ras([0, 0, 0])) for one in model.encoded]
    assert seen == [middle, middle + 1, middle - 1, middle + 2, middle - 2]
    session.add(Point((3.4, 2.4, 3.4)))
    session._ahead.wait()
    seen = [stack.index_at(one.to_ras([0, 0, 0])) for one in model.encoded]
    assert seen[5:] == [middle + 3]
    assert len(seen) == session.cache.encoded_count


def test_what_is_encoded_ahead_pushes_nothing_out(open_session, model):
    one = 44 * 48 * 4 * 4  # a slice of the fake: 88 x 96 pixels of 4 bytes
    session = open_session(model, slices_ahead=9, cache_bytes=3 * one)
    session.select(L3)
    session.add(IN_BONE)
    session._ahead.wait()
    assert session.cache.encoded_count == 3
    session.add(Point((3.4, 6.4, 1.4), positive=False))
    assert session.cache.encoded_count == 3


def test_another_volume_ends_what_was_wished_for_the_one_before(open_session, model):
    session = open_session(model, slices_ahead=5)
    session.select(L3)
    session.add(IN_BONE)
    session.set_volume(session.volume)
    session._ahead.wait()
    count = session.cache.encoded_count
    session._ahead.wait()
    assert session.cache.encoded_count == count


def test_however_many_slices_are_prompted_their_undo_and_their_cache_stay_within_the_bounds(open_session, model):
    one, undo = 44 * 48 * 4 * 4, 200_000
    session = open_session(model, cache_bytes=3 * one, undo_bytes=undo)
    session.select(L3)
    for k in range(session.volume.shape[0]):
        session.add(Point(tuple(session.volume.grid.to_ras([24, 22, k]).tolist())))
        assert session.cache.nbytes <= 3 * one
        assert session._history.nbytes <= undo
    assert session.cache.encoded_count == session.volume.shape[0]
    undone = 0
    while not session.undo().is_empty:
        undone += 1
    assert undone > 1


def test_a_slice_that_is_done_with_keeps_the_mask_that_counts_and_no_other(session):
    session.add(IN_BONE)
    chosen = session.next_candidate()
    whole = session._state.slices[0].nbytes
    update = session.add(Point((3.4, 2.4, 3.4)))
    k = session.volume.grid.voxel_at((3.4, 2.4, 3.4))[0]
    assert update.extent[4:] == (k, k)  # the other was not painted anew
    first, last = session._state.slices
    assert 2.5 * first.nbytes < whole <= last.nbytes
    k = chosen.extent[4]
    np.testing.assert_array_equal(session.result[k] > 0, slice_of(session, chosen))
    session.propagate()
    session.undo()
    session.undo()
    session.next_candidate()  # undo has brought the others back
    assert (session.result > 0).sum() == 44 * 48


def slice_of(session, update):
    """Return the slice (J, I) that an update changed, with nothing but its mask."""
    found = np.zeros(session.volume.shape, bool)
    found[slices_of(update.extent)] = update.mask > 0
    return found[update.extent[4]]
