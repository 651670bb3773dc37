"""A structure larger than a patch is followed from one click, as far as it goes and no further."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.propagation import Walk, Walker
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.protocols import Answer
from SAMSpineLib.prompts import Box, Point, Scribble
from SAMSpineLib.volume import Volume

CANAL, L3 = spine_labels().by_name("spinal canal"), spine_labels().by_name("L3")
ROD = [(0.0, 0.0, -110.0), (0.0, 0.0, 110.0)]
BENT = [(-30.0, 0.0, -100.0), (0.0, 15.0, -40.0), (25.0, 20.0, 30.0), (20.0, -10.0, 100.0)]
START = Point((0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def column() -> Volume:
    """A volume of 120 x 120 x 260 mm (2 mm voxels) around the origin."""
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[:3, 3] = [-59.0, -59.0, -129.0]
    return Volume.from_array(np.zeros((130, 60, 60), np.int16), matrix)


def dice(session, label, shape, voxel_places):
    truth, found = shape(voxel_places(session.volume.grid)) < 0, session.mask(label.value) > 0
    return 2 * (truth & found).sum() / (truth.sum() + found.sum())


def follow(open_session, model, volume, label=CANAL, click=START, **settings):
    session = open_session(model, volume=volume, **settings)
    session.select(label)
    return session, session.add(click)


@pytest.mark.parametrize("line", [ROD, BENT], ids=["straight", "bent"])
def test_a_tube_longer_than_a_patch_is_covered_from_one_click(open_session, fake, shapes, voxel_places, column, line):
    assert CANAL.whole
    shape = shapes["tube"](line, 8.0)
    click = Point(tuple((np.array(line[0]) + line[1]) / 2))
    session, update = follow(open_session, fake([shape]), column, click=click)
    assert dice(session, CANAL, shape, voxel_places) > 0.96
    assert len(update.visited) >= 4
    assert session.prompts == (click,)


def test_the_patches_visited_are_told_in_order_and_each_only_once(open_session, fake, shapes, column):
    model = fake([shapes["tube"](ROD, 8.0)])
    _, update = follow(open_session, model, column)
    assert update.visited[0].same_place(model.grid_at(START.ras))
    origins = np.array([grid.ijk_to_ras[:3, 3] for grid in update.visited])
    assert len(np.unique(origins, axis=0)) == len(origins)
    steps = np.abs(origins[1:, None] - origins[None]).max(axis=-1)
    assert all(steps[n, : n + 1].min() <= 24.0 for n in range(len(steps)))
    assert len(model.encoded) == len(update.visited)


def test_the_walk_ends_where_the_structure_ends(open_session, fake, shapes, column):
    model = fake([shapes["tube"]([(0.0, 0.0, -40.0), (0.0, 0.0, 20.0)], 8.0)])
    _, update = follow(open_session, model, column)
    tops = [grid.to_ras((0, 0, 23))[2] for grid in update.visited]
    bottoms = [grid.to_ras((0, 0, 0))[2] for grid in update.visited]
    assert max(tops) < 28.0 + 2 * 24.0
    assert min(bottoms) > -48.0 - 2 * 24.0
    assert len(update.visited) <= 4


def test_a_structure_within_its_patch_needs_one_patch(open_session, fake, shapes, column):
    _, update = follow(open_session, fake([shapes["ball"]((0.0, 0.0, 0.0), 15.0)]), column)
    assert len(update.visited) == 1


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_no_more_patches_than_allowed(open_session, fake, shapes, column, limit):
    model = fake([shapes["tube"](ROD, 8.0)])
    _, update = follow(open_session, model, column, max_patches_large=limit)
    assert len(update.visited) == limit
    _, update = follow(open_session, model, column, label=L3, max_patches=limit)
    assert len(update.visited) == limit


def test_the_walk_never_leaves_the_volume(open_session, fake, shapes, column):
    """The tube goes on beyond the volume on both sides; patches may look over the edge, but not lie beyond it."""
    line = [(0.0, 0.0, -400.0), (0.0, 0.0, 400.0)]
    session, update = follow(open_session, fake([shapes["tube"](line, 8.0)]), column)
    assert all(column.grid.extent_of(grid) is not None for grid in update.visited)
    middles = np.array([grid.to_ras((12, 12, 12))[2] for grid in update.visited])
    assert np.abs(middles).max() <= 131.0
    mask = session.mask(CANAL.value)
    assert mask[0].any()
    assert mask[-1].any()


def test_a_neighbour_that_contradicts_what_is_known_is_dropped(open_session, fake, shapes, column):
    class Forgetful(fake):
        """Sees something else, in a corner, as soon as it looks anywhere but at the first patch."""

        def decode(self, encoded, prompts, *, previous=None, chain=False):
            if encoded.grid.same_place(self.grid_at(START.ras)):
                return super().decode(encoded, prompts, previous=previous, chain=chain)
            other = np.zeros(encoded.grid.shape, np.float32)
            other[:, :6, :6] = 1.0
            return Answer(other, 0.9)

    model = Forgetful([shapes["tube"](ROD, 8.0)])
    session, update = follow(open_session, model, column)
    assert len(update.visited) == 1
    assert len(model.decoded) == 1
    alone, _ = follow(open_session, model, column, max_patches_large=1)
    assert np.array_equal(session.result, alone.result)


def test_the_prompters_peak_is_clicked_where_it_is_sure_and_the_known_depth_where_not(
    open_session, fake, shapes, column
):
    def clicked(height):
        model = fake([shapes["tube"](ROD, 8.0)])
        model.heat = lambda grid: peak_at(grid, (4.0, 2.0), height)
        follow(open_session, model, column, max_patches_large=2)
        return model.decoded[-1]["prompts"][-1].ras

    assert clicked(0.9)[:2] == (4.0, 2.0)
    assert clicked(0.1)[:2] == (0.0, 0.0)


def peak_at(grid, place, height):
    """Return a heat map with one peak in the middle slice of a patch, at a place R, A."""
    heat = np.zeros(grid.shape, np.float32)
    middle = grid.to_ras((12, 12, 12))
    heat[grid.voxel_at((*place, middle[2]))] = height
    return heat


def test_a_vertebra_clicked_near_its_edge_is_looked_at_again_from_its_middle(
    open_session, fake, shapes, voxel_places, column
):
    shape = shapes["ball"]((0.0, 0.0, 0.0), 18.0)
    session, update = follow(
        open_session, fake([shape]), column, label=L3, click=Point((0.0, 0.0, 15.0)), max_patches=1
    )
    middle = update.visited[0].to_ras((12, 12, 12))
    assert np.abs(middle).max() < 8.0
    assert dice(session, L3, shape, voxel_places) > 0.95


def test_a_correction_far_down_the_tube_is_answered_there_and_keeps_the_rest(open_session, fake, shapes, column):
    model = fake([shapes["tube"](ROD, 8.0)])
    session, first = follow(open_session, model, column)
    encoded = len(model.encoded)
    before = session.mask(CANAL.value)
    away = Point((0.0, 0.0, 82.0), positive=False)
    session.add(away)
    assert len(model.encoded) == encoded
    after = session.mask(CANAL.value)
    assert after[column.grid.voxel_at(away.ras)] == 0
    assert after.sum() < before.sum()
    assert np.array_equal(after[:80], before[:80])


def test_the_walk_does_not_change_where_it_started(open_session, fake, shapes, column):
    model = fake([shapes["tube"](ROD, 8.0)])
    session = open_session(model, volume=column)
    walker = Walker(model, session.cache, column, session.settings)
    start = walker.answer(model.grid_at(START.ras), [START], previous=None)
    walk = walker.walk(Walk((start,)), start, [START], limit=5)
    assert walk.answers[0] is start
    assert len(walk.answers) == 5
    assert all(not answer.prompted for answer in walk.answers[1:])


def test_a_patch_that_was_refused_is_not_visited_again_by_the_next_click(open_session, fake, shapes, column):
    model = fake([shapes["tube"](ROD, 8.0)])
    session = open_session(model, volume=column)
    walker = Walker(model, session.cache, column, session.settings)
    start = walker.answer(model.grid_at(START.ras), [START], previous=None)
    refused = walker.walk(Walk((start,)), start, [START], limit=3).answers[1:]
    encoded = session.cache.encoded_count
    again = walker.walk(Walk((start,), tuple(answer.grid for answer in refused)), start, [START], limit=9)
    assert again.answers == (start,)
    assert session.cache.encoded_count == encoded


def test_a_scribble_counts_in_every_patch_of_a_walk_and_a_box_only_in_its_own(open_session, fake, shapes, column):
    model = fake([shapes["tube"](ROD, 8.0)])
    box, line = Box((-10.0, -10.0, -10.0), (10.0, 10.0, 10.0)), Scribble(((0.0, 0.0, -4.0), (0.0, 0.0, 4.0)))
    walker = Walker(model, (session := open_session(model, volume=column)).cache, column, session.settings)
    start = walker.answer(model.grid_at(START.ras), [box, line, START], previous=None)
    walker.walk(Walk((start,)), start, [box, line, START], limit=4)
    elsewhere = model.decoded[1:]
    assert len(elsewhere) == 3
    assert all(line in call["prompts"] and box not in call["prompts"] for call in elsewhere)


def test_a_chain_is_followed_up_and_down_and_never_sideways(open_session, fake, shapes):
    cross = [shapes["tube"](line, 8.0) for line in (ROD, [(-80.0, 0.0, 0.0), (80.0, 0.0, 0.0)])]
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[:3, 3] = [-99.0, -59.0, -129.0]
    volume = Volume.from_array(np.zeros((130, 60, 100), np.int16), matrix)
    session = open_session(fake(cross), volume=volume)
    reached = {}
    for name in ("spine", "spinal canal"):
        session.select(spine_labels().by_name(name))
        reached[name] = np.ptp([grid.ijk_to_ras[:3, 3] for grid in session.add(START).visited], axis=0)
        session.clear()
    assert reached["spine"][2] > 100
    assert reached["spine"][0] < 5
    assert reached["spinal canal"][0] > 60
