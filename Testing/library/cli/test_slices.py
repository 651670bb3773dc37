"""Checkpoints of others, from the file to a segmentation: SAM and SAM 2 wherever `--model` is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from SAMSpineLib.io import read_segmentation, write_segmentation, write_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Volume

from .conftest import IN_L3

L3 = spine_labels().by_name("L3").value


@pytest.fixture
def small_sam2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give weights at random for a SAM 2.1 that is much smaller than any, and let it be the tiny one."""
    from SAMSpineLib.models.sam.config import SAM2_CONFIGS, Sam2Config
    from SAMSpineLib.models.sam.networks import build_sam2
    from SAMSpineLib.models.weights import save_weights

    small = Sam2Config(
        16, 1, (1, 1, 3, 1), (3,), image_size=64, channels=32, memory_channels=16, memory_layers=1, memory_hidden=32
    )
    monkeypatch.setitem(SAM2_CONFIGS, "sam2.1-tiny", small)
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return save_weights(tmp_path / "small.safetensors", build_sam2(small), {})


@pytest.fixture
def block(tmp_path: Path) -> Path:
    """Give an image of 6 x 10 x 12 mm on disk."""
    array = np.random.default_rng(0).integers(-500, 1200, (6, 10, 12)).astype(np.int16)
    write_volume(tmp_path / "block.nii.gz", Volume.from_array(array, np.eye(4)))
    return tmp_path / "block.nii.gz"


def marked(path: Path) -> np.ndarray:
    found = read_segmentation(path, spine_labels())
    return np.argwhere(found.labels == L3)


@pytest.mark.parametrize("direction", [None, "sagittal"])
def test_a_click_in_one_slice_is_followed_through_the_stack(
    direction: str | None, samspine: Any, block: Path, tmp_path: Path, small_sam2: Path
) -> None:
    words = (
        "segment",
        block,
        tmp_path / "out.nrrd",
        "--click",
        "L3:+:6,5,3",
        "--model",
        "sam2.1-tiny",
        "--weights",
        small_sam2,
        "--json",
    )
    ended = samspine(*words, *(("--direction", direction) if direction else ()))
    assert ended.code == 0, ended.err
    one = json.loads(ended.out)["labels"]["L3"]
    assert one["prompts"] == 1
    assert one["voxels"] == len(marked(tmp_path / "out.nrrd")) > 0
    assert one["patches"] > 1


def test_without_following_only_the_slice_is_marked(
    samspine: Any, block: Path, tmp_path: Path, small_sam2: Path
) -> None:
    words = (
        "segment",
        block,
        tmp_path / "out.nrrd",
        "--click",
        "L3:+:6,5,3",
        "--model",
        "sam2.1-tiny",
        "--weights",
        small_sam2,
        "--one-slice",
    )
    ended = samspine(*words, "--direction", "coronal", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["labels"]["L3"]["patches"] == 1
    assert set(marked(tmp_path / "out.nrrd")[:, 1]) == {5}


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Give a truth of the block: L3, four slices of 6 x 6 pixels."""
    array = np.zeros((6, 10, 12), np.uint16)
    array[1:5, 2:8, 3:9] = L3
    grid = Volume.from_array(array, np.eye(4)).grid
    write_segmentation(tmp_path / "truth.nii.gz", array, grid, spine_labels())
    return tmp_path / "truth.nii.gz"


def test_a_robot_prompts_the_slices_of_every_direction(
    samspine: Any, block: Path, truth: Path, small_sam2: Path
) -> None:
    words = ("--ids", "samspine", "--model", "sam2.1-tiny", "--weights", small_sam2, "--clicks", 2, "--one-slice")
    ended = samspine("simulate", block, truth, *words, "--direction", "all", "--json")
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 1
    found = json.loads(ended.out)["directions"]
    assert list(found) == ["axial", "sagittal", "coronal"]
    # Four slices of 36 pixels; six of 24 in either other direction.
    assert [one["labels"]["L3"]["slices"] for one in found.values()] == [4, 6, 6]
    for one in found.values():
        scores = [*one["labels"]["L3"]["dice"], one["labels"]["L3"]["box"]]
        assert len(scores) == 2 + 1
        assert all(0 <= value <= 1 for value in scores)
        assert one["labels"]["L3"]["followed"] is one["anywhere"] is None


def test_what_was_marked_in_one_slice_is_followed_and_clicks_anywhere_are(
    samspine: Any, block: Path, truth: Path, small_sam2: Path
) -> None:
    words = ("--ids", "samspine", "--model", "sam2.1-tiny", "--weights", small_sam2, "--clicks", 1, "--every", 3)
    found = json.loads(samspine("simulate", block, truth, *words, "--json").out)["directions"]["axial"]
    followed = found["labels"]["L3"]["followed"]
    assert all(0 <= followed[start] <= 1 for start in ("box", "1 click", "3 clicks"))
    assert set(found["anywhere"]["L3"]) == {"dice", "nsd_2mm", "seconds"}


def test_tables_show_slices_what_was_followed_and_clicks_anywhere(
    samspine: Any, block: Path, truth: Path, small_sam2: Path
) -> None:
    words = ("--ids", "samspine", "--model", "sam2.1-tiny", "--weights", small_sam2, "--clicks", 1, "--every", 3)
    shown = samspine("simulate", block, truth, *words, "--direction", "axial").out
    for word in ("axial slices one by one", "1 click", "box", "followed from one", "clicks anywhere", "NSD 2 mm"):
        assert word in " ".join(shown.split())


def test_a_picture_with_a_mask_of_any_number_is_simulated(samspine: Any, tmp_path: Path, small_sam2: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 50)).astype(np.uint8)
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 10:35] = 255
    for name, array in (("image", picture), ("mask", mask)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.png"))
    words = (tmp_path / "image.png", tmp_path / "mask.png", "--model", "sam2.1-tiny", "--weights", small_sam2)
    ended = samspine("simulate", *words, "--ids", "none", "--modality", "US", "--labels", "255", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)["directions"]["axial"]
    assert found["labels"]["255"]["slices"] == 1
    assert found["labels"]["255"]["followed"] is found["anywhere"] is None
    refused = samspine("simulate", *words, "--ids", "none", "--direction", "coronal")
    assert refused.code == 2
    assert "one voxel wide" in refused.err


@pytest.mark.slow
@pytest.mark.parametrize("file", ["sam", "sam2"])
def test_a_checkpoint_in_meta_s_own_format_answers_a_click(
    file: str, meta_files: Any, samspine: Any, case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "mine"))
    assert samspine("models", "add", getattr(meta_files, file), "--name", "mine").code == 0
    words = ("segment", case.image, tmp_path / "out.nrrd", "--click", IN_L3, "--model", "mine", "--one-slice")
    ended = samspine(*words)
    assert ended.code == 0, ended.err
    assert len(marked(tmp_path / "out.nrrd"))
