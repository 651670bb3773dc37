"""The page on a real scan with an expert's truth: VerSe's sub-verse014."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .appdriver import Case, Screen, dice, screen_on, serve

pytestmark = [pytest.mark.browser, pytest.mark.realdata]


@pytest.fixture(scope="module")
def a_real_case(data_dir: Path) -> Case:
    from SAMSpineLib.io import convert_ids, place_labels, read_volume
    from SAMSpineLib.labels import spine_labels

    folder = data_dir / "ct" / "sub-verse014"
    path, truth = folder / "sub-verse014_ct.nii.gz", folder / "sub-verse014_seg-vert_msk.nii.gz"
    if not path.is_file():
        pytest.skip("needs VerSe's sub-verse014")
    image, mask = read_volume(path), read_volume(truth)
    labels = place_labels(convert_ids(mask.array, spine_labels()), mask.grid, image.grid)
    return Case(path, labels, image.grid)


@pytest.fixture(scope="module")
def a_real_screen(a_real_case: Case, a_browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    with serve(tmp_path_factory.mktemp("served"), str(a_real_case.path)) as served:
        yield screen_on(a_browser, served)


def test_one_click_in_the_axial_view_segments_l3(a_real_screen: Screen, a_real_case: Case, tmp_path: Path) -> None:
    place = a_real_case.centre("L3")
    a_real_screen.show("Red", place)
    a_real_screen.choose("positivePoint")
    a_real_screen.after(lambda: a_real_screen.click("Red", place))
    assert dice(a_real_screen.labels(tmp_path, a_real_case) > 0, a_real_case.mask("L3")) > 0.8
