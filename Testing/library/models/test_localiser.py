"""The localiser: the sizes of its maps, where they lie, and what a window sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.build import build_localiser
from SAMSpineLib.models.localiser.config import CONFIGS, SMALL, TINY
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.models.localiser.localiser import VolumeLocaliser
from SAMSpineLib.models.localiser.network import OFFSET_UNIT_MM, Localiser, LocaliserMaps
from SAMSpineLib.models.weights import save_weights
from SAMSpineLib.volume import Volume

OBLIQUE = np.array([[0.0, -1.2, 0.3, 30.0], [1.1, 0.0, 0.0, -90.0], [0.2, 0.3, 2.4, 12.0], [0, 0, 0, 1.0]])


class Intensity(torch.nn.Module):
    """Stands for the network: its maps are the intensities themselves."""

    config = TINY

    def forward(self, image):
        halves = image[..., ::2, ::2, ::2]
        offsets, levels = image.repeat(1, 3, 1, 1, 1), halves.repeat(1, 25, 1, 1, 1)
        return LocaliserMaps(image.clone(), image.clone(), offsets, image.clone(), levels)


@pytest.fixture(scope="module")
def volume():
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in (70, 80, 90)), indexing="ij")[::-1], axis=-1)
    ras = ijk @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]
    return Volume.from_array((ras[..., 0] * 3 + ras[..., 2]).astype(np.int16), OBLIQUE)


@pytest.mark.parametrize("name", CONFIGS)
def test_maps_have_the_size_of_the_window_and_levels_half_of_it(name):
    config = CONFIGS[name]
    maps = Localiser(config)(torch.zeros(1, 1, *config.window))
    assert maps.bone.shape == maps.heat.shape == maps.ribs.shape == (1, 1, *config.window)
    assert maps.offsets.shape == (1, 3, *config.window)
    assert maps.levels.shape == (1, len(LEVEL_VALUES), *(n // 2 for n in config.window))


def test_the_small_size_stays_small():
    assert sum(p.numel() for p in Localiser(SMALL).parameters()) < 4e6


def test_every_map_lies_where_its_voxels_were_read(volume):
    """Intensity is a plane in R and S: wherever a map's voxel lies, it must show that plane there."""
    found = VolumeLocaliser(Intensity(), name="intensity").localise(volume)
    k, j, i = np.meshgrid(*(np.arange(n) for n in found.grid.shape), indexing="ij")
    ras = found.grid.to_ras(np.stack([i, j, k], axis=-1))
    ijk = volume.grid.to_ijk(ras)
    inside = ((ijk > 3) & (ijk < np.array(volume.shape[::-1]) - 4)).all(axis=-1)
    expected = (np.clip(3 * ras[..., 0] + ras[..., 2], *TINY.hounsfield) + 200) / 600 - 1
    assert inside.sum() > 1000
    assert np.abs(found.heat - expected)[inside].max() < 0.03
    assert np.allclose(found.offsets[1], OFFSET_UNIT_MM * found.heat, atol=1e-4)
    assert np.allclose(found.ribs, found.bone)
    assert np.allclose(found.level_grid.to_ras([3, 4, 5]), found.grid.to_ras([6, 8, 10]))
    assert np.allclose(np.exp(found.levels).sum(axis=0), 1, atol=1e-4)
    low, high = found.grid.corners().min(axis=0), found.grid.corners().max(axis=0)
    assert (low <= volume.grid.corners().min(axis=0) + 1e-6).all()
    assert (high >= volume.grid.corners().max(axis=0) - 1e-6).all()


def test_progress_ends_at_one_and_what_it_raises_ends_the_run(volume):
    localiser, told = VolumeLocaliser(Intensity(), name="intensity"), []
    localiser.localise(volume, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) == len(set(told)) > 1

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        localiser.localise(volume, progress=stop)


def test_a_volume_smaller_than_a_window_is_seen_whole():
    tiny = Volume.from_array(np.full((5, 6, 7), 400, np.int16), np.diag([6.0, 6.0, 6.0, 1.0]))
    found = VolumeLocaliser(Intensity(), name="intensity").localise(tiny)
    assert (found.heat > -0.5).sum() >= tiny.array.size * 0.5


def test_a_localiser_is_built_from_weights_and_refuses_those_of_another_network(tmp_path):
    torch.manual_seed(3)
    path = save_weights(tmp_path / "tiny.safetensors", Localiser(TINY), {})
    built = build_localiser("localiser-tiny", weights=path)
    assert built.config is TINY
    with pytest.raises(ModelError, match="belong to another network"):
        build_localiser("localiser-small", weights=path)
    with pytest.raises(ModelError, match="choose one of: localiser-small"):
        build_localiser("nobody")
