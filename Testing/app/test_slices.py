"""A checkpoint of the user's own, in Meta's format, on the page: slices, other masks, following through the stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .appdriver import Case, Screen

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app_options(meta_files: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Add a SAM 2.1 with weights drawn at random."""
    from SAMSpineLib.models.store.adding import Given, add_checkpoint
    from SAMSpineLib.models.store.model_store import ModelStore

    folder = tmp_path_factory.mktemp("own models")
    add_checkpoint(ModelStore(folder), meta_files.sam2, Given("mine", image_size=128))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMSPINE_MODELS", str(folder))
        yield "--model", "mine"


def test_a_click_marks_its_slice_other_masks_and_following_are_one_key_away(
    a_screen: Screen, a_phantom: Case, tmp_path: Path
) -> None:
    def labels() -> np.ndarray:
        return a_screen.labels(tmp_path, a_phantom) > 0

    place = a_phantom.centre("L3")
    assert not a_screen.state("can_follow")
    a_screen.show("Yellow", place)
    a_screen.key("p")
    a_screen.wait("state('tool') === 'positivePoint'")
    a_screen.after(lambda: a_screen.click("Yellow", place))
    first = labels()
    assert len(set(np.nonzero(first)[2])) == 1
    a_screen.wait("state('can_follow')")
    a_screen.after(lambda: a_screen.key("o"))
    assert not np.array_equal(labels(), first)
    a_screen.after(lambda: a_screen.key("Control+z"))
    assert np.array_equal(labels(), first)
    a_screen.key("a")
    a_screen.wait("state('running') && state('progress') > 5")
    a_screen.page.locator("#act-cancel").click()
    a_screen.wait("!state('running')")
    a_screen.wait_idle()
    followed = labels()
    assert 1 < len(set(np.nonzero(followed)[2])) < followed.shape[2]
    a_screen.after(lambda: a_screen.key("Control+z"))
    assert np.array_equal(labels(), first)


def test_clear_empties_the_segment_and_undo_brings_it_back(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    before = a_screen.labels(tmp_path, a_phantom)
    a_screen.after(lambda: a_screen.key("Shift+C"))
    a_screen.wait("state('segments').every(one => !one.ml)")
    a_screen.after(lambda: a_screen.key("Control+z"))
    assert np.array_equal(a_screen.labels(tmp_path, a_phantom), before)
