"""Teach on the page: three slices by clicks, teach, find the rest, correct, save."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from .appdriver import Case, Screen

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app_options(smoke_sam: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Add a tiny SAM with weights at random: teaching it takes seconds."""
    from SAMSpineLib.models.catalogue import add
    from SAMSpineLib.models.store.adding import Given

    folder = tmp_path_factory.mktemp("own models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMSPINE_MODELS", str(folder))
        add(smoke_sam, Given("small"))
        yield "--model", "small"


def test_three_slices_teach_a_model_that_finds_the_rest(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    def labels() -> np.ndarray:
        return a_screen.labels(tmp_path, a_phantom) > 0

    place = a_phantom.centre("L3")
    a_screen.key("p")
    a_screen.wait("state('tool') === 'positivePoint'")
    for step in (-4.0, 0.0, 4.0):
        there = place + np.array([step, 0, 0])
        a_screen.show("Yellow", there)
        a_screen.after(lambda there=there: a_screen.click("Yellow", there))
    labelled = labels()
    assert len(set(np.nonzero(labelled)[2])) == 3
    a_screen.page.click("#teach-menu")
    a_screen.page.fill("#teach-name", "mine")
    a_screen.page.click("#act-teach")
    a_screen.wait("state('running') && state('progress') > 20", seconds=120)
    a_screen.page.locator("#act-cancel").click()
    a_screen.wait("!state('running')", seconds=120)
    a_screen.wait_idle()
    assert a_screen.state("method") == "sam2rad"
    assert "'mine' was taught" in a_screen.state("message")
    assert np.array_equal(labels(), labelled)
    a_screen.page.keyboard.press("Escape")
    a_screen.page.click("#act-run")
    a_screen.wait("state('running')")
    a_screen.wait("!state('running')", seconds=120)
    a_screen.wait_idle()
    found = labels()
    assert len(set(np.nonzero(found)[2])) > 3
    a_screen.key("n")
    a_screen.wait("state('tool') === 'negativePoint'")
    a_screen.show("Yellow", place)
    a_screen.after(lambda: a_screen.click("Yellow", place))
    changed = {int(n) for n in np.nonzero(labels() != found)[2]}
    assert len(changed) <= 1
