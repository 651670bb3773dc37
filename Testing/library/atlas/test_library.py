"""A folder of atlases: what goes in comes out, and nothing that was there is ever lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SAMSpineLib.atlas import library as module
from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.atlas.library import AtlasLibrary, atlases_of, default_library, existing_library, user_folder
from SAMSpineLib.errors import OutputError, VolumeError
from SAMSpineLib.volume import Grid, Volume

# A library of one atlas, then a second one whose writing is killed at the step that the first argument names.
KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from SAMSpineLib.atlas import library
from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.volume import Grid

step, folder = sys.argv[1], Path(sys.argv[2])
labels = np.full((4, 4, 4), 22, np.uint8)
replace = Path.replace

def killed(self, target):
    if Path(target).name == step:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = killed
library.AtlasLibrary(folder).add(Atlas("b", labels, Grid(labels.shape, np.eye(4))))
"""


def an_atlas(name: str = "a", *, value: int = 22, image: bool = False) -> Atlas:
    """Give an atlas on an oblique, anisotropic grid that runs leftwards along I."""
    labels = np.zeros((30, 26, 28), np.uint16)
    labels[10:20, 8:18, 9:19] = value
    labels[16:20, 8:18, 9:14] = value + 1
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", [25, -15, 40], degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag([-0.7, 1.1, 2.5])
    matrix[:3, 3] = (12.3, -45.6, 78.9)
    grid = Grid(labels.shape, matrix)
    voxels = np.random.default_rng(1).integers(-1000, 1000, labels.shape).astype(np.int16)
    return Atlas(name, labels, grid, Volume(voxels, grid) if image else None, "a friend", "CC BY 4.0", "kind")


@pytest.fixture
def library(tmp_path: Path) -> AtlasLibrary:
    """Give a library that holds the atlas 'a'."""
    found = AtlasLibrary(tmp_path / "deep" / "atlases")
    found.add(an_atlas())
    return found


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != module.LOCK}


def test_what_goes_in_comes_out_to_the_last_bit(tmp_path: Path) -> None:
    library, given = AtlasLibrary(tmp_path), an_atlas(image=True).trimmed()
    library.add(given)
    found = AtlasLibrary(tmp_path).load("a")
    np.testing.assert_array_equal(found.labels, given.labels)
    assert (found.grid.ijk_to_ras == given.grid.ijk_to_ras).all()
    assert found.image is not None
    assert given.image is not None
    np.testing.assert_array_equal(found.image.array, given.image.array)
    assert found.image.array.dtype == np.int16
    assert (found.image.grid.ijk_to_ras == given.image.grid.ijk_to_ras).all()
    assert (found.name, found.source, found.licence, found.note) == ("a", "a friend", "CC BY 4.0", "kind")


def test_an_untrimmed_atlas_keeps_its_places(library: AtlasLibrary) -> None:
    given, found = an_atlas(), library.load("a")
    assert found.labels.size < given.labels.size
    for value in (22, 23):
        before = given.grid.to_ras(np.argwhere(given.labels == value)[:, ::-1])
        after = found.grid.to_ras(np.argwhere(found.labels == value)[:, ::-1])
        np.testing.assert_allclose(after, before, atol=1e-9)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint32, np.int64])
def test_labels_of_any_whole_number_type_survive(kind: type, tmp_path: Path) -> None:
    atlas = an_atlas()
    AtlasLibrary(tmp_path).add(Atlas("a", atlas.labels.astype(kind), atlas.grid))
    np.testing.assert_array_equal(AtlasLibrary(tmp_path).load("a").labels, atlas.trimmed().labels)


def test_the_index_is_a_text_that_says_what_is_there(library: AtlasLibrary) -> None:
    content = json.loads(library.index.read_text(encoding="utf-8"))
    entry = content["atlases"][0]
    assert content["version"] == 1
    assert entry["levels"] == ["L3", "L4"]
    assert entry["labels"]["bytes"] == (library.folder / entry["labels"]["file"]).stat().st_size
    assert entry["image"] is None
    assert library.verify() == library.names == ("a",)


def test_the_same_atlas_makes_the_same_bytes(library: AtlasLibrary, tmp_path: Path) -> None:
    again = AtlasLibrary(tmp_path / "again").add(an_atlas())
    assert again.labels == library.entries()["a"].labels


def test_a_removed_atlas_is_gone_and_the_others_stay(library: AtlasLibrary) -> None:
    library.add(an_atlas("b", image=True))
    library.remove("b")
    assert library.verify() == ("a",)
    assert set(files_in(library.folder)) == {"a.npz", "index.json"}
    library.add(an_atlas("b"))
    assert library.names == ("a", "b")


def test_a_taken_name_is_refused_and_what_has_it_stays(library: AtlasLibrary) -> None:
    before = files_in(library.folder)
    with pytest.raises(OutputError, match="an atlas 'a' in .* already; choose another name, or remove it first"):
        library.add(an_atlas(value=20))
    assert files_in(library.folder) == before


def test_a_file_that_is_no_atlas_of_the_library_is_never_overwritten(library: AtlasLibrary) -> None:
    (library.folder / "b.npz").write_bytes(b"mine")
    with pytest.raises(OutputError, match="not in the index; move it away"):
        library.add(an_atlas("b"))
    assert (library.folder / "b.npz").read_bytes() == b"mine"


@pytest.mark.parametrize("call", ["load", "remove"])
def test_an_atlas_that_is_not_there_is_named_with_those_that_are(call: str, library: AtlasLibrary) -> None:
    with pytest.raises(VolumeError, match=r"no atlas 'b' in .*; there are: a$"):
        getattr(library, call)("b")


