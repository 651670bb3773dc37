"""The model as the engine sees it: millimetres in, probabilities out."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.models.protocols import Promptable
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Scribble
from SAMSpineLib.volume import Grid, Volume

HERE = Point((0.0, 0.0, 0.0))


def _answer(model, volume, *prompts, **options):
    encoded = model.encode(volume, model.grid_at((0.0, 0.0, 0.0)))
    return model.decode(encoded, prompts, **options)


def test_it_keeps_the_protocol(tiny):
    assert isinstance(tiny, Promptable)


def test_the_same_prompts_give_the_same_bits_twice(tiny, bone):
    first, second = (_answer(tiny, bone, HERE, Box((-20, -20, -20), (20, 20, 20))) for _ in range(2))
    assert np.array_equal(first.probability, second.probability)
    assert first.quality == second.quality


def test_an_answer_is_a_probability_with_a_quality(tiny, bone):
    answer = _answer(tiny, bone, HERE)
    assert answer.probability.shape == (24, 24, 24)
    assert answer.probability.dtype == np.float32
    assert answer.probability.min() >= 0
    assert answer.probability.max() <= 1
    assert 0 <= answer.quality <= 1


@pytest.mark.parametrize(
    "more",
    [
        Point((12.0, 0.0, 0.0)),
        Point((12.0, 0.0, 0.0), positive=False),
        Box((-20, -20, -20), (20, 20, 20)),
        Scribble(((-8, 0, 0), (8, 8, 0))),
        Lasso(((-20, -20, 0), (20, -20, 0), (0, 20, 0)), positive=False),
        MaskPrompt(np.ones((10, 10, 10), bool), Grid.centred_on((0, 0, 0), shape=(10, 10, 10), spacing=3.0)),
    ],
    ids=lambda prompt: type(prompt).__name__,
)
def test_every_kind_of_prompt_changes_the_answer(tiny, bone, more):
    without, given = _answer(tiny, bone, HERE), _answer(tiny, bone, HERE, more)
    assert np.abs(given.probability - without.probability).max() > 1e-4


def test_prompts_outside_the_patch_change_nothing(tiny, bone):
    far = [Point((500.0, 0, 0)), Point((0, -300.0, 0), positive=False), Scribble(((200, 0, 0), (300, 0, 0)))]
    far.append(Box((100, 100, 100), (120, 120, 120)))
    assert np.array_equal(_answer(tiny, bone, HERE, *far).probability, _answer(tiny, bone, HERE).probability)


def test_the_previous_answer_and_the_chain_change_the_answer(tiny, bone):
    first = _answer(tiny, bone, HERE)
    again = _answer(tiny, bone, HERE, previous=first.probability)
    chain = _answer(tiny, bone, HERE, chain=True)
    assert np.abs(again.probability - first.probability).max() > 1e-4
    assert np.abs(chain.probability - first.probability).max() > 1e-4


def test_a_second_prompt_costs_the_decoder_alone(tiny, bone):
    seen = []
    tiny.network.encoder.register_forward_hook(lambda *_: seen.append("encoder"))
    tiny.network.decoder.register_forward_hook(lambda *_: seen.append("decoder"))
    encoded = tiny.encode(bone, tiny.grid_at((0.0, 0.0, 0.0)))
    for x in (0.0, 3.0, 6.0):
        tiny.decode(encoded, [Point((x, 0.0, 0.0))])
    assert seen == ["encoder", "decoder", "decoder", "decoder"]


def test_decoding_leaves_the_encoded_patch_as_it_was(tiny, bone):
    encoded = tiny.encode(bone, tiny.grid_at((0.0, 0.0, 0.0)))
    before = [tensor.clone() for tensor in encoded.pyramid]
    first = tiny.decode(encoded, [HERE]).probability
    tiny.decode(encoded, [Point((9.0, 9.0, 9.0)), Box((-9, -9, -9), (9, 9, 9))])
    assert all((a == b).all() for a, b in zip(encoded.pyramid, before, strict=True))
    assert np.array_equal(tiny.decode(encoded, [HERE]).probability, first)


def test_an_encoded_patch_tells_what_it_weighs(tiny, bone):
    encoded = tiny.encode(bone, tiny.grid_at((0.0, 0.0, 0.0)))
    voxels = [24**3, 4 * 24**3, 8 * 12**3, 8 * 6**3]
    assert encoded.nbytes == 4 * sum(voxels)
    assert encoded.grid.shape == (24, 24, 24)


def test_patches_lie_on_one_lattice_around_where_they_are_asked_for(tiny):
    for place in np.random.default_rng(1).uniform(-400, 400, (50, 3)):
        grid = tiny.grid_at(tuple(place))
        assert np.allclose(grid.spacing, 4.0)
        assert np.allclose(grid.to_ras([0, 0, 0]) / 4.0 % 1.0 % 1.0, 0.0)
        middle = np.array(grid.shape) // 2
        assert np.abs(grid.to_ijk(place) - middle).max() <= 0.5 + 1e-9


def test_the_network_sees_the_patients_tissue_in_the_patients_place(tiny, bone):
    grid = tiny.grid_at((10.0, -6.0, 4.0))
    seen = tiny.encode(bone, grid).image[0, 0].numpy()
    low, high = tiny.config.window
    assert seen[grid.voxel_at((0.0, 0.0, 0.0))] == pytest.approx(2 * (600 - low) / (high - low) - 1, abs=1e-3)
    assert seen[grid.voxel_at((40.0, 0.0, 0.0))] == pytest.approx(2 * (40 - low) / (high - low) - 1, abs=1e-3)


def test_a_hole_of_nan_in_a_viewers_volume_leaves_an_answer_everywhere(tiny, bone):
    array = bone.array.astype(np.float32)
    array[array.shape[0] // 2] = np.nan
    answer = _answer(tiny, Volume(array, bone.grid), HERE)
    assert np.isfinite(answer.probability).all()


def test_beyond_the_scan_lies_air(tiny, bone):
    seen = tiny.encode(bone, tiny.grid_at((300.0, 0.0, 0.0))).image
    assert (seen == -1).all()


def test_beyond_an_mr_scan_lies_its_darkest(tiny, bone):
    mr = Volume(bone.array, bone.grid, modality="MR")
    seen = tiny.encode(mr, tiny.grid_at((300.0, 0.0, 0.0))).image
    assert (seen == -1).all()
    inside = tiny.encode(mr, tiny.grid_at((0.0, 0.0, 0.0))).image
    assert inside.max() == pytest.approx(1, abs=1e-3)


def test_the_axes_of_the_volume_make_no_difference(tiny, bone):
    """Flip and permute the voxels, and the matrix with them: the same patient, so the same answer."""
    k, j, i = bone.shape
    matrix = bone.ijk_to_ras @ np.array([[0, -1, 0, i - 1], [1, 0, 0, 0], [0, 0, -1.0, k - 1], [0, 0, 0, 1]])
    turned = Volume.from_array(np.ascontiguousarray(bone.array[::-1, :, ::-1].transpose(0, 2, 1)), matrix)
    lopsided = [Point((8.0, -4.0, 2.0)), Point((-20.0, 10.0, 16.0), positive=False)]
    first, second = (_answer(tiny, volume, *lopsided).probability for volume in (bone, turned))
    assert np.allclose(first, second, atol=1e-4)


def test_suggesting_a_click_uses_both_patches_and_the_mask(tiny, bone):
    here, there = (tiny.encode(bone, tiny.grid_at(place)) for place in ((0.0, 0, 0), (48.0, 0, 0)))
    mask = np.zeros((24, 24, 24), bool)
    empty = tiny.suggest(here, mask, there)
    mask[8:16, 8:16, 8:] = True
    heat = tiny.suggest(here, mask, there)
    assert heat.shape == (24, 24, 24)
    assert heat.dtype == np.float32
    assert not np.allclose(heat, empty)
    assert not np.allclose(heat, tiny.suggest(there, mask, here))


def test_a_patch_of_another_network_is_refused(tiny):
    class Foreign:
        grid, nbytes = Grid((2, 2, 2), np.eye(4)), 0

    with pytest.raises(TypeError, match="Foreign"):
        tiny.decode(Foreign(), [HERE])
