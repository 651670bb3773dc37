"""Curves over clicks, with a session that paints balls."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from SAMSpineLib.errors import GeometryError, LabelError, PromptError
from SAMSpineLib.evaluation.curves import RobotSettings, simulate
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.volume import Grid, Volume

L1, L2, T1 = (Label(v, n, n, "lumbar", (1, 2, 3)) for v, n in ((20, "L1"), (21, "L2"), (8, "T1")))


class BallSession:
    """Paints a ball at every positive click and wipes one at every negative; like the real one, labels clip labels."""

    def __init__(self, radius=6.0, wait=0.0):
        self.radius, self.wait, self.prompts, self.opened = radius, wait, [], 0

    def set_volume(self, volume):
        self.grid, self.opened = volume.grid, self.opened + 1
        k, j, i = np.indices(volume.shape)
        self.ras = volume.grid.to_ras(np.stack([i, j, k], axis=-1))
        self.labels = np.zeros(volume.shape, np.uint8)

    def select(self, label):
        self.label = label.value

    def clear(self):
        self.labels[self.labels == self.label] = 0

    def add(self, prompt):
        time.sleep(self.wait)
        self.prompts.append((self.label, prompt))
        ball = np.linalg.norm(self.ras - np.array(prompt.ras), axis=-1) <= self.radius
        if prompt.positive:
            self.labels[ball & (self.labels == 0)] = self.label
        else:
            self.labels[ball & (self.labels == self.label)] = 0
        return MaskUpdate.nothing(self.label)

    def mask(self, value):
        return (self.labels == value).astype(np.uint8)


def _truth(grid, *balls):
    k, j, i = np.indices(grid.shape)
    ras = grid.to_ras(np.stack([i, j, k], axis=-1))
    array = np.zeros(grid.shape, np.uint8)
    for value, centre, radius in balls:
        array[np.linalg.norm(ras - np.array(centre), axis=-1) <= radius] = value
    return Volume(array, grid)


GRID = Grid.centred_on((0, 0, 0), shape=(32, 32, 48), spacing=1.0)
VOLUME = Volume(np.zeros(GRID.shape, np.int16), GRID)
TWO_BALLS = _truth(GRID, (20, (-12, 0, 0), 6.0), (21, (10, 0, 0), 10.0))


def test_a_ball_of_the_right_size_is_perfect_after_one_click_and_stays_so():
    session = BallSession(radius=6.0)
    curve = simulate(session, VOLUME, TWO_BALLS, [L1], RobotSettings(clicks=4)).labels["L1"]
    assert curve.dice == [1.0] * 4
    assert curve.nsd_2mm == [1.0] * 4
    assert len(curve.clicks) == len(session.prompts) == 1
    assert curve.seconds[0] > 0
    assert curve.seconds[1:] == [0.0] * 3


def test_every_click_into_a_large_ball_makes_it_better():
    curve = simulate(BallSession(radius=5.0), VOLUME, TWO_BALLS, [L2], RobotSettings(clicks=6)).labels["L2"]
    assert curve.dice[0] == pytest.approx(2 * 5**3 / (5**3 + 10**3), abs=0.02)
    assert all(later > earlier for earlier, later in zip(curve.dice, curve.dice[1:], strict=False))


def test_too_much_marked_is_taken_back_by_a_negative_click():
    session = BallSession(radius=9.0)
    simulate(session, VOLUME, TWO_BALLS, [L1], RobotSettings(clicks=2))
    assert [prompt.positive for _, prompt in session.prompts] == [True, False]


def test_labels_are_simulated_alone_and_in_any_order_alike():
    settings = RobotSettings(clicks=3, jitter_mm=2.0, seed=4)
    # Radius 20 floods the neighbour: a session that were not cleared would keep it from being painted.
    both = simulate(BallSession(20.0), VOLUME, TWO_BALLS, [L1, L2], settings)
    swapped = simulate(BallSession(20.0), VOLUME, TWO_BALLS, [L2, L1], settings)
    alone = simulate(BallSession(20.0), VOLUME, TWO_BALLS, [L2], settings)
    for name in ("L1", "L2"):
        assert both.labels[name].dice == swapped.labels[name].dice
    assert both.labels["L2"].dice == alone.labels["L2"].dice
    assert both.labels["L2"].clicks == alone.labels["L2"].clicks


def test_the_session_is_left_empty_and_the_volume_opened_once():
    session = BallSession()
    simulate(session, VOLUME, TWO_BALLS, [L1, L2], RobotSettings(clicks=2))
    assert session.opened == 1
    assert not session.labels.any()


def test_the_same_seed_gives_the_same_curve_and_jitter_another_one():
    def run(**options):
        curve = simulate(BallSession(4.0), VOLUME, TWO_BALLS, [L2], RobotSettings(clicks=4, **options)).labels["L2"]
        return curve.clicks, curve.dice

    assert run(jitter_mm=3.0, seed=1) == run(jitter_mm=3.0, seed=1)
    assert run(jitter_mm=3.0, seed=1) != run(jitter_mm=3.0, seed=2)
    assert run() != run(jitter_mm=3.0)


def test_scores_are_taken_in_the_truths_grid_even_if_it_is_oblique_and_coarser():
    angle = 0.4
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, :3] *= [1.2, 1.2, 2.0]
    matrix[:3, 3] = matrix[:3, :3] @ [-15, -15, -8]
    truth = _truth(Grid((16, 30, 30), matrix), (20, (1, 2, 3), 8.0))
    report = simulate(BallSession(8.0), VOLUME, truth, [L1], RobotSettings(clicks=1))
    # The robot clicks voxel centres of a 2 mm grid, so the ball is up to about 1 mm off.
    assert report.labels["L1"].dice[0] > 0.85
    assert report.labels["L1"].nsd_2mm[0] > 0.95


def test_truth_outside_the_volume_is_neither_clicked_nor_scored():
    wide = Grid.centred_on((0, 0, 0), shape=(32, 32, 80), spacing=1.0)
    truth = _truth(wide, (20, (24, 0, 0), 9.0))
    session = BallSession(4.0)
    simulate(session, VOLUME, truth, [L1], RobotSettings(clicks=8, jitter_mm=3.0))
    assert len(session.prompts) == 8
    assert all(GRID.voxel_at(prompt.ras) is not None for _, prompt in session.prompts)


def test_jitter_does_not_carry_a_click_over_the_rim_of_the_volume():
    # Voxels of 6 mm whose centres lie 1 mm inside the volume: most of their outer half is beyond it.
    edge = GRID.to_ras([47.5, 16, 16])
    coarse = Grid.centred_on(edge - [1, 0, 0], shape=(3, 3, 1), spacing=6.0)
    truth = Volume(np.full(coarse.shape, 20, np.uint8), coarse)
    session = BallSession(2.0)
    for seed in range(12):
        simulate(session, VOLUME, truth, [L1], RobotSettings(clicks=1, jitter_mm=2.5, seed=seed))
    assert len(session.prompts) == 12
    assert all(GRID.voxel_at(prompt.ras) is not None for _, prompt in session.prompts)


def test_seconds_are_those_of_the_click_alone():
    curve = simulate(BallSession(4.0, wait=0.05), VOLUME, TWO_BALLS, [L2], RobotSettings(clicks=2)).labels["L2"]
    assert all(0.05 <= s < 0.2 for s in curve.seconds)


def test_json_has_exactly_the_promised_shape_and_the_mean_over_labels():
    report = simulate(BallSession(6.0), VOLUME, TWO_BALLS, [L1, L2], RobotSettings(clicks=3))
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(data) == {"labels", "mean"}
    assert list(data["labels"]) == ["L1", "L2"]
    for curve in (*data["labels"].values(), data["mean"]):
        assert set(curve) == {"dice", "nsd_2mm", "seconds"}
        assert all(len(values) == 3 for values in curve.values())
    expected = (data["labels"]["L1"]["dice"][0] + data["labels"]["L2"]["dice"][0]) / 2
    assert data["mean"]["dice"][0] == pytest.approx(expected, abs=1e-5)


def test_progress_is_told_after_every_click_up_to_the_last():
    told = []
    simulate(BallSession(), VOLUME, TWO_BALLS, [L1, L2], RobotSettings(clicks=2), lambda *args: told.append(args))
    assert told == [(1, 4, "L1"), (2, 4, "L1"), (3, 4, "L2"), (4, 4, "L2")]


def test_labels_that_cannot_be_scored_are_refused_before_the_first_click():
    session = BallSession()
    with pytest.raises(LabelError, match="'T1'"):
        simulate(session, VOLUME, TWO_BALLS, [L1, T1])
    with pytest.raises(LabelError, match="at least one label"):
        simulate(session, VOLUME, TWO_BALLS, [])
    far = Volume(TWO_BALLS.array, Grid.centred_on((500, 0, 0), shape=GRID.shape, spacing=1.0))
    with pytest.raises(GeometryError, match="outside the volume"):
        simulate(session, VOLUME, far, [L1])
    assert session.prompts == []


def test_a_robot_without_clicks_is_refused():
    with pytest.raises(PromptError, match="at least one click"):
        RobotSettings(clicks=0)
