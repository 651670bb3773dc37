"""Slices one by one, and followed, with a session that paints squares and discs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SAMSpineLib.errors import LabelError
from SAMSpineLib.evaluation.curves import RobotSettings
from SAMSpineLib.evaluation.cuts import cuts_of
from SAMSpineLib.evaluation.metrics import bounding_extent
from SAMSpineLib.evaluation.slice_curves import SMALLEST, SlicePlan, simulate_slices
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.prompts import Box
from SAMSpineLib.volume import Grid, Volume, slices_of

L1, L2 = (Label(v, n, n, "lumbar", (1, 2, 3)) for v, n in ((20, "L1"), (21, "L2")))
GRID = Grid((20, 24, 28), np.diag([1.0, 1.0, 2.0, 1.0]))
VOLUME = Volume(np.zeros(GRID.shape, np.int16), GRID)


class SliceSession:
    """Fills a box, paints a disc at a positive click and wipes one at a negative; follows through all slices."""

    def __init__(self, radius=4.0):
        self.radius, self.prompts, self.walks = radius, [], 0

    def set_volume(self, volume):
        self.grid = volume.grid
        k, j, i = np.indices(volume.shape)
        self.ijk = np.stack([i, j, k], axis=-1)
        self.ras = volume.grid.to_ras(self.ijk)
        self.marked = np.zeros(volume.shape, bool)

    def select(self, label):
        self.label = label

    def clear(self):
        self.marked[:] = False

    def add(self, prompt):
        self.prompts.append(prompt)
        middle = np.array(prompt.places[0])
        self.axis = 2 - int(np.abs(self.grid.ras_to_ijk[:3, :3] @ prompt.normal).argmax())
        here = np.abs((self.ras - middle) @ prompt.normal) < 0.01
        if isinstance(prompt, Box):
            low, high = np.array(prompt.corner_a) - 1e-6, np.array(prompt.corner_b) + 1e-6
            painted = ((self.ras >= low) & (self.ras <= high)).all(axis=-1) & here
        else:
            painted = (np.linalg.norm(self.ras - middle, axis=-1) <= self.radius) & here
        self.marked = self.marked & ~painted if not getattr(prompt, "positive", True) else self.marked | painted
        # Only what this prompt has touched is told.
        extent = bounding_extent(painted)
        return MaskUpdate(self.label.value, self.marked[slices_of(extent)].astype(np.uint8), extent)

    def propagate(self, *, progress=None):
        self.walks += 1
        self.marked |= self.marked.any(axis=self.axis, keepdims=True)
        if progress is not None:
            progress(1, 2, "")
            progress(2, 2, "")

    def mask(self, value):
        return self.marked.astype(np.uint8)


def _block(*blocks, grid=GRID):
    array = np.zeros(grid.shape, np.uint8)
    for value, where in blocks:
        array[where] = value
    return Volume(array, grid)


# 10 slices of 9 x 11 pixels.
BLOCK = _block((20, np.s_[5:15, 4:13, 6:17]))


def _plan(direction="axial", clicks=5, **options):
    return SlicePlan(cuts_of(GRID, direction)[0], RobotSettings(clicks), **options)


@pytest.mark.parametrize(("direction", "slices"), [("axial", 10), ("coronal", 9), ("sagittal", 11)])
def test_a_session_that_fills_the_box_is_perfect_in_every_slice_of_any_direction(direction, slices):
    report = simulate_slices(SliceSession(), VOLUME, BLOCK, [L1], _plan(direction))
    assert report.slices["L1"].box == [1.0] * slices
    assert report.to_json()["labels"]["L1"]["slices"] == slices


def test_what_is_followed_is_scored_in_3d():
    report = simulate_slices(SliceSession(), VOLUME, BLOCK, [L1], _plan())
    # Ten slices of the block are found, and ten beyond its ends are too much.
    assert report.followed["L1"].dice["box"] == pytest.approx(2 * 10 / (10 + 20))
    assert report.followed["L1"].index == 5
    assert set(report.followed["L1"].dice) == {"box", "1 click", "3 clicks"}
    assert report.followed["L1"].dice["1 click"] < report.followed["L1"].dice["3 clicks"]


def test_it_is_followed_from_the_slice_in_which_it_is_largest():
    truth = _block((20, np.s_[5:15, 4:13, 6:17]), (20, np.s_[9, 2:16, 4:19]))
    session = SliceSession()
    report = simulate_slices(session, VOLUME, truth, [L1], _plan())
    assert report.followed["L1"].index == 9
    assert session.walks == 3


def test_clicks_begin_in_the_middle_lie_in_the_slice_and_say_which_way_it_faces():
    session = SliceSession()
    simulate_slices(session, VOLUME, BLOCK, [L1], _plan("coronal", follow=False))
    first = session.prompts[1]  # the first prompt is the box
    assert session.prompts[0].normal == first.normal == (0, 1, 0)
    # 10 slices of 2 mm by 11 columns: the middle line of the columns, row 4 being the first with anything.
    assert first.ras[:2] == (11.0, 4.0)
    assert {prompt.places[0][1] for prompt in session.prompts} == set(range(4, 13))


def test_dice_after_each_click_is_that_of_all_that_was_marked():
    truth = _block((20, np.s_[5:15, 2:22, 3:25]))
    report = simulate_slices(SliceSession(3.0), VOLUME, truth, [L1], _plan(follow=False))
    disc = sum(x * x + y * y <= 9 for x in range(-3, 4) for y in range(-3, 4))
    curve = report.slices["L1"].after_clicks()
    assert curve[0] == pytest.approx(2 * disc / (disc + 20 * 22))
    assert all(later > earlier for earlier, later in zip(curve, curve[1:], strict=False))
    # Discs far from each other add up: what was marked before is not forgotten.
    assert curve[1] == pytest.approx(2 * 2 * disc / (2 * disc + 20 * 22), rel=0.1)


def test_a_slice_that_is_right_is_left_alone_and_keeps_its_score():
    disc = np.linalg.norm(np.indices((24, 28)) - np.array([12, 14])[:, None, None], axis=0) <= 4.0
    array = np.zeros(GRID.shape, np.uint8)
    array[8:10, disc] = 20
    session = SliceSession(4.0)
    report = simulate_slices(session, VOLUME, Volume(array, GRID), [L1], _plan(follow=False))
    assert report.slices["L1"].clicks == [[1.0] * 5] * 2
    assert len(session.prompts) == 2 * (1 + 1)


def test_slices_with_little_truth_do_not_count():
    truth = _block((20, np.s_[5:8, 4:8, 4:10]), (20, np.s_[10:14, 4:5, 4 : 4 + SMALLEST - 1]))
    report = simulate_slices(SliceSession(), VOLUME, truth, [L1], _plan(follow=False))
    assert len(report.slices["L1"].box) == 3


def test_a_structure_of_too_little_truth_has_no_score_and_does_not_spoil_the_mean():
    truth = _block((20, np.s_[5:15, 4:13, 6:17]), (21, np.s_[18, 20:22, 2:6]))
    found = simulate_slices(SliceSession(), VOLUME, truth, [L1, L2], _plan(follow=False)).to_json()
    assert found["labels"]["L2"] == {"slices": 0, "dice": [], "box": None, "followed": None}
    assert found["mean"]["box"] == 1.0
    assert found["mean"]["dice"] == found["labels"]["L1"]["dice"]


def test_every_third_slice_is_a_third_of_the_slices():
    report = simulate_slices(SliceSession(), VOLUME, BLOCK, [L1], _plan(follow=False, every=3))
    assert len(report.slices["L1"].box) == len({6, 9, 12})


def test_a_single_image_is_scored_and_not_followed():
    grid = Grid((1, 40, 50), np.eye(4))
    truth = _block((20, np.s_[0, 10:30, 10:30]), grid=grid)
    volume = Volume(np.zeros(grid.shape, np.uint8), grid, modality="US")
    session = SliceSession()
    report = simulate_slices(session, volume, truth, [L1], SlicePlan(cuts_of(grid)[0]))
    assert report.slices["L1"].box == [1.0]
    assert report.followed == {}
    assert session.walks == 0


def test_a_truth_on_another_grid_is_brought_to_the_slices():
    matrix = np.diag([0.5, 0.5, 1.0, 1.0])
    matrix[:3, 3] = [-0.25, -0.25, -0.5]
    fine = Grid((40, 48, 56), matrix)
    array = np.kron(BLOCK.array, np.ones((2, 2, 2), np.uint8))
    report = simulate_slices(SliceSession(), VOLUME, Volume(array, fine), [L1], _plan())
    assert report.slices["L1"].box == [1.0] * 10
    assert report.followed["L1"].dice["box"] == pytest.approx(2 / 3)


def test_progress_comes_to_its_end_and_names_what_is_done():
    told = []
    truth = _block((20, np.s_[5:15, 4:13, 6:17]), (21, np.s_[16:20, 4:13, 6:17]))
    simulate_slices(SliceSession(), VOLUME, truth, [L1, L2], _plan(), lambda *args: told.append(args))
    assert {total for _, total, _ in told} == {10 + 4 + 2 * 3 * 20}
    done = [done for done, _, _ in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
    assert (14 + 10, 134, "L1, followed") in told  # half of the first walk


def test_the_session_is_left_empty_and_the_report_is_strict_json():
    session = SliceSession()
    report = simulate_slices(session, VOLUME, BLOCK, [L1], _plan())
    assert not session.marked.any()
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(found["labels"]["L1"]["followed"]) == {"slice", "box", "1 click", "3 clicks", "seconds"}
    assert found["mean"]["followed"]["box"] == found["labels"]["L1"]["followed"]["box"]


def test_a_label_that_the_truth_lacks_is_refused_before_the_first_prompt():
    session = SliceSession()
    with pytest.raises(LabelError, match="'L2'"):
        simulate_slices(session, VOLUME, BLOCK, [L1, L2], _plan())
    assert session.prompts == []
