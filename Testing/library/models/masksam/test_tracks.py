"""What windows show of the same structure is one track, whichever query sees it and whatever each window calls it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.models.masksam.network import StackAnswer
from SAMSpineLib.models.masksam.prompt_generator import StackPrompts
from SAMSpineLib.models.masksam.tracks import Tracks
from SAMSpineLib.models.masksam.windows import windows
from SAMSpineLib.volume import Grid

DEPTH, SIDE, CLASSES, QUERIES = 9, 16, 3, 4
TOP, LOW = (slice(1, 6), slice(4, 12)), (slice(9, 14), slice(4, 12))
# The grid of the masks: columns to the back, rows to the feet, slices to the right; 2 x 2 x 3 mm.
BLOCK = Grid((DEPTH, SIDE, SIDE), np.array([[0, 0, 3.0, 0], [-2.0, 0, 0, 0], [0, -2.0, 0, 0], [0, 0, 0, 1]]))


def shown(window: range, *, swapped: bool, kinds: tuple[int, int] = (0, 1), sure: float = 30.0) -> StackAnswer:
    """Return what a window shows of a structure at the top and one below it, of which queries see which."""
    masks = torch.full((1, QUERIES, len(window), SIDE, SIDE), -20.0)
    said = torch.zeros(1, QUERIES, CLASSES + 1)
    said[..., -1] = 30.0
    for query, (rows, columns), kind in zip((2, 0) if swapped else (0, 2), (TOP, LOW), kinds, strict=True):
        masks[0, query, :, rows, columns] = 20.0
        said[0, query] = 0.0
        said[0, query, kind] = sure
    return StackAnswer(said, masks, StackPrompts(masks, torch.zeros(1, QUERIES, 1, 4), torch.zeros(1, QUERIES, 1, 1)))


def seen(*answers: StackAnswer, depth: int = 4) -> Tracks:
    tracks, every = Tracks(DEPTH), windows(DEPTH, depth)
    assert len(answers) == len(every)
    for window, answer in zip(every, answers, strict=True):
        tracks.see(window, answer)
    return tracks


def alternating(**how) -> Tracks:
    """Return tracks of windows in which queries change places every time."""
    return seen(*(shown(one, swapped=bool(place % 2), **how) for place, one in enumerate(windows(DEPTH, 4))))


def test_a_structure_is_one_track_whichever_query_sees_it():
    found = alternating().found(BLOCK)
    assert len(found) == 2
    upper, lower = sorted(found.values(), key=lambda one: -one.centre[2])
    for track, (rows, columns), kind in ((upper, TOP, 0), (lower, LOW, 1)):
        middle = [(columns.start + columns.stop - 1) / 2, (rows.start + rows.stop - 1) / 2, (DEPTH - 1) / 2]
        np.testing.assert_allclose(track.centre, BLOCK.to_ras(middle), atol=1e-6)
        assert track.size == pytest.approx(DEPTH * 5 * 8 * 12)
        np.testing.assert_allclose(track.chances, np.eye(CLASSES)[kind], atol=1e-6)


def test_what_windows_call_differently_is_as_likely_of_a_class_as_they_say_in_the_mean():
    every = windows(DEPTH, 4)
    answers = [shown(one, swapped=False, kinds=(2, 1) if place else (0, 1)) for place, one in enumerate(every)]
    upper = max(seen(*answers).found(BLOCK).values(), key=lambda one: one.centre[2])
    np.testing.assert_allclose(upper.chances, [1 / len(every), 0, 1 - 1 / len(every)], atol=1e-3)


def test_a_track_gives_all_its_slices_to_the_class_that_it_is_named():
    tracks = alternating()
    upper, lower = sorted(tracks.found(BLOCK).items(), key=lambda one: -one[1].centre[2])
    names = {upper[0]: torch.tensor([0.0, 1.0]), lower[0]: torch.tensor([1.0, 0.0])}
    scores = list(tracks.scores(names, (SIDE, SIDE)))
    assert len(scores) == DEPTH
    for score in scores:
        assert score.shape == (2, SIDE, SIDE)
        for kind, inside in ((0, LOW), (1, TOP)):
            wanted = torch.zeros(SIDE, SIDE)
            wanted[inside] = 1.0
            torch.testing.assert_close(score[kind], wanted, atol=1e-2, rtol=0)


def test_what_has_no_name_claims_nothing():
    tracks = alternating()
    upper = max(tracks.found(BLOCK).items(), key=lambda one: one[1].centre[2])
    for score in tracks.scores({upper[0]: torch.ones(1)}, (SIDE, SIDE)):
        assert score[0][LOW].max() < 1e-3
    assert all(score.shape == (0, SIDE, SIDE) for score in tracks.scores({}, (SIDE, SIDE)))


def test_a_query_in_doubt_of_its_class_claims_its_mask_as_much_as_it_sees_an_object():
    """Over all queries, softmax(class) x sigmoid(mask), where "no object" is no class."""
    tracks = alternating(sure=0.0)  # three classes and "no object", all alike
    found = tracks.found(BLOCK)
    scores = next(tracks.scores({one: torch.from_numpy(found[one].chances).float() for one in found}, (SIDE, SIDE)))
    torch.testing.assert_close(scores[:, 3, 6], torch.full((CLASSES,), 0.25), atol=1e-3, rtol=0)


def test_a_stack_in_which_every_query_sees_no_object_has_no_track():
    nothing = []
    for window in windows(DEPTH, 4):
        answer = shown(window, swapped=False)
        answer.kinds[:] = torch.tensor([0.0, 0.0, 0.0, 40.0])
        nothing.append(answer)
    tracks = seen(*nothing)
    assert tracks.found(BLOCK) == {}
    assert all(score.numel() == 0 for score in tracks.scores({}, (SIDE, SIDE)))


def test_where_windows_differ_the_middle_of_a_window_counts_most():
    every = windows(DEPTH, 4)
    answers = [shown(one, swapped=False) for one in every]
    answers[1].masks[:] = -20.0  # slices 2 to 5: only the windows before and behind see anything there
    tracks = seen(*answers)
    claims = [
        sum(one[2, 6] for one in score) for score in tracks.scores(dict.fromkeys(range(8), torch.ones(1)), (16, 16))
    ]
    assert claims[1] == pytest.approx(1.0, abs=1e-2)
    assert claims[2] > claims[3]
    assert claims[4] < claims[5]


def test_a_double_is_no_track_and_what_it_claims_is_the_others():
    every = windows(DEPTH, 4)
    answers = [shown(one, swapped=False) for one in every]
    for answer in answers:  # a third query sees the lower half of one and the upper half of the other, less surely
        answer.masks[0, 1, :, 4:11, 4:12] = 20.0
        answer.kinds[0, 1] = torch.tensor([0.0, 1.0, 0.0, 2.0])
    tracks = seen(*answers)
    found = tracks.found(BLOCK)
    assert sorted(round(one.size) for one in found.values()) == [DEPTH * 5 * 8 * 12] * 2
    assert {int(one.chances.argmax()) for one in found.values()} == {0, 1}


def test_what_two_queries_see_alike_is_one_track():
    answers = [shown(one, swapped=False) for one in windows(DEPTH, 4)]
    for answer in answers:
        answer.masks[0, 1] = answer.masks[0, 0]
        answer.kinds[0, 1] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    found = seen(*answers).found(BLOCK)
    assert len(found) == 2
    assert max(found.values(), key=lambda one: one.centre[2]).chances[0] == pytest.approx(1.0, abs=1e-3)
