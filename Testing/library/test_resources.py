"""Bundled files are found in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from SAMSpineLib import resources
from SAMSpineLib.errors import SAMSpineError
from SAMSpineLib.resources import resource_path


def test_the_label_table_is_found() -> None:
    assert resource_path("Labels", "spine.csv").read_text(encoding="utf-8").startswith("value,name")


def test_a_folder_is_found() -> None:
    assert resource_path("Labels").is_dir()


def test_what_lies_inside_an_installed_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "SAMSpineLib"
    for root in (package, tmp_path):
        (root / "Resources").mkdir(parents=True)
        (root / "Resources" / "both.txt").write_text(root.name)
    (tmp_path / "Resources" / "outer.txt").write_text("outer")
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resource_path("both.txt").read_text() == "SAMSpineLib"
    assert resource_path("outer.txt").read_text() == "outer"


def test_a_missing_resource_is_named_with_where_it_was_expected() -> None:
    with pytest.raises(SAMSpineError, match=r"'Weights/nothing\.bin'.*SAMSpineLib/Resources.*install samspine again"):
        resource_path("Weights", "nothing.bin")
