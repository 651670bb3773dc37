"""The same patient, stored in any way, gives the same mask in the same place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Grid, Volume

L3 = spine_labels().by_name("L3")
CENTRE = np.array([-31.0, 12.0, 101.0])
SIDES_MM = np.array([80.0, 72.0, 64.0])
RADII = (17.0, 12.0, 9.0)


def turns():
    signs = itertools.product((1.0, -1.0), repeat=3)
    return [np.eye(3)[:, list(order)] * np.array(s) for order, s in itertools.product([(0, 1, 2), (2, 0, 1)], signs)]


def tilt():
    a, b = np.radians(20.0), np.radians(35.0)
    about_s = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return about_s @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])


def stored(axes, spacing=(0.9, 1.3, 2.5)):
    """Return a volume around CENTRE whose I, J, K run along the columns of `axes` (RAS)."""
    spacing = np.asarray(spacing)
    sizes = np.round((np.abs(axes).T @ SIDES_MM) / spacing).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ ((sizes - 1) / 2)
    return Volume.from_array(np.zeros(tuple(sizes[::-1]), np.int16), matrix)


def segmented(open_session, fake, shapes, volume):
    session = open_session(fake([shapes["ellipsoid"](CENTRE, RADII)]), volume=volume)
    session.select(L3)
    session.add(Point(tuple(CENTRE + [6.0, -3.0, 2.0])))
    session.add(Point(tuple(CENTRE + [-9.0, 1.0, -1.0])))
    return session.mask(L3.value)


@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("number", range(16))
def test_orientation_flips_origin_and_anisotropy_are_respected(
    open_session, fake, shapes, voxel_places, number, tilted
):
    volume = stored((tilt() if tilted else np.eye(3)) @ turns()[number])
    found = segmented(open_session, fake, shapes, volume) > 0
    truth = shapes["ellipsoid"](CENTRE, RADII)(voxel_places(volume.grid)) < 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93
    centre = volume.grid.to_ras(np.argwhere(found)[:, ::-1]).mean(axis=0)
    assert np.abs(centre - CENTRE).max() < 0.35
    assert found.sum() * volume.grid.voxel_volume == pytest.approx(4 / 3 * np.pi * np.prod(RADII), rel=0.06)


@pytest.mark.parametrize("number", range(1, 16))
def test_the_order_in_which_voxels_are_stored_changes_no_voxel_of_the_mask(open_session, fake, shapes, number):
    spacing = np.array([1.0, 1.4, 2.2])
    turn = turns()[number]
    plain = segmented(open_session, fake, shapes, stored(np.eye(3), spacing))
    other = stored(turn, np.abs(turn).T @ spacing)
    found = segmented(open_session, fake, shapes, other)
    back = found.transpose([2 - int(np.argmax(np.abs(turn[2 - axis]))) for axis in range(3)])
    signs = [turn[2 - axis].sum() for axis in range(3)]
    back = back[tuple(slice(None, None, int(s)) for s in signs)]
    assert back.shape == plain.shape
    assert np.mean(back != plain) < 1e-4


@pytest.mark.parametrize("spacing", [(0.4, 0.4, 0.4), (0.7, 0.7, 5.0), (4.0, 4.0, 1.0)])
def test_the_volume_of_the_mask_does_not_depend_on_the_voxel_size(open_session, fake, shapes, spacing):
    volume = stored(np.eye(3), spacing)
    size = segmented(open_session, fake, shapes, volume).sum() * volume.grid.voxel_volume
    assert size == pytest.approx(4 / 3 * np.pi * np.prod(RADII), rel=0.1)


def test_a_structure_at_the_volumes_edge_is_cut_there_and_never_wraps(open_session, fake, shapes):
    volume = stored(np.eye(3))
    corner = volume.grid.to_ras((0.0, 0.0, 0.0))
    session = open_session(fake([shapes["ball"](corner, 12.0)]), volume=volume)
    session.select(L3)
    session.add(Point(tuple(corner + 1.0)))
    mask = session.mask(L3.value)
    assert mask.sum() * volume.grid.voxel_volume == pytest.approx(4 / 3 * np.pi * 12**3 / 8, rel=0.35)
    assert not mask[:, :, -5:].any()
    assert not mask[:, -5:].any()
    assert not mask[-5:].any()


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_no_voxel_stays_behind_when_a_prompt_goes_whatever_the_threshold(open_session, fake, threshold):
    """An answer that fills its patch is painted to the patch's very border, and must be found again there."""
    volume = stored(tilt())
    session = open_session(fake(patch=10, radius=60.0), volume=volume, threshold=threshold, max_patches=1)
    session.select(L3)
    session.add(Point(tuple(CENTRE)))
    assert session.mask(L3.value).any()
    session.remove(Point(tuple(CENTRE)))
    assert not session.result.any()


def test_earlier_voxels_between_oblique_patches_stay(open_session, fake):
    """The patch's bounding box in a tilted volume is larger than the patch: its corners belong to nobody."""
    volume = stored(tilt())
    earlier = np.full(volume.shape, L3.value, np.uint16)
    session = open_session(fake(patch=12, spacing=2.0), volume=volume, labels=earlier, max_patches=1)
    session.select(L3)
    update = session.add(Point(tuple(CENTRE), positive=False))
    ijk = np.argwhere(session.result == 0)[:, ::-1]
    assert len(ijk) > 0
    patch: Grid = update.visited[0]
    inside = patch.to_ijk(volume.grid.to_ras(ijk))
    assert (inside > -0.51).all()
    assert (inside < 11.51).all()
