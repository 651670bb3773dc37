"""Vertebrae are found in the localiser's maps, also in poor ones, and nothing is found where there is no spine."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from SAMSpineLib.engine.autonomous.instances import InstanceSettings, find_instances
from SAMSpineLib.errors import LabelError
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.volume import Grid

SACRUM = LEVEL_VALUES.index(26)


@cache
def places(grid):
    kji = np.stack(np.mgrid[tuple(slice(n) for n in grid.shape)], axis=-1)
    return grid.to_ras(kji[..., ::-1])


def away_from(grid, centre):
    return np.linalg.norm(places(grid) - centre, axis=-1)


def noise(rng, shape, size, *, width):
    """Return noise of this standard deviation whose neighbours agree over `width` voxels."""
    rough = ndimage.gaussian_filter(rng.normal(0, 1, shape), [0] * (len(shape) - 3) + [width] * 3)
    return rough * size / rough.std()


def poor(seen, rng, *, heat, offset_mm):
    """Return maps as of a small network: faint heat, offsets that are wrong by so much, uncertain bone."""
    bone = 0.8 * seen.bone + noise(rng, seen.bone.shape, 0.15, width=1)
    faint = heat * seen.heat + noise(rng, seen.heat.shape, 0.03, width=1.5)
    return replace(
        seen,
        bone=np.clip(bone, 0, 1),
        heat=np.clip(faint, 0, 1),
        offsets=seen.offsets + noise(rng, seen.offsets.shape, offset_mm, width=2),
    )


def without_peak(seen, spine, value):
    """Return maps whose heat and offsets say nothing of one vertebra."""
    near = away_from(seen.grid, spine.centres[value]) < 15
    return replace(seen, heat=np.where(near, 0, seen.heat), offsets=np.where(spine.labels == value, 0, seen.offsets))


def with_blob(seen, centre, radius, heat):
    """Return maps with false bone whose offsets point to its own middle."""
    distance = away_from(seen.grid, centre)
    false = (distance < radius) & (seen.bone < 0.5)
    way = np.moveaxis(centre - places(seen.grid), -1, 0)
    return replace(
        seen,
        bone=np.where(false, 0.9, seen.bone),
        heat=np.maximum(seen.heat, heat * np.exp(-(distance**2) / 72)),
        offsets=np.where(false, way, seen.offsets),
    )


def blank(seen):
    shape = seen.grid.shape
    return replace(seen, bone=np.zeros(shape), heat=np.zeros(shape), offsets=np.zeros((3, *shape)))


def vertebrae(found):
    return [one for one in found.instances if not one.is_sacrum]


def names(found, spine):
    """Return the true value of the vertebra whose centre is nearest to each found one, and its distance."""
    values = list(spine.centres)
    true = np.array([spine.centres[value] for value in values])
    distances = [np.linalg.norm(true - one.centre, axis=1) for one in vertebrae(found)]
    return [values[row.argmin()] for row in distances], [row.min() for row in distances]


def dice(found, spine, number, values):
    mask, truth = found.map == number, np.isin(spine.labels, values)
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def check(found, spine, *, centre=6.0, least_dice=0.8):
    """Hold all that is found against the truth."""
    values, errors = names(found, spine)
    assert values == list(spine.centres)
    assert max(errors) < centre
    overlap = [dice(found, spine, n, [value]) for n, value in enumerate(values, start=1)]
    assert min(overlap) > least_dice, overlap
    assert [one.voxels for one in found.instances] == np.bincount(found.map.ravel())[1:].tolist()
    assert [LEVEL_VALUES[one.evidence.argmax()] for one in vertebrae(found)] == values


def test_ideal_maps_give_every_vertebra_of_the_spine_and_the_sacrum(whole_spine):
    found = find_instances(whole_spine.ideal)
    check(found, whole_spine, centre=3.0, least_dice=0.97)
    assert len(vertebrae(found)) == 24
    assert found.instances[-1].is_sacrum
    assert found.instances[-1].evidence.argmax() == SACRUM
    assert dice(found, whole_spine, 25, [26, 27]) > 0.88
    assert min(one.score for one in found.instances) > 0.7


def test_the_line_runs_through_the_centres(whole_spine):
    found = find_instances(whole_spine.ideal)
    centres = np.array([one.centre for one in vertebrae(found)])
    along = found.line.project(centres)
    assert (np.diff(along) > 10).all()
    assert np.linalg.norm(found.line.at(along) - centres, axis=1).max() < 5


@pytest.mark.parametrize("heat", [1.0, 0.5, 0.2])
def test_a_poor_network_s_maps_still_give_the_low_back(low_back, heat):
    for seed in range(2):
        seen = poor(low_back.ideal, np.random.default_rng(seed), heat=heat, offset_mm=5)
        found = find_instances(seen)
        check(found, low_back)
        assert found.instances[-1].is_sacrum


@pytest.mark.parametrize("heat", [1.0, 0.5, 0.2])
def test_a_poor_network_s_maps_still_give_the_neck(neck, heat):
    for seed in range(2):
        found = find_instances(poor(neck.ideal, np.random.default_rng(seed), heat=heat, offset_mm=3))
        check(found, neck, least_dice=0.6)


@pytest.mark.parametrize("way", [(5, 0, 0), (0, 3, -4), (0, -5, 0)])
def test_offsets_that_are_all_off_by_5_mm_lose_no_vertebra(whole_spine, way):
    seen = whole_spine.ideal
    shifted = replace(seen, offsets=seen.offsets + np.array(way, float)[:, None, None, None])
    check(find_instances(shifted), whole_spine)


@pytest.mark.parametrize("value", [4, 10, 16, 22])
def test_a_missing_peak_is_filled_with_a_low_score_where_there_is_bone(whole_spine, value):
    found = find_instances(without_peak(whole_spine.ideal, whole_spine, value))
    values, errors = names(found, whole_spine)
    assert values == list(whole_spine.centres)
    assert max(errors) < 6
    scores = [one.score for one in vertebrae(found)]
    assert scores[values.index(value)] < 0.31
    assert sorted(scores)[1] > 0.5


def test_a_gap_without_bone_stays_a_gap(low_back):
    seen = without_peak(low_back.ideal, low_back, 22)
    found = find_instances(replace(seen, bone=np.where(low_back.labels == 22, 0, seen.bone)))
    assert names(found, low_back)[0] == [value for value in low_back.centres if value != 22]


@pytest.mark.parametrize(("value", "half"), [(5, 4), (12, 5), (12, 6), (22, 9)])
def test_a_doubled_peak_is_one_vertebra(whole_spine, value, half):
    seen, centre = whole_spine.ideal, whole_spine.centres[value]
    halves = [away_from(seen.grid, centre + [0, 0, up]) for up in (-half, half)]
    two = np.max([np.exp(-(far**2) / (2 * 4.0**2)) for far in halves], axis=0)
    heat = np.where(away_from(seen.grid, centre) < 8, two, np.maximum(seen.heat, two))
    way = np.where(places(seen.grid)[..., 2] > centre[2], half, -half) * (whole_spine.labels == value)
    offsets = seen.offsets + np.stack([0 * way, 0 * way, way])
    check(find_instances(replace(seen, heat=heat, offsets=offsets)), whole_spine)


@pytest.mark.parametrize(("value", "way"), [(24, (55, 0, -30)), (24, (-45, 20, -50)), (23, (60, 10, 0))])
def test_a_pelvis_taken_for_bone_is_no_vertebra(low_back, value, way):
    check(find_instances(with_blob(low_back.ideal, low_back.centres[value] + way, 20, 0.5)), low_back)


@pytest.mark.parametrize("way", [(0, 25, 20), (0, 25, 30), (30, 0, 20)])
def test_a_skull_taken_for_bone_is_no_vertebra(neck, way):
    check(find_instances(with_blob(neck.ideal, neck.centres[1] + way, 14, 0.5)), neck)


def test_a_faint_peak_in_the_sacrum_is_part_of_it(low_back):
    seen = low_back.ideal
    inside = places(seen.grid)[low_back.labels == 26].mean(axis=0)
    heat = np.maximum(seen.heat, 0.3 * np.exp(-(away_from(seen.grid, inside) ** 2) / 72))
    check(find_instances(replace(seen, heat=heat)), low_back)


def test_a_scoliotic_spine_is_followed(whole_spine):
    heights = places(whole_spine.grid)[:, 0, 0, 2]
    sideways = np.rint(8 * np.sin((heights - heights.mean()) / 60)).astype(int)
    bent = whole_spine.with_labels(
        np.stack([np.roll(p, n, axis=1) for p, n in zip(whole_spine.labels, sideways, strict=True)])
    )
    check(find_instances(bent.ideal), bent, least_dice=0.9)


@pytest.mark.parametrize("seed", [4, 11])
def test_sick_spines_are_followed(make_spine, seed):
    spine = make_spine(seed, (12, 24), clean=False)
    check(find_instances(spine.ideal), spine, least_dice=0.85)


def test_a_child_s_spine_needs_no_setting(make_spine):
    spine = make_spine(3, (8, 24), scale=0.6)
    gaps = np.linalg.norm(np.diff(list(spine.centres.values()), axis=0), axis=1)
    assert gaps.min() < 14
    check(find_instances(spine.ideal), spine, least_dice=0.7)


def test_what_the_field_of_view_cuts_is_told(low_back):
    k = int(low_back.grid.to_ijk(low_back.centres[22])[2])
    _, j, i = low_back.grid.shape
    cropped = low_back.cropped((0, i - 1, 0, j - 1, k - 2, low_back.grid.shape[0] - 1))
    found = find_instances(cropped.ideal)
    assert names(found, cropped)[0] == [17, 18, 19, 20, 21, 22]
    assert [one.cut for one in found.instances] == [False] * 5 + [True]
    assert not any(one.is_sacrum for one in found.instances)


def test_the_border_is_that_of_the_image_where_the_maps_reach_beyond_it(low_back):
    k0 = int(low_back.grid.to_ijk(low_back.centres[24])[2])
    k, j, i = low_back.grid.shape
    view = low_back.grid.crop((0, i - 1, 0, j - 1, k0, k - 1))
    fine = Grid((view.shape[0] * 3, view.shape[1] * 3, view.shape[2] * 3), view.ijk_to_ras @ np.diag([1 / 3] * 3 + [1]))
    found = find_instances(low_back.ideal, view=fine)
    cut = [one.cut for one in vertebrae(found)]
    assert cut[-1]
    assert not any(cut[:-2])
    assert not any(one.cut for one in find_instances(low_back.ideal).instances[:-1])


def test_a_mask_lies_where_its_vertebra_lies(low_back):
    found = find_instances(low_back.ideal)
    mask, grid = found.mask_of(3)
    value = names(found, low_back)[0][2]
    true = places(low_back.grid)[low_back.labels == value]
    assert mask.shape == grid.shape
    assert mask.sum() == found.instances[2].voxels
    assert places(grid)[mask].mean(axis=0) == pytest.approx(true.mean(axis=0), abs=1.0)


@pytest.mark.parametrize("number", [-1, 0, 9, 10])
def test_a_mask_of_no_instance_is_refused(low_back, number):
    found = find_instances(without_sacrum(low_back.ideal))
    with pytest.raises(LabelError, match="from 1 to 8"):
        found.mask_of(number)


def without_sacrum(seen):
    levels = seen.levels.copy()
    levels[SACRUM] = -20
    return replace(seen, levels=levels)


def test_a_sacrum_is_named_only_where_the_levels_say_so_and_it_is_large_enough(low_back):
    assert not any(one.is_sacrum for one in find_instances(without_sacrum(low_back.ideal)).instances)
    strict = InstanceSettings(least_sacrum_ml=1000.0)
    assert not any(one.is_sacrum for one in find_instances(low_back.ideal, settings=strict).instances)


def test_each_instance_is_one_piece(low_back):
    found = find_instances(poor(low_back.ideal, np.random.default_rng(0), heat=0.5, offset_mm=5))
    pieces = [ndimage.label(found.map == n, np.ones((3, 3, 3)))[1] for n in range(1, len(found.instances) + 1)]
    assert set(pieces) == {1}


def test_a_single_vertebra_has_no_line(make_spine):
    spine = make_spine(3, (22, 22))
    found = find_instances(spine.ideal)
    assert names(found, spine)[0] == [22]
    assert found.line is None


def test_empty_maps_give_nothing(neck):
    found = find_instances(blank(neck.ideal))
    assert (found.instances, found.line, found.map.max()) == ((), None, 0)
    assert found.map.shape == neck.grid.shape


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("width", [0, 1.5])
def test_pure_noise_gives_nothing(low_back, seed, width):
    rng, shape = np.random.default_rng(seed), low_back.grid.shape
    heat = noise(rng, shape, 0.05, width=width) if width else rng.random(shape)
    bone = 0.5 + noise(rng, shape, 0.25, width=width)
    offsets = noise(rng, (3, *shape), 10, width=width)
    seen = replace(low_back.ideal, bone=np.clip(bone, 0, 1), heat=np.clip(heat, 0, 1), offsets=offsets)
    assert find_instances(seen).instances == ()


def test_bone_that_agrees_upon_no_centre_is_no_spine(neck):
    seen = neck.ideal
    assert find_instances(replace(seen, heat=0 * seen.heat, offsets=0 * seen.offsets)).instances == ()


def test_heat_without_bone_is_no_spine(neck):
    assert find_instances(replace(neck.ideal, bone=0 * neck.ideal.bone)).instances == ()
