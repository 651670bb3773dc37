"""What the localiser is taught, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.localiser.config import TINY
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.training.localiser_patches import WindowSampler
from SAMSpineLib.training.localiser_targets import IGNORED, localiser_target, vertebra_centre
from SAMSpineLib.training.localiser_task import LocaliserTask
from SAMSpineLib.training.loop import train
from SAMSpineLib.training.recipes import RECIPES
from SAMSpineLib.volume import Grid

SMOKE = RECIPES["localiser-smoke"]
GRID = Grid.centred_on((5.0, -7.0, 30.0), shape=(24, 20, 16), spacing=3.0)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 3.0)])
def test_the_centre_of_a_body_with_a_long_process_lies_in_the_body(spacing):
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in (40, 90, 120)), indexing="ij")[::-1], axis=-1)
    mm = ijk * spacing - np.array([60, 30, 20]) * spacing
    body = np.linalg.norm(mm, axis=-1) < 14
    process = (np.abs(mm[..., 0]) < 3) & (np.abs(mm[..., 2]) < 4) & (mm[..., 1] > 0) & (mm[..., 1] < 40)
    found = vertebra_centre(body | process, spacing)
    assert np.abs((found - [60, 30, 20]) * spacing).max() < 2.5
    alone = vertebra_centre(process & ~body, spacing)
    assert np.abs((alone - [60, 30, 20]) * spacing)[1] > 14


def _two_levels():
    labels = np.zeros(GRID.shape, np.int16)
    labels[4:9, 5:12, 4:11], labels[13:18, 5:12, 4:11], labels[20:24] = 24, 25, 26
    return labels, {24: GRID.to_ras([7, 8, 6]), 25: GRID.to_ras([7, 8, 15])}


def test_every_voxel_of_a_vertebra_is_told_the_way_to_its_own_centre():
    labels, centres = _two_levels()
    target = localiser_target(labels, GRID, centres)
    assert np.array_equal(target.bone, labels > 0)
    assert np.array_equal(target.vertebrae, (labels == 24) | (labels == 25))
    for value, centre in centres.items():
        kji = np.argwhere(labels == value)
        arrival = GRID.to_ras(kji[:, ::-1]) + target.offsets[:, labels == value].T
        assert np.allclose(arrival, centre, atol=1e-3)
        assert target.heat[tuple(np.round(GRID.to_ijk(centre)).astype(int)[::-1])] == pytest.approx(1)
    assert np.abs(target.offsets[:, ~target.vertebrae]).max() == 0


def test_variants_are_taught_as_the_level_they_look_like_and_the_rest_is_ignored():
    labels, centres = _two_levels()
    levels = localiser_target(labels, GRID, centres).levels
    half = labels[::2, ::2, ::2]
    assert set(levels[half == 25]) == set(levels[half == 24]) == {LEVEL_VALUES.index(24)}
    assert set(levels[half == 26]) == {LEVEL_VALUES.index(26)}
    assert set(levels[half == 0]) == {IGNORED}


def test_windows_show_image_and_target_at_the_same_place(case):
    sampler, rng = WindowSampler([case], TINY), np.random.default_rng(4)
    bright, seen = [], 0
    for _ in range(30):
        image, target = sampler.draw(rng)
        assert image.shape == target.bone.shape == TINY.window
        assert image.min() >= -1
        assert image.max() <= 1
        if target.bone.sum() > 20:
            seen += 1
            bright.append(image[target.bone].mean() - image[~target.bone].mean())
    assert seen > 15
    assert np.median(bright) > 0.2


def test_ribs_are_taught_where_they_are_labelled_and_nowhere_else(case):
    """An organ stands for the ribs, which this low back has none of."""
    rng, organ = np.random.default_rng(4), max(one.value for one in case.structures)
    targets = [WindowSampler([replace(case, ribs=(organ,))], TINY).draw(rng)[1] for _ in range(10)]
    assert any(target.ribs.any() for target in targets)
    assert not any((target.ribs & target.bone).any() for target in targets)
    unlabelled = WindowSampler([replace(case, ribs=())], TINY).draw(rng)[1]
    assert unlabelled.ribs is None
    task = LocaliserTask(SMOKE, [replace(case, ribs=())])
    _, figures = task.loss(task.network(), rng, torch.device("cpu"))
    assert np.isnan(figures[task.figures.index("rib_dice")])


def test_one_part_can_be_taught_alone_from_weights_that_lack_it(case, tmp_path):
    first = load_file(train(replace(SMOKE, steps=2), [case], tmp_path / "a"))
    without = tmp_path / "without.safetensors"
    save_file({name: value for name, value in first.items() if not name.startswith("ribs.")}, without)
    with pytest.raises(ModelError, match=r"ribs\."):
        train(replace(SMOKE, steps=2), [case], tmp_path / "b", start=without)
    second = load_file(train(replace(SMOKE, steps=4, only="ribs"), [case], tmp_path / "c", start=without))
    assert second.keys() == first.keys()
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert changed
    assert all(name.startswith("ribs.") for name in changed)


def test_a_part_that_the_network_does_not_have_is_refused(case, tmp_path):
    with pytest.raises(ModelError, match="no part 'rib', it has: encoder"):
        train(replace(SMOKE, steps=2, only="rib"), [case], tmp_path)


def test_the_localiser_learns_on_one_case_and_repeats_itself(case, tmp_path):
    figures = []
    recipe = replace(SMOKE, steps=40, learning_rate=4e-3)
    weights = train(recipe, [case], tmp_path / "a", progress=lambda done, total, seen: figures.append(seen))
    losses = [one["loss"] for one in figures]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    again = train(recipe, [case], tmp_path / "b")
    assert weights.read_bytes() == again.read_bytes()
