"""Hounsfield units and grey values on their way into a network."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.models.intensity import intensity_window, normalise
from SAMSpineLib.volume import Volume

HU = [-1024, -1000, 0, 40, 90, 300, 1000, 3071]


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_a_full_range_ct_does_not_overflow(dtype):
    """A product in int16 makes 0, 1, 0, 2, 5, 2, 255, 255 of these tissues, as one well-known extension does."""
    grey = (normalise(np.array(HU, dtype), (-1024.0, 3071.0)) + 1) * 127.5
    assert grey.astype(int).tolist() == [0, 1, 63, 66, 69, 82, 126, 255]
    assert grey.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.uint8, np.float16, np.float64])
def test_the_ends_of_the_window_become_minus_one_and_one_for_every_type(dtype):
    seen = normalise(np.array([0, 50, 100, 200, 250], dtype), (50.0, 200.0))
    assert np.allclose(seen, [-1, -1, -1 / 3, 1, 1], atol=1e-6)


def test_what_is_not_finite_does_not_reach_the_network():
    seen = normalise(np.array([np.nan, -np.inf, np.inf, 400.0], np.float32), (-200.0, 1000.0))
    assert seen.tolist() == [-1, -1, 1, 0]
    array = np.linspace(0, 100, 1000, dtype=np.float32).reshape(10, 10, 10)
    whole = intensity_window(Volume.from_array(array, np.eye(4), modality="MR"), (-200.0, 1000.0))
    array[5, 5] = np.nan
    assert np.allclose(intensity_window(Volume.from_array(array, np.eye(4), modality="MR"), (0.0, 1.0)), whole, atol=1)
    array[:] = np.nan
    assert intensity_window(Volume.from_array(array, np.eye(4), modality="MR"), (0.0, 1.0)) == (0.0, 1.0)


def test_more_dense_never_looks_less_dense():
    seen = normalise(np.arange(-1024, 3072, dtype=np.int16), (-200.0, 1000.0))
    assert (np.diff(seen) >= 0).all()
    assert seen.min() == -1
    assert seen.max() == 1


def test_ct_has_the_networks_window_whatever_is_in_it():
    for array in (np.zeros((3, 3, 3), np.int16), np.full((3, 3, 3), 3071, np.int16)):
        assert intensity_window(Volume.from_array(array, np.eye(4)), (-200.0, 1000.0)) == (-200.0, 1000.0)


def _mr(dtype=np.uint16):
    """Give a slab of tissue at 400 in every slice, beside brighter fat in the upper half only."""
    array = np.full((20, 40, 40), 30.0)
    array[:, 10:30, 10:20] = 400
    array[10:, :, 25:] = 1500
    return Volume.from_array(array.astype(dtype), np.eye(4), modality="MR")


def test_the_same_tissue_looks_the_same_in_every_slice_of_an_mr_volume():
    volume = _mr()
    seen = normalise(volume.array, intensity_window(volume, (-200.0, 1000.0)))
    tissue = seen[:, 15, 15]
    assert np.ptp(tissue) == 0
    assert -1 < tissue[0] < 1
    each = [np.percentile(part, [0.5, 99.5]) for part in volume.array]
    assert normalise(volume.array[0], tuple(each[0]))[15, 15] != normalise(volume.array[19], tuple(each[19]))[15, 15]


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64])
def test_an_mr_window_holds_what_is_there_and_ignores_its_scale(dtype):
    volume = _mr(dtype)
    low, high = intensity_window(volume, (-200.0, 1000.0))
    assert (low, high) == (30.0, 1500.0)
    half = Volume.from_array(volume.array / 2, np.eye(4), modality="MR")
    seen = [normalise(v.array, intensity_window(v, (0.0, 1.0))) for v in (volume, half)]
    assert np.allclose(*seen, atol=1e-6)


def test_one_hot_voxel_does_not_darken_the_rest():
    array = np.random.default_rng(1).normal(300, 50, (30, 30, 30)).astype(np.float32)
    before = intensity_window(Volume.from_array(array.copy(), np.eye(4), modality="MR"), (0.0, 1.0))
    array[3, 3, 3] = 1e6
    after = intensity_window(Volume.from_array(array, np.eye(4), modality="MR"), (0.0, 1.0))
    assert np.allclose(before, after, rtol=0.01)


def test_a_large_volume_is_judged_by_samples_spread_over_all_of_it():
    ramp = np.broadcast_to(np.arange(4000, dtype=np.float32)[:, None, None], (4000, 4000, 4000))
    low, high = intensity_window(Volume.from_array(ramp, np.eye(4), modality="MR"), (0.0, 1.0))
    assert low == pytest.approx(20, abs=45)
    assert high == pytest.approx(3980, abs=45)


def test_an_even_volume_has_a_window_too():
    volume = Volume.from_array(np.full((4, 4, 4), 7, np.int16), np.eye(4), modality="MR")
    assert np.isfinite(normalise(volume.array, intensity_window(volume, (0.0, 1.0)))).all()
