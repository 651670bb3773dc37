"""From a volume to a label map and to prompts, in any orientation; where nothing is seen, nothing comes out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from SAMSpineLib.errors import Cancelled, ModelError
from SAMSpineLib.models.masksam.config import MaskSamConfig
from SAMSpineLib.models.masksam.learnt import MaskSamCard
from SAMSpineLib.models.masksam.network import StackAnswer
from SAMSpineLib.models.masksam.prompt_generator import StackPrompts
from SAMSpineLib.models.masksam.prompter import MaskSamPrompter
from SAMSpineLib.models.protocols import Prompter
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.models.sam.sam_backbone import SamBackbone
from SAMSpineLib.models.taught_file import TaughtStructure, fingerprint
from SAMSpineLib.prompts import MaskPrompt, Point
from SAMSpineLib.volume import Volume

LAYOUTS = {
    "RAS": np.diag([2.0, 2.0, 3.0]),
    "LPS": np.diag([-2.0, -2.0, 3.0]),
    "sagittal acquisition": np.array([[0, 0, 3.0], [-2.0, 0, 0], [0, -2.0, 0]]),
    "head down": np.diag([2.0, -2.0, -3.0]),
}
NAMED = (TaughtStructure(20, "L1"), TaughtStructure(26, "sacrum"))
CONFIG = MaskSamConfig(classes=2, queries=2, channels=32, image_size=64, depth=4, apart=4.0)


class SeesBrightness(nn.Module):
    """Take what is bright for the first class, what is dark for the second, or all of it for nothing.

    In doubt it takes all for either class, a little rather for the first.
    """

    def __init__(self, *, blind: bool = False, doubtful: bool = False) -> None:
        super().__init__()
        self.sam = SimpleNamespace(image_size=64)
        self.blind, self.doubtful = blind, doubtful
        self.depths: list[int] = []

    def forward(self, pictures: torch.Tensor) -> StackAnswer:
        self.depths.append(pictures.shape[1])
        assert pictures.shape[2:] == (64, 64)
        grey = F.avg_pool2d(pictures, 4)
        masks = torch.stack([grey - 191, 64 - grey], dim=1)
        kinds = torch.full((len(pictures), 2, 3), -30.0)
        for query in range(2):
            kinds[:, query, 2 if self.blind else query] = 30.0
        if self.doubtful:
            kinds[..., :2] = torch.tensor([30.0, 29.9])
        return StackAnswer(kinds, masks, StackPrompts(masks, torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 32)))


def a_volume(layout: str = "RAS") -> tuple[Volume, np.ndarray]:
    """Return a tall box with a bright ball and, lower, a dark one, and their truth."""
    matrix = np.eye(4)
    matrix[:3, :3] = LAYOUTS[layout]
    shape = tuple(
        int(n) for n in (np.abs(np.linalg.inv(LAYOUTS[layout])) @ np.array([80.0, 100.0, 150.0])).round()[::-1]
    )
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    volume = Volume.from_array(np.zeros(shape, np.int16), matrix)
    kji = np.indices(shape).reshape(3, -1).T
    ras = volume.grid.to_ras(kji[:, ::-1])
    truth = np.zeros(len(kji), np.uint8)
    truth[np.linalg.norm(ras - [6, 10, 30], axis=1) < 25] = 20
    truth[np.linalg.norm(ras - [-6, -10, -35], axis=1) < 25] = 26
    image = np.choose(np.searchsorted([0, 20, 26], truth), [400, 1000, -200]).astype(np.int16)
    return Volume.from_array(image.reshape(shape), matrix, modality="CT"), truth.reshape(shape)


@pytest.fixture
def made(backbone):
    """Give a prompter that sees brightness, with a SAM of either kind."""
    kind = Sam2Backbone if hasattr(backbone, "sam_mask_decoder") else SamBackbone
    sam = SamPromptable(kind(backbone), name="small")
    card = MaskSamCard(NAMED, "small", fingerprint(backbone), CONFIG)

    def make(**how: bool) -> MaskSamPrompter:
        return MaskSamPrompter(SeesBrightness(**how), card, sam, "mine")

    return make


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_seen_is_found_where_it_lies_however_the_voxels_are_stored(made, layout):
    volume, truth = a_volume(layout)
    found = made().segment(volume).labels
    assert found.shape == truth.shape
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, 20, 26}
    for value in (20, 26):
        overlap = ((found == value) & (truth == value)).sum()
        assert 2 * overlap / ((found == value).sum() + (truth == value).sum()) > 0.85, value


def test_where_every_query_sees_no_object_nothing_is_found(made):
    volume, _ = a_volume()
    blind = made(blind=True)
    assert not blind.segment(volume).labels.any()
    assert blind.prompt(volume) == {}


def test_what_may_be_one_or_the_other_is_found_under_the_likelier_name(made):
    volume, truth = a_volume()
    found = made(doubtful=True).segment(volume)
    assert set(np.unique(found.labels)) == {0, 20}
    overlap = ((found.labels > 0) & (truth > 0)).sum()
    assert 2 * overlap / ((found.labels > 0).sum() + (truth > 0).sum()) > 0.85
    assert found.quality[20] == pytest.approx(0.6, abs=0.1)


def test_everything_that_is_found_has_a_mask_and_a_click_within_it(made):
    volume, truth = a_volume("LPS")
    prompter = made()
    assert isinstance(prompter, Prompter)
    prompts = prompter.prompt(volume)
    labels = prompter.segment(volume).labels
    assert list(prompts) == [20, 26]
    for value, (mask, click) in prompts.items():
        assert isinstance(mask, MaskPrompt)
        assert isinstance(click, Point)
        assert mask.mask.sum() == (labels == value).sum()
        assert truth[volume.grid.voxel_at(np.array(click.ras))] == value


def test_a_volume_is_looked_at_in_windows_of_slices_some_millimetres_apart(made):
    volume, _ = a_volume()
    prompter, told = made(), []
    prompter.segment(volume, progress=told.append)
    assert prompter._network.depths == [4] * 9  # 80 mm are 20 slices 4 mm apart
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


def test_a_single_slice_is_a_stack_of_one(made):
    volume = Volume.from_array(np.full((40, 50, 1), 400, np.int16), np.diag([4.0, 2.0, 2.0, 1.0]), modality="CT")
    prompter = made()
    assert not prompter.segment(volume).labels.any()
    assert prompter._network.depths == [1]


def test_a_run_can_be_ended(made):
    volume, _ = a_volume()

    def stop(share: float) -> None:
        if share > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        made().segment(volume, progress=stop)


def test_a_sam_for_images_of_another_size_is_refused(sam2):
    sam = SamPromptable(Sam2Backbone(sam2), name="small")
    network = SeesBrightness()
    network.sam.image_size = 128
    with pytest.raises(ModelError, match="128 pixels"):
        MaskSamPrompter(network, MaskSamCard(NAMED, "small", "", CONFIG), sam, "mine")
