"""Real and synthetic cases share the draws of a training as the recipe says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.io import write_volume
from SAMSpineLib.training.preparation import prepare_cases
from SAMSpineLib.training.recipes import Recipe
from SAMSpineLib.training.synthetic.phantom import make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings

RECIPE = Recipe("ct-sam3d-tiny", steps=1, batch=1, learning_rate=1e-3, phantoms=2, phantom_share=0.75, seed=3)


@pytest.fixture(autouse=True)
def small_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training make small phantoms."""
    monkeypatch.setattr("SAMSpineLib.training.cases.TRAINING_PHANTOMS", PhantomSettings.small())


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a manifest of one image, drawn twice with weights 1 and 3."""
    folder = tmp_path_factory.mktemp("real")
    phantom = make_phantom(9, PhantomSettings.small())
    write_volume(folder / "ct.nii.gz", phantom.image)
    write_volume(folder / "labels.nii.gz", phantom.labels)
    rows = ["image,labels,ids,weight", *(f"ct.nii.gz,labels.nii.gz,samspine,{weight}" for weight in (1, 3))]
    (folder / "cases.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "cases.csv"


def test_both_kinds_get_their_share_of_the_draws(manifest: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    cases = prepare_cases(RECIPE, manifest, tmp_path, progress=lambda *step: seen.append(step))
    np.testing.assert_allclose([case.weight for case in cases], [0.0625, 0.1875, 0.375, 0.375])
    assert seen == [(1, 2, "phantom_003000.npz"), (2, 2, "phantom_003001.npz")]


def test_one_kind_alone_gets_all_draws(manifest: Path, tmp_path: Path) -> None:
    real = prepare_cases(replace(RECIPE, phantoms=0), manifest, tmp_path)
    made = prepare_cases(replace(RECIPE, phantoms=1), None, tmp_path)
    np.testing.assert_allclose([case.weight for case in real], [0.25, 0.75])
    assert [case.weight for case in made] == [1.0]


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="nothing to train on"):
        prepare_cases(replace(RECIPE, phantoms=0), None, tmp_path)
