"""The synthetic spine is what the rest of the tests and the training believe it to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from SAMSpineLib.errors import GeometryError
from SAMSpineLib.training.synthetic import Phantom, PhantomSettings, make_phantom
from SAMSpineLib.training.synthetic.settings import CANAL, CORD

LUMBAR = PhantomSettings(
    spacing=(1.5, 1.5, 1.5), levels=(20, 24), fov=(130.0, 150.0), clean=True, oblique=0.0, adult_scale=1.03
)
RANDOM = PhantomSettings(spacing=(2.5, 2.5, 2.5), max_voxels=300_000)


@pytest.fixture(scope="module")
def small() -> Phantom:
    return make_phantom(1, PhantomSettings.small())


@pytest.fixture(scope="module")
def lumbar() -> Phantom:
    return make_phantom(1, LUMBAR)


def volume_cm3(phantom: Phantom, label: int) -> float:
    return float((phantom.labels.array == label).sum() * phantom.labels.grid.voxel_volume / 1000)


def centre_of(phantom: Phantom, label: int) -> np.ndarray:
    place = np.argwhere(phantom.labels.array == label).mean(axis=0)[::-1]
    return phantom.labels.grid.to_ras(place)


def test_the_same_seed_gives_the_same_bits() -> None:
    first, again = make_phantom(7, RANDOM), make_phantom(7, RANDOM)
    assert np.array_equal(first.image.array, again.image.array)
    assert np.array_equal(first.labels.array, again.labels.array)
    assert np.array_equal(first.image.ijk_to_ras, again.image.ijk_to_ras)
    assert first.pathologies == again.pathologies


def test_another_seed_gives_another_subject() -> None:
    a, b = make_phantom(7, RANDOM), make_phantom(8, RANDOM)
    assert a.image.shape != b.image.shape or not np.array_equal(a.labels.array, b.labels.array)


def test_image_and_labels_lie_on_one_grid_in_the_promised_types(small: Phantom) -> None:
    assert small.image.array.dtype == np.int16
    assert small.labels.array.dtype == np.uint8
    assert small.extras.array.dtype == np.uint8
    assert small.image.modality == "CT"
    assert small.image.grid.same_place(small.labels.grid)
    assert small.image.array.min() >= -1024
    assert small.image.array.max() <= 3071


def test_every_vertebra_in_full_view_is_one_piece(lumbar: Phantom) -> None:
    for label in range(20, 25):
        parts, count = ndimage.label(lumbar.labels.array == label)
        sizes = np.bincount(parts.ravel())[1:]
        assert count >= 1
        assert sizes.max() > 0.99 * sizes.sum(), f"label {label} falls into {count} pieces"


def test_whole_lumbar_vertebrae_have_adult_volumes_growing_downwards(lumbar: Phantom) -> None:
    volumes = [volume_cm3(lumbar, label) for label in range(20, 25)]
    assert all(35 < v < 90 for v in volumes), volumes
    assert 42 < volumes[2] < 80
    assert volumes[0] < volumes[3]


def test_a_lumbar_vertebra_is_as_wide_and_as_deep_as_published(lumbar: Phantom) -> None:
    place = np.argwhere(lumbar.labels.array == 22) * 1.5
    width = np.ptp(place[:, 2])
    depth = np.ptp(place[:, 1])
    assert 75 < width < 100
    assert 70 < depth < 100


def test_levels_stand_in_order_above_each_other(lumbar: Phantom) -> None:
    heights = [centre_of(lumbar, label)[2] for label in range(20, 25)]
    assert all(a - b > 20 for a, b in zip(heights[:-1], heights[1:], strict=True))


def test_a_disc_lies_between_its_vertebrae(lumbar: Phantom) -> None:
    for upper in range(20, 24):
        disc = centre_of(lumbar, 100 + upper)[2]
        assert centre_of(lumbar, upper + 1)[2] < disc < centre_of(lumbar, upper)[2] + 5
        assert 5 < volume_cm3(lumbar, 100 + upper) < 30


def test_the_canal_is_open_from_top_to_bottom(lumbar: Phantom) -> None:
    canal = np.isin(lumbar.labels.array, (CANAL, CORD))
    parts, _ = ndimage.label(canal)
    assert np.bincount(parts.ravel())[1:].max() > 0.99 * canal.sum()
    per_slice = canal.sum(axis=(1, 2)) * 1.5**2
    assert per_slice.min() > 100, "a slice without an open canal"


def test_the_canal_lies_behind_the_body_and_before_the_spinous_process(small: Phantom) -> None:
    bone = np.argwhere(small.labels.array == 22)
    k, j, i = np.round(np.argwhere(small.labels.array == CANAL).mean(axis=0)).astype(int)
    assert i == pytest.approx(bone[:, 2].mean(), abs=3)
    # J grows towards the back in the default orientation LPS.
    assert bone[:, 1].min() + 10 < j < bone[:, 1].max() - 8


def test_bone_is_brighter_than_muscle_is_brighter_than_fat_is_brighter_than_air(small: Phantom) -> None:
    image, labels, extras = small.image.array, small.labels.array, small.extras.array
    bone, disc = image[labels == 22].mean(), image[labels == 122].mean()
    muscle = np.median(image[(extras == 10) & (labels == 0)])
    assert 150 < bone < 600
    assert 30 < muscle < 90 < disc + 30 < bone
    air = make_phantom(2, replace(PhantomSettings.small(), fov=(420.0, 380.0), spacing=(4.0, 4.0, 4.0)))
    assert air.image.array.min() < -900


def test_spongy_bone_is_less_dense_than_its_shell(lumbar: Phantom) -> None:
    bone = lumbar.labels.array == 22
    core = ndimage.binary_erosion(bone, iterations=4)
    assert lumbar.image.array[core].mean() < lumbar.image.array[bone & ~core].mean()


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "SAL"])
def test_any_orientation_shows_the_same_vertebra_at_the_same_place(orientation: str) -> None:
    settings = replace(PhantomSettings.small(), spacing=(3.0, 3.0, 3.0))
    usual, turned = make_phantom(3, settings), make_phantom(3, replace(settings, orientation=orientation))
    assert np.allclose(centre_of(usual, 22), centre_of(turned, 22), atol=1.5)
    assert volume_cm3(usual, 22) == pytest.approx(volume_cm3(turned, 22), rel=0.05)
    directions = turned.image.ijk_to_ras[:3, :3].T
    largest = [int(np.abs(d).argmax()) for d in directions]
    letters = [("RL", "AP", "SI")[n][int(d[n] < 0)] for n, d in zip(largest, directions, strict=True)]
    assert "".join(letters) == orientation


def test_an_impossible_orientation_is_refused() -> None:
    with pytest.raises(GeometryError, match="one letter each"):
        make_phantom(1, replace(PhantomSettings.small(), orientation="RLS"))


def test_levels_that_the_spine_lacks_are_refused() -> None:
    with pytest.raises(GeometryError, match="upper one first"):
        make_phantom(1, replace(PhantomSettings.small(), levels=(23, 21)))


@pytest.mark.parametrize("seed", range(6))
def test_a_random_phantom_keeps_its_size_and_its_labels_in_bounds(seed: int) -> None:
    phantom = make_phantom(seed, RANDOM)
    assert phantom.image.array.size <= RANDOM.max_voxels * 1.1
    labels = set(np.unique(phantom.labels.array).tolist()) - {0}
    assert labels <= {*range(1, 29), *range(102, 129), CANAL, CORD}
    assert len(labels & set(range(1, 26))) >= 3
    assert np.isfinite(phantom.image.array).all()


def _bearers(seed: int) -> set[int]:
    """Return the vertebrae from T10 to L3 that a rib of a person touches or nearly touches."""
    phantom = make_phantom(
        seed, PhantomSettings(spacing=(2.0, 2.0, 2.0), levels=(17, 22), fov=(150.0, 150.0), oblique=0.0, metal=0.0)
    )
    ribs = phantom.extras.array == 1
    labels = phantom.labels.array
    return {
        v for v in (17, 18, 19, 28, 20, 21, 22) if (ndimage.binary_dilation(labels == v, iterations=3) & ribs).any()
    }


def test_the_last_rib_is_that_of_t12_and_few_people_have_one_more() -> None:
    bearers = [_bearers(seed) for seed in range(100, 108)]
    assert all({18, 19} <= one or 19 not in one for one in bearers)
    assert sum(19 in one for one in bearers) >= 6
    assert sum(bool(one & {20, 21, 22}) for one in bearers) <= 1


def test_thoracic_vertebrae_have_ribs_beside_them_that_are_not_labelled_as_vertebrae() -> None:
    phantom = make_phantom(
        4, PhantomSettings(spacing=(2.0, 2.0, 2.0), levels=(12, 15), fov=(150.0, 140.0), clean=True, oblique=0.0)
    )
    ribs = phantom.extras.array == 1
    assert ribs.sum() * 8 / 1000 > 5
    assert not (ribs & (phantom.labels.array > 0) & (phantom.labels.array < 29)).any()
    touching = ndimage.binary_dilation(np.isin(phantom.labels.array, range(12, 16)), iterations=2) & ribs
    assert touching.any(), "no rib comes near its vertebra"


def test_every_level_from_the_atlas_to_the_coccyx_is_there_once() -> None:
    phantom = make_phantom(
        1,
        PhantomSettings(
            spacing=(2.5, 2.5, 2.5), levels=(1, 26), fov=(150.0, 230.0), clean=True, oblique=0.0, max_voxels=10**7
        ),
    )
    present = set(np.unique(phantom.labels.array).tolist())
    assert set(range(1, 25)) | {26, 27} <= present
    assert {*range(102, 125), CANAL, CORD} <= present
