"""`samspine atlas`: add, list, remove, build, and what it says to those who give it something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.atlas.library import AtlasLibrary, default_library
from SAMSpineLib.atlas.shapes import shapes_for
from SAMSpineLib.io import write_segmentation, write_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid, Volume

TABLE = spine_labels()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a user's own atlases; nothing is in it."""
    monkeypatch.setenv("SAMSPINE_ATLASES", str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.fixture
def refused(samspine: Any) -> Callable[..., str]:
    """Give a function that runs `samspine atlas` on words and returns the one line with which it refuses."""

    def command(*words: object) -> str:
        ended = samspine("atlas", *words)
        assert ended.code == 2, ended.err
        assert ended.out == ""
        assert len(ended.err.splitlines()) == 1, ended.err
        assert "fault of SAMSpine" not in ended.err
        return str(ended.err)

    return command


def test_a_segmentation_becomes_an_atlas_is_listed_and_removed(case: Any, shelf: Path, samspine: Any) -> None:
    words = ("--name", "mine", "--image", case.image, "--ids", "samspine", "--source", "me", "--licence", "CC0")
    ended = samspine("atlas", "add", case.labels, *words, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["library"] == str(shelf)
    assert {"L2", "L3", "L4"} <= set(told["atlas"]["levels"])

    atlas = AtlasLibrary(shelf).load("mine")
    truth = case.phantom.labels
    assert atlas.image is not None
    assert (atlas.source, atlas.licence) == ("me", "CC0")
    for value in (21, 22, 23):
        there = truth.grid.to_ras(np.argwhere(truth.array == value)[:, ::-1])
        here = atlas.grid.to_ras(np.argwhere(atlas.labels == value)[:, ::-1])
        np.testing.assert_allclose(here, there, atol=1e-3)
    place = atlas.image.grid.to_ras([3, 4, 5])
    assert atlas.image.array[5, 4, 3] == case.phantom.image.array[case.phantom.image.grid.voxel_at(place)]

    rows = json.loads(samspine("atlas", "list", "--json").out)["atlases"]
    assert [row["name"] for row in rows] == ["mine", *default_library().names]
    assert [row["bundled"] for row in rows[:2]] == [False, True]
    text = samspine("atlas", "list").out
    assert "mine" in text
    assert "synthetic-5 (bundled)" in text
    assert str(shelf) in text

    assert samspine("atlas", "remove", "mine").code == 0
    assert AtlasLibrary(shelf).names == ()
    assert list(shelf.glob("*.npz")) == []
    assert case.labels.exists()


def test_other_numberings_are_translated(tmp_path: Path, shelf: Path, samspine: Any) -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[3:6, 3:6, 3:6] = 29  # TotalSegmentator's L3
    write_volume(tmp_path / "ts.nii.gz", Volume(labels, Grid(labels.shape, np.eye(4))))
    words = ("--name", "ts", "--ids", "totalsegmentator", "--library", tmp_path / "other")
    assert samspine("atlas", "add", tmp_path / "ts.nii.gz", *words).code == 0
    assert [level.name for level in AtlasLibrary(tmp_path / "other").load("ts").levels] == ["L3"]
    assert not shelf.exists()
    listed = json.loads(samspine("atlas", "list", "--library", tmp_path / "other", "--json").out)
    assert listed["atlases"][0]["name"] == "ts"


def test_what_is_cut_is_told_and_an_image_tells_where_the_view_ends(tmp_path: Path, shelf: Path, samspine: Any) -> None:
    tight = Grid((4, 4, 4), np.eye(4))
    write_segmentation(tmp_path / "tight.nii.gz", np.full((4, 4, 4), 22, np.uint8), tight, TABLE)
    wide = Grid.centred_on((2, 2, 2), shape=(20, 20, 20), spacing=1.0)
    write_volume(tmp_path / "ct.nii.gz", Volume(np.zeros(wide.shape, np.int16), wide))
    ended = samspine("atlas", "add", tmp_path / "tight.nii.gz", "--name", "tight")
    assert ended.code == 0
    assert "cuts L3" in ended.err
    ended = samspine("atlas", "add", tmp_path / "tight.nii.gz", "--name", "wide", "--image", tmp_path / "ct.nii.gz")
    assert ended.code == 0
    assert "cuts" not in ended.err
    found = shapes_for(22, [AtlasLibrary(shelf).load(name) for name in ("tight", "wide")])
    assert [shape.atlas for shape in found] == ["wide"]


def test_a_taken_name_is_refused_before_anything_is_read(
    case: Any, shelf: Path, samspine: Any, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    samspine("atlas", "add", case.labels, "--name", "mine")
    before = {path.name: path.read_bytes() for path in shelf.iterdir()}
    monkeypatch.setattr("SAMSpineLib.io.numbering.read_labels", lambda *_, **__: pytest.fail("too late"))
    assert "an atlas 'mine' in" in refused("add", case.labels, "--name", "mine")
    assert {path.name: path.read_bytes() for path in shelf.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["add", "none.nii.gz", "--name", "a"], "none.nii.gz does not exist"),
        (["add", "{labels}", "--name", "a/b"], "name is letters, digits"),
        (["add", "{labels}"], "--name"),
        (["add", "{labels}", "--name", "a", "--ids", "mine"], "--ids"),
        (["add", "{image}", "--name", "a", "--ids", "verse"], "whole numbers"),
        (["add", "{labels}", "--name", "a", "--image", "{far}"], "do not overlap"),
        (["add", "{labels}", "--name", "a", "--library", "{labels}"], "cannot be written"),
        (["add", "{canal}", "--name", "a", "--ids", "samspine"], "shows no level"),
        (["remove", "a"], "no atlas 'a'"),
        (["remove", "trunk-ct"], "no atlas 'trunk-ct'"),
        (["list", "--library", "{folder}/typo"], "is no atlas library"),
        (["build", "{folder}/new", "--phantoms", "0"], "give --phantoms or --from"),
        (["build", "{folder}/new", "--from", "none.csv"], "none.csv' does not exist"),
        (["build", "{folder}/new", "--from", "{labels}"], "cannot be read"),
        (["build", "{folder}/new", "--from", "{empty}"], "has no row"),
        (["build", "{labels}", "--phantoms", "1"], "cannot be written"),
        (["build", "{labels}/deeper", "--phantoms", "1"], "cannot be written"),
        (["swim"], "swim"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    words: list[str], expected: str, case: Any, shelf: Path, tmp_path: Path, refused: Any
) -> None:
    far = np.eye(4)
    far[:3, 3] = 5000
    write_volume(tmp_path / "far.nii.gz", Volume(np.zeros((5, 5, 5), np.int16), Grid((5, 5, 5), far)))
    canal = np.full((5, 5, 5), 200, np.uint8)
    write_segmentation(tmp_path / "canal.nii.gz", canal, Grid((5, 5, 5), far), TABLE)
    (tmp_path / "empty.csv").write_text("name,labels,ids,source,licence", encoding="utf-8")
    paths = {
        "empty": tmp_path / "empty.csv",
        "far": tmp_path / "far.nii.gz",
        "canal": tmp_path / "canal.nii.gz",
        "folder": tmp_path,
    }
    line = refused(*(word.format(labels=case.labels, image=case.image, **paths) for word in words))
    assert expected in line
    assert not shelf.exists()
    assert not (tmp_path / "new").exists()


def test_a_damaged_index_is_one_line_everywhere(case: Any, shelf: Path, refused: Any) -> None:
    shelf.mkdir()
    (shelf / "index.json").write_text("{", encoding="utf-8")
    for words in (("list",), ("remove", "a"), ("add", case.labels, "--name", "a")):
        assert "index.json is damaged" in refused(*words)
    assert (shelf / "index.json").read_text(encoding="utf-8") == "{"


def manifest(folder: Path, *rows: str) -> Path:
    (folder / "sources.csv").write_text("\n".join(["name,labels,ids,source,licence", *rows]), encoding="utf-8")
    return folder / "sources.csv"


def test_a_library_is_built_from_a_list_and_resampled_in_place(case: Any, tmp_path: Path, samspine: Any) -> None:
    path = manifest(tmp_path, f"one,{case.labels},samspine,me,CC0")
    ended = samspine("atlas", "build", tmp_path / "new", "--phantoms", 0, "--from", path, "--json")
    assert ended.code == 0, ended.err
    entry = json.loads(ended.out)["atlases"][0]
    assert (entry["name"], entry["source"], entry["licence"]) == ("one", "me", "CC0")
    atlas, truth = AtlasLibrary(tmp_path / "new").load("one"), case.phantom.labels
    np.testing.assert_allclose(atlas.grid.spacing, 1.5)
    assert set(np.unique(atlas.labels)) <= set(range(29)), "neither discs nor canal"
    for value in (21, 22, 23):
        middle = [
            grid.to_ras(np.argwhere(array == value)[:, ::-1].mean(axis=0))
            for array, grid in ((atlas.labels, atlas.grid), (truth.array, truth.grid))
        ]
        np.testing.assert_allclose(*middle, atol=0.3)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("one,none.nii.gz,verse,me,CC0", "none.nii.gz does not exist"),
        ("one,{labels},mine,me,CC0", "ids must be one of verse"),
        ("one,{labels},samspine,me", "line 2"),
        ("one,{labels},samspine,,CC0", "line 2"),
        ("one,{labels},samspine,me,CC0\none,{labels},samspine,me,CC0", "names once each"),
        ("a b,{labels},samspine,me,CC0", "name is letters, digits"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_line(
    row: str, expected: str, case: Any, tmp_path: Path, refused: Any
) -> None:
    path = manifest(tmp_path, row.format(labels=case.labels))
    assert expected in refused("build", tmp_path / "new", "--phantoms", 0, "--from", path)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_synthetic_spine_is_whole_and_its_name_is_not_given_twice(
    tmp_path: Path, samspine: Any, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("SAMSpineLib.training.atlases.SPACING", 4.0)
    words = ("build", tmp_path / "new", "--phantoms", 1, "--seed", 3)
    assert samspine("atlas", *words).code == 0
    atlas = AtlasLibrary(tmp_path / "new").load("synthetic-3")
    assert {*range(1, 25), 26} <= set(atlas.boxes)
    assert [level.name for level in atlas.levels if atlas.is_cut(level.value)] == []
    assert "an atlas 'synthetic-3' in" in refused(*words)
