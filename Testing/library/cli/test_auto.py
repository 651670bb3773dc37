"""`samspine auto`, with the bundled networks, on a phantom and on an image without a spine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.evaluation.identification import score_labels
from SAMSpineLib.io import read_segmentation, write_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.training.synthetic.phantom import make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings
from SAMSpineLib.volume import Volume

LOW_BACK = PhantomSettings(
    spacing=(2.0, 2.0, 2.0), levels=(19, 26), fov=(190.0, 190.0), clean=True, oblique=0.0, margin=20.0
)


@pytest.fixture(scope="module")
def low_back(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give T12 to the sacrum on disk and in memory."""
    phantom = make_phantom(4711, LOW_BACK)
    path = tmp_path_factory.mktemp("low_back") / "ct.nii.gz"
    write_volume(path, phantom.image)
    return path, phantom


def test_a_lumbar_spine_is_found_named_and_segmented_and_has_a_page(
    low_back: Any, tmp_path: Path, samspine: Any
) -> None:
    image, phantom = low_back
    out, page = tmp_path / "auto.seg.nrrd", tmp_path / "auto.html"
    ended = samspine("auto", image, out, "--report", page, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    found = read_segmentation(out)
    truth = np.where(np.isin(phantom.labels.array, [20, 21, 22, 23, 24]), phantom.labels.array, 0)
    score = score_labels(found.labels, truth, phantom.image.grid, spine_labels())
    assert score.dice_any_name > 0.8
    assert score.shift == 0 or told["ambiguous"]
    names = [one.name for one in found.segments]
    assert names == list(told["levels"])
    assert list(told["seconds"]) == ["localise", "segment"]
    for name, level in told["levels"].items():
        assert level["voxels"] == int((found.labels == spine_labels().by_name(name).value).sum())
        assert 0 <= level["confidence"] <= 1
        assert name in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["noise", "soft tissue"])
def test_an_image_without_a_spine_yields_no_vertebra_found_and_no_file(
    content: str, tmp_path: Path, samspine: Any
) -> None:
    rng = np.random.default_rng(1)
    array = rng.normal(0, 300, (60, 70, 70)) if content == "noise" else np.full((60, 70, 70), 45.0)
    write_volume(tmp_path / "empty.nii.gz", Volume.from_array(array.astype(np.int16), np.diag([3.0, 3.0, 3.0, 1.0])))
    ended = samspine("auto", tmp_path / "empty.nii.gz", tmp_path / "out.seg.nrrd")
    assert ended.code == 0, ended.err
    assert "No vertebra found" in ended.err
    assert not (tmp_path / "out.seg.nrrd").exists()


def test_what_cannot_be_written_is_said_before_any_work(low_back: Any, tmp_path: Path, samspine: Any) -> None:
    image, _ = low_back
    for words in ((image, image), (image, tmp_path / "no" / "a.nii.gz"), (image, tmp_path / "a.txt")):
        assert samspine("auto", *words).code == 2
    ended = samspine("auto", image, tmp_path / "a.nii.gz", "--report", tmp_path / "no" / "a.html")
    assert ended.code == 2
    assert not (tmp_path / "a.nii.gz").exists()


def test_a_library_without_an_index_is_refused_before_any_work(low_back: Any, tmp_path: Path, samspine: Any) -> None:
    image, _ = low_back
    ended = samspine("auto", image, tmp_path / "a.nii.gz", "--method", "atlas", "--library", tmp_path / "none")
    assert ended.code == 2
    assert str(tmp_path / "none") in ended.err
