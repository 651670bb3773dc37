"""From a volume and atlases to a label map, in any orientation; what no atlas says is not made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from SAMSpineLib.errors import Cancelled, LabelError, ModelError, VolumeError
from SAMSpineLib.models.build import build_backbone, build_segmenter
from SAMSpineLib.models.ma_sam.config import CONFIGS, MaSamConfig
from SAMSpineLib.models.ma_sam.learnt import MaSamCard, save_ma_sam
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.ma_sam.pseudo_masks import AtlasMaps, LevelProbabilities
from SAMSpineLib.models.ma_sam.segmenter import MaSamSegmenter
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.models.taught_file import TaughtStructure, fingerprint
from SAMSpineLib.volume import Grid, Volume

LAYOUTS = {
    "RAS": np.diag([2.0, 2.0, 3.0]),
    "LPS": np.diag([-2.0, -2.0, 3.0]),
    "sagittal acquisition": np.array([[0, 0, 3.0], [-2.0, 0, 0], [0, -2.0, 0]]),
    "head down": np.diag([2.0, -2.0, -3.0]),
    "oblique": np.array([[2.0, 0, 0], [0, 1.9, -0.8], [0, 0.55, 2.9]]),
}
NAMED = (TaughtStructure(22, "L3"), TaughtStructure(23, "L4"), TaughtStructure(26, "sacrum"))
CONFIG = MaSamConfig(
    classes=4, channels=32, adapter="bottleneck", widths=(4, 6, 8, 12), image_size=64, pixel=1.5, apart=2.0
)


class Repeats(nn.Module):
    """Answer what the prompt says, and keep count."""

    def __init__(self, config: MaSamConfig) -> None:
        super().__init__()
        self.config = config
        self.asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, pictures: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        assert pictures.shape[1:] == prompt.shape[2:] == (64, 64)
        self.asked.append((pictures, prompt))
        return 30 * prompt


def a_volume(layout: str = "RAS", *, height: float = 150.0) -> tuple[Volume, np.ndarray]:
    """Return a tall box with a ball of each structure, one above the other, and its label map."""
    matrix = np.eye(4)
    matrix[:3, :3] = LAYOUTS[layout]
    size = np.abs(np.linalg.inv(LAYOUTS[layout])) @ np.array([80.0, 100.0, height])
    shape = tuple(int(n) for n in size.round()[::-1])
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    grid = Grid(shape, matrix)
    ras = grid.to_ras(np.indices(shape).reshape(3, -1).T[:, ::-1])
    labels = np.zeros(len(ras), np.uint8)
    for value, middle in ((22, [6, 8, 46]), (23, [0, -6, 0]), (26, [-6, 4, -46])):
        labels[np.linalg.norm(ras - middle, axis=1) < 20] = value
    labels = labels.reshape(shape)
    return Volume.from_array(np.where(labels > 0, 700, 30).astype(np.int16), matrix, modality="CT"), labels


def made(sam2: nn.Module, network: nn.Module, config: MaSamConfig = CONFIG) -> MaSamSegmenter:
    card = MaSamCard(NAMED, "small", fingerprint(sam2), config)
    return MaSamSegmenter(network, card, SamPromptable(Sam2Backbone(sam2), name="small"), "mine")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_network_that_repeats_its_prompt_gives_the_label_map_back(sam2, layout):
    """Were slices turned, shifted, or read from the wrong place on their way in or out, this would not hold."""
    volume, labels = a_volume(layout)
    found = made(sam2, Repeats(CONFIG)).segment(volume, AtlasMaps([labels] * 3, volume.grid)).labels
    assert found.shape == labels.shape
    assert set(np.unique(found)) == {0, 22, 23, 26}
    for value in (22, 23, 26):
        mask, truth = found == value, labels == value
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.97


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_picture_shows_bone_where_the_prompt_has_it(sam2, layout):
    volume, labels = a_volume(layout)
    network = Repeats(CONFIG)
    made(sam2, network).segment(volume, AtlasMaps([labels], volume.grid))
    bone = [(picture[0], prompt[0, 1:].sum(dim=0) > 0.5) for picture, prompt in network.asked]
    inside = torch.cat([picture[mask] for picture, mask in bone])
    outside = torch.cat([picture[~mask] for picture, mask in bone])
    assert inside.quantile(0.25) > 150
    assert outside.quantile(0.9) < 90


def test_a_spine_longer_than_a_window_is_seen_in_several(sam2):
    volume, labels = a_volume()
    small, large = Repeats(CONFIG), Repeats(CONFIG)
    made(sam2, small).segment(volume, AtlasMaps([labels], volume.grid))
    made(sam2, large, replace(CONFIG, pixel=6.0)).segment(volume, AtlasMaps([labels], volume.grid))
    assert len(small.asked) > 1.5 * len(large.asked)


def test_slices_and_windows_of_which_nothing_is_said_are_not_looked_at(sam2):
    volume, labels = a_volume()
    labels = np.where(labels == 22, labels, 0)
    network = Repeats(CONFIG)
    assert made(sam2, network).segment(volume, AtlasMaps([labels], volume.grid)).labels.any()
    assert 0 < len(network.asked) <= 22
    assert all(prompt[0, 1:].any() for _, prompt in network.asked)
    silent = Repeats(CONFIG)
    nothing = AtlasMaps([np.zeros_like(labels)], volume.grid)
    assert not made(sam2, silent).segment(volume, nothing).labels.any()
    assert silent.asked == []


def test_neither_order_nor_number_of_atlases_makes_a_difference(sam2, built):
    volume, labels = a_volume()
    atlases = [np.roll(labels, by, axis=0) for by in (-2, 0, 1)]
    segmenter = made(sam2, built(sam2, CONFIG, shaken=True))
    first, turned, twice = (
        segmenter.segment(volume, AtlasMaps(some, volume.grid)).labels for some in (atlases, atlases[::-1], atlases * 2)
    )
    assert np.array_equal(first, turned)
    assert np.mean(first == twice) > 0.999
    assert first.any()


def test_levels_that_no_atlas_shows_are_taken_from_the_coarse_label_map(sam2):
    volume, labels = a_volume()
    known = np.where(labels == 23, 0, labels)
    coarse = np.where(labels == 23, 23, 26 * (labels == 22)).astype(np.uint8)  # of what atlases show it has no say
    found = made(sam2, Repeats(CONFIG)).segment(volume, AtlasMaps([known], volume.grid, coarse)).labels
    assert set(np.unique(found)) == {0, 22, 23, 26}
    for value in (22, 23, 26):
        assert np.mean(found[labels == value] == value) > 0.9


def test_what_the_model_was_not_taught_counts_as_background():
    volume, labels = a_volume()
    other = np.where(labels == 22, 7, labels)
    grid = volume.grid.crop((0, volume.shape[2] - 1, 0, volume.shape[1] - 1, 25, 25))
    prompt = AtlasMaps([other], volume.grid).prompt(grid, (22, 23, 26), 0)
    assert prompt.shape == (4, *volume.shape[1:])
    assert not prompt[1].any()
    np.testing.assert_allclose(prompt.sum(axis=0), 1)


def test_fused_probabilities_prompt_as_well_and_neighbours_share_what_both_claim(sam2):
    volume, labels = a_volume()
    levels = {value: ((labels == value).astype(np.float32), volume.grid) for value in (22, 23, 26)}
    found = made(sam2, Repeats(CONFIG)).segment(volume, LevelProbabilities(levels)).labels
    assert np.mean(found == labels) > 0.98
    grid = volume.grid.crop((0, 3, 0, 3, 0, 0))
    both = {22: (np.full((1, 4, 4), 0.9, np.float32), grid), 23: (np.full((1, 4, 4), 0.3, np.float32), grid)}
    shares = LevelProbabilities(both).prompt(grid, (22, 23, 26), 0)
    np.testing.assert_allclose(shares[:, 0, 0], [0.0, 0.75, 0.25, 0.0], atol=1e-6)
    one = LevelProbabilities({26: both[23]}).prompt(grid, (22, 23, 26), 0)
    np.testing.assert_allclose(one[:, 0, 0], [0.7, 0.0, 0.0, 0.3], atol=1e-6)
    assert not made(sam2, Repeats(CONFIG)).segment(volume, LevelProbabilities({})).labels.any()


def test_the_published_prompt_needs_as_many_atlases_as_it_has_channels(sam2, built):
    volume, labels = a_volume()
    config = replace(CONFIG, atlases=5)
    segmenter = made(sam2, built(sam2, config, shaken=True), config)
    grid = volume.grid.crop((0, volume.shape[2] - 1, 0, volume.shape[1] - 1, 25, 25))
    said = AtlasMaps([labels] * 5, volume.grid)
    assert set(np.unique(said.prompt(grid, (22, 23, 26), 5))) == {0, 2}
    assert segmenter.segment(volume, said).labels.shape == labels.shape
    with pytest.raises(ModelError, match="for 5 atlases, got 4; give it as many"):
        segmenter.segment(volume, AtlasMaps([labels] * 4, volume.grid))
    with pytest.raises(ModelError, match="give it their label maps, not fused ones"):
        segmenter.segment(volume, LevelProbabilities({22: (labels.astype(np.float32), volume.grid)}))


def test_maps_that_are_no_label_maps_of_that_grid_are_refused():
    volume, labels = a_volume()
    with pytest.raises(VolumeError, match="warp them onto that grid"):
        AtlasMaps([labels, labels[1:]], volume.grid)
    with pytest.raises(VolumeError, match="warp them onto that grid"):
        AtlasMaps([], volume.grid, labels)
    with pytest.raises(LabelError, match="whole numbers, got float32; warp them to the nearest voxel"):
        AtlasMaps([labels, labels.astype(np.float32)], volume.grid)


def test_progress_is_told_and_can_end_the_run(sam2):
    volume, labels = a_volume()
    shares: list[float] = []
    whole = Repeats(CONFIG)
    made(sam2, whole).segment(volume, AtlasMaps([labels], volume.grid), progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0

    def stop(share: float) -> None:
        if share > 0.4:
            raise Cancelled(str(share))

    network = Repeats(CONFIG)
    with pytest.raises(Cancelled):
        made(sam2, network).segment(volume, AtlasMaps([labels], volume.grid), progress=stop)
    assert 0 < len(network.asked) < 0.6 * len(whole.asked)


def test_a_model_is_built_on_the_bundled_sam_that_its_card_names(tmp_path):
    config = CONFIGS["ma-sam-smoke"]
    sam = build_backbone("sam-spine-tiny", image_size=config.image_size)
    model = MaSam(config, sam.backbone.network).eval()
    named = tuple(TaughtStructure(40_000 + one, f"part {one}") for one in range(25))
    card = MaSamCard(named, "sam-spine-tiny", fingerprint(sam.backbone.network), config)
    segmenter = build_segmenter("ma-sam", weights=save_ma_sam(tmp_path / "mine.safetensors", model, card))
    assert (segmenter.name, segmenter.card) == ("mine", card)
    assert [one.value for one in segmenter.structures] == list(range(40_000, 40_025))
    assert fingerprint(sam.backbone.network) == fingerprint(build_backbone("sam-spine-tiny").backbone.network)
    short = save_ma_sam(tmp_path / "short.safetensors", model, replace(card, structures=named[:3]))
    with pytest.raises(ModelError, match="tells apart 26 classes, its card names 3 beside background"):
        build_segmenter("ma-sam", weights=short)
