"""Orders of a face carried out: which SAM, which slices, under which name and value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SAMSpineLib.errors import LabelError, ModelError
from SAMSpineLib.labels import Label
from SAMSpineLib.lesson_order import LabelledVolume, LessonOrder
from SAMSpineLib.models.build import build_promptable, sam_for
from SAMSpineLib.models.catalogue import add
from SAMSpineLib.models.sam2rad.taught import read_card
from SAMSpineLib.models.store.adding import Given
from SAMSpineLib.models.store.resolving import user_store
from SAMSpineLib.training.teaching.teacher import HomeTeacher, direction_of
from SAMSpineLib.volume import Volume

MINE = Label(1001, "my disc", "my disc", "custom", (9, 8, 7))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smoke_sam: Path) -> str:
    """Add a tiny SAM to the user's models."""
    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "models"))
    add(smoke_sam, Given("small"))
    return "small"


def ordered(picture, name: str = "mine") -> LessonOrder:
    images = [picture(seed, values=(MINE.value,)) for seed in range(5)]
    volumes = tuple(LabelledVolume(one.volume, one.labels, one.subject) for one in images)
    return LessonOrder(name, (MINE,), volumes, 4)


def test_what_comes_of_it_is_a_model_of_the_user_that_teaching_again_replaces(small, picture):
    told = []
    first = HomeTeacher(small)(ordered(picture), progress=lambda said, share: told.append((said, share)))
    assert (first.name, first.steps) == ("mine", 4)
    card = read_card(user_store().model("mine").path)
    assert card.backbone == "small"
    assert [(one.name, one.colour) for one in card.structures] == [("my disc", (9, 8, 7))]
    assert card.structures[0].value > 32_000, "a value that the name decides, whatever it has in the scene"
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    again = HomeTeacher("mine")(ordered(picture))
    assert again.name == "mine"
    assert read_card(user_store().model("mine").path).backbone == "small"


def test_the_name_of_a_model_that_was_not_taught_is_not_taken(small, picture):
    with pytest.raises(ModelError, match="already"):
        HomeTeacher(small)(ordered(picture, "small"))
    assert build_promptable("small").name == "small"


def test_a_sam_in_use_is_taught_itself_what_was_taught_by_its_sam_and_anything_else_by_the_bundled_one(small, picture):
    HomeTeacher(small)(ordered(picture))
    assert [sam_for(name) for name in (small, "mine", "ct-sam3d-small")] == [small, small, "sam-spine-tiny"]


@pytest.mark.parametrize(("axis", "direction"), [(0, "axial"), (1, "coronal"), (2, "sagittal")])
def test_slices_are_cut_as_somebody_has_labelled_them(axis, direction):
    volume = Volume.from_array(np.zeros((30, 30, 30), np.int16), np.eye(4))
    labels = np.zeros(volume.shape, np.uint16)
    np.moveaxis(labels, axis, 0)[[5, 12, 20], 5:15, 5:15] = 1
    found = direction_of([LabelledVolume(volume, labels, "somebody")])
    assert found == ("acquired" if direction == "axial" else direction)


def test_without_a_label_there_is_nothing_to_learn_from():
    volume = Volume.from_array(np.zeros((5, 6, 7), np.int16), np.eye(4))
    with pytest.raises(LabelError, match="three slices"):
        direction_of([LabelledVolume(volume, np.zeros(volume.shape, np.uint16), "somebody")])