@pytest.mark.parametrize("damage", ["missing", "shorter", "changed"])
def test_a_damaged_file_is_found_and_the_remedy_named(damage: str, library: AtlasLibrary) -> None:
    library.add(an_atlas("b"))
    path = library.folder / "a.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data if damage == "changed" else data[:-100])
    if damage == "missing":
        path.unlink()
    with pytest.raises(VolumeError, match="a.npz is missing or damaged .*; remove the atlas and add it again"):
        library.load("a")
    with pytest.raises(VolumeError, match="a.npz"):
        library.verify()
    assert library.load("b").levels
    library.remove("a")
    assert library.verify() == ("b",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 1, "atlases": 3}',
        '{"version": 1, "atlases": [{"name": "a"}]}',
    ],
)
def test_a_damaged_index_is_refused_and_left_as_it_is(text: str, library: AtlasLibrary) -> None:
    library.index.write_text(text, encoding="utf-8")
    before = files_in(library.folder)
    for call in (library.entries, library.verify, lambda: library.add(an_atlas("b")), lambda: library.remove("a")):
        with pytest.raises(VolumeError, match="index.json is damaged .*put back a copy of it"):
            call()
    assert files_in(library.folder) == before


def test_an_index_of_tomorrow_is_refused(library: AtlasLibrary) -> None:
    library.index.write_text('{"version": 2, "atlases": []}', encoding="utf-8")
    with pytest.raises(VolumeError, match="version 2, known is 1; update SAMSpine"):
        library.entries()


def test_an_index_may_not_name_files_of_elsewhere(library: AtlasLibrary) -> None:
    text = library.index.read_text(encoding="utf-8")
    library.index.write_text(text.replace('"a.npz"', '"../a.npz"'), encoding="utf-8")
    with pytest.raises(VolumeError, match=r"'\.\./a\.npz' is no name of a file"):
        library.load("a")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a process that can be killed")
@pytest.mark.parametrize("step", ["b.npz", "index.json"])
def test_an_add_that_is_killed_leaves_the_old_index(step: str, library: AtlasLibrary, repository: Path) -> None:
    before = files_in(library.folder)
    command = [sys.executable, "-c", KILLED, step, str(library.folder)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert {name: files_in(library.folder)[name] for name in before} == before
    assert library.verify() == ("a",)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["b.image.npz", "index.json"])
def test_an_add_that_fails_leaves_nothing_behind(
    step: str, failure: BaseException, library: AtlasLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, write = files_in(library.folder), module._write

    def failing(path: Path, data: bytes) -> None:
        if path.name == step:
            raise failure
        write(path, data)

    monkeypatch.setattr(module, "_write", failing)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        library.add(an_atlas("b", image=True))
    assert files_in(library.folder) == before


def test_a_full_disk_costs_nothing_that_was_there(library: AtlasLibrary, no_file_above: Any) -> None:
    before = files_in(library.folder)
    with no_file_above(300), pytest.raises(OutputError, match="cannot be written: .*check space and permissions"):
        library.add(an_atlas("b"))
    with no_file_above(30), pytest.raises(OutputError, match="cannot be written"):
        library.remove("a")
    assert files_in(library.folder) == before


def test_two_adds_at_once_both_reach_the_index(library: AtlasLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read the index before either writes it, unless the second waits for the first."""
    old, entries = library.names, AtlasLibrary.entries
    both_here = threading.Barrier(2)

    def slowly(self: AtlasLibrary) -> dict[str, Any]:
        found = entries(self)
        with contextlib.suppress(threading.BrokenBarrierError):
            both_here.wait(timeout=0.5)
        return found

    monkeypatch.setattr(AtlasLibrary, "entries", slowly)
    monkeypatch.setattr(AtlasLibrary, "check_free", lambda *_: None)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(library.add, [an_atlas("first"), an_atlas("second")]))
    monkeypatch.undo()
    assert set(library.names) == {*old, "first", "second"}


def test_a_library_in_a_place_where_a_file_is_cannot_be_made(library: AtlasLibrary) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        AtlasLibrary(library.index / "more").add(an_atlas())


def test_the_bundled_library_is_not_changed() -> None:
    before = files_in(default_library().folder)
    for call in (lambda: default_library().add(an_atlas()), lambda: default_library().remove("trunk-ct")):
        with pytest.raises(OutputError, match="bundled atlases .* are not changed; name a folder of your own"):
            call()
    assert files_in(default_library().folder) == before


def test_a_users_own_atlases_go_before_the_bundled_ones(
    library: AtlasLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = AtlasLibrary(tmp_path / "bundled")
    bundled.add(an_atlas("z"))
    monkeypatch.setattr(module, "default_library", lambda: bundled)
    assert [atlas.name for atlas in atlases_of([library.folder])] == ["a", "z"]
    monkeypatch.setenv("SAMSPINE_ATLASES", str(library.folder))
    assert user_folder() == library.folder
    assert [atlas.name for atlas in atlases_of()] == ["a", "z"]
    monkeypatch.setenv("SAMSPINE_ATLASES", str(tmp_path / "none yet"))
    assert [atlas.name for atlas in atlases_of()] == ["z"]


def test_a_folder_that_is_named_must_be_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = [lambda: atlases_of([tmp_path / "typo"]), lambda: existing_library(tmp_path)]
    for call in calls:
        with pytest.raises(VolumeError, match="is no atlas library"):
            call()
    monkeypatch.delenv("SAMSPINE_ATLASES", raising=False)
    assert user_folder() == Path(os.path.expanduser("~")) / ".samspine" / "atlases"  # noqa: PTH111
