"""Autonomous mode on real patients. The thresholds are floors, below what it reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.engine.autonomous.pipeline import NOTHING_FOUND, segment_spine
from SAMSpineLib.engine.autonomous.prompters import centre_prompts, pseudo_masks
from SAMSpineLib.engine.autonomous.survey import survey
from SAMSpineLib.engine.autonomous.track_names import ChainNames
from SAMSpineLib.engine.session import Session
from SAMSpineLib.evaluation.metrics import dice
from SAMSpineLib.evaluation.robot import next_click
from SAMSpineLib.io import read_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.ma_sam.pseudo_masks import LevelProbabilities
from SAMSpineLib.resampling import sample, sample_labels
from SAMSpineLib.volume import Extent, Grid, Volume, slices_of

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

LUMBAR = range(20, 25)


@pytest.fixture(scope="module")
def networks() -> Any:
    """Give the bundled networks, or skip where torch is not installed."""
    pytest.importorskip("torch", reason="needs torch")
    from SAMSpineLib.models.build import build_localiser, build_promptable

    return build_promptable(), build_localiser()


@pytest.fixture(scope="module")
def lumbar(networks: Any, data_dir: Path) -> Any:
    """Give a session after autonomous mode, its result, and an expert's label map."""
    session = Session(networks[0])
    session.set_volume(read_volume(data_dir / "ct/sub-verse014/sub-verse014_ct.nii.gz"))
    result = segment_spine(session, networks[1])
    return session, result, read_volume(data_dir / "ct/sub-verse014/sub-verse014_seg-vert_msk.nii.gz").array


def test_a_lumbar_spine_is_named_as_the_expert_names_it_and_nearly_drawn_so(lumbar: Any) -> None:
    session, result, truth = lumbar
    assert set(LUMBAR) <= {level.value for level in result.levels}
    assert not result.ambiguous
    assert np.mean([dice(truth == value, session.mask(value)) for value in LUMBAR]) > 0.85


def test_one_negative_and_one_positive_click_better_the_worst_vertebra(lumbar: Any) -> None:
    session, _, truth = lumbar
    worst = min(LUMBAR, key=lambda value: dice(truth == value, session.mask(value)))
    wanted, grid, rng = truth == worst, session.volume.grid, np.random.default_rng(0)
    before = found = session.mask(worst) > 0
    session.select(spine_labels().by_value(worst))
    excess = next_click(wanted & found, found, grid, rng=rng)
    assert excess is not None
    session.add(excess)
    found = session.mask(worst) > 0
    missed = next_click(wanted, found & wanted, grid, rng=rng)
    assert missed is not None
    session.add(missed)
    assert (excess.positive, missed.positive) == (False, True)
    assert dice(wanted, session.mask(worst)) > dice(wanted, before)
    session.undo()
    session.undo()
    assert np.array_equal(session.mask(worst) > 0, before)


def test_ma_sam_betters_the_coarse_masks_that_it_is_told(networks: Any, lumbar: Any) -> None:
    from SAMSpineLib.models.build import build_segmenter

    session, _, truth = lumbar
    volume = session.volume
    said = pseudo_masks(centre_prompts(survey(volume, networks[1])))
    found = build_segmenter("ma-sam").segment(volume, said).labels
    scores = [dice(truth == value, found == value) for value in LUMBAR]
    coarse = [dice(truth == value, told_of(said, value, volume.grid)) for value in LUMBAR]
    assert np.mean(scores) > max(0.7, np.mean(coarse))


def test_masksam_alone_finds_a_lumbar_spine_roughly_and_its_mask_can_be_corrected(lumbar: Any) -> None:
    from SAMSpineLib.engine.autonomous.whole import place_whole
    from SAMSpineLib.models.build import build_segmenter

    truth = lumbar[2]
    session = Session(lumbar[0].model)
    session.set_volume(lumbar[0].volume)
    whole = build_segmenter("masksam").segment(session.volume, names=ChainNames())
    found = place_whole(session, whole)
    best = [max(dice(truth == value, whole.labels == one.value) for one in found) for value in LUMBAR]
    assert np.mean(best) > 0.5
    value = LUMBAR[int(np.argmax(best))]
    worst = max(found, key=lambda one: dice(truth == value, whole.labels == one.value))
    session.select(worst)
    wanted, before = truth == value, session.result == worst.value
    missed = next_click(wanted, before, session.volume.grid, rng=np.random.default_rng(0))
    assert missed is not None
    session.add(missed)
    assert dice(wanted, session.result == worst.value) > dice(wanted, before)


def told_of(said: LevelProbabilities, value: int, grid: Grid) -> Any:
    """Return where most of what is said of a level is for it."""
    return sample(*said.levels[value], grid, fill=0.0) > 0.5


def test_a_chest_that_no_training_saw_is_counted_right(networks: Any, data_dir: Path) -> None:
    session = Session(networks[0])
    session.set_volume(read_volume(data_dir / "ct/LIDC-IDRI-0001/dicom"))
    result = segment_spine(session, networks[1])
    mask = read_volume(data_dir / "ct/LIDC-IDRI-0001/vertebrae_verse-ids.nii.gz")
    truth = sample_labels(mask.array, mask.grid, session.volume.grid)
    values = [level.value for level in result.levels]
    assert values == list(range(values[0], values[0] + len(values)))
    assert sum(dice(truth == value, result.labels == value) > 0.5 for value in values) >= 15


def cropped(volume: Volume, extent: Extent) -> Volume:
    """Return a part of a volume, where it lies."""
    return Volume.from_array(volume.array[slices_of(extent)], volume.grid.crop(extent).ijk_to_ras)


@pytest.mark.parametrize("extent", [(90, 200, 190, 370, 0, 19), (325, 440, 200, 400, 0, 19)], ids=["right", "left"])
def test_lungs_alone_have_no_vertebra(extent: Extent, networks: Any, data_dir: Path) -> None:
    session = Session(networks[0])
    session.set_volume(cropped(read_volume(data_dir / "ct/ts_dicom20/dicom"), extent))
    result = segment_spine(session, networks[1])
    assert result.message == NOTHING_FOUND
    assert not result.labels.any()
