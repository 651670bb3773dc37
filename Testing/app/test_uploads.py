"""What a browser sends stays in its folder, and is refused where it is too much or of another kind."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from SAMSpineLib.app.uploads import Limits, Uploads, safe_path
from SAMSpineLib.errors import VolumeError


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def received(uploads: Uploads, name: str, *parts: bytes, into: str | None = None) -> str:
    place = into or uploads.begin()
    asyncio.run(uploads.receive(place, name, chunks(*parts)))
    return place


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("ct.nii.gz", "ct.nii.gz"),
        ("../../etc/ct.nii", "etc/ct.nii"),
        ("/data/ct.nrrd", "data/ct.nrrd"),
        ("C:\\scans\\ct.mha", "C_/scans/ct.mha"),
        ("study/IM0001", "study/IM0001"),
        ("study/1.2.840.113", "study/1.2.840.113"),
        ("a b;c.dcm", "a_b_c.dcm"),
    ],
)
def test_a_name_never_leads_out_of_the_folder(sent: str, kept: str) -> None:
    assert safe_path(sent).as_posix() == kept


@pytest.mark.parametrize("name", ["", "..", "/", "page.html", "run.exe", "script.py", "x" * 300])
def test_a_name_that_is_no_image_is_refused(name: str) -> None:
    with pytest.raises(VolumeError):
        safe_path(name)


def test_a_file_is_kept_below_the_folder_of_its_set(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    place = received(uploads, "../ct.nii", b"abc", b"def")
    assert (uploads.place(place) / "ct.nii").read_bytes() == b"abcdef"


def test_too_much_is_refused_and_not_kept(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, Limits(set_bytes=5))
    place = uploads.begin()
    with pytest.raises(VolumeError, match="the most that is taken"):
        received(uploads, "ct.nii", b"abc", b"def", into=place)
    assert list(uploads.place(place).iterdir()) == []


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, Limits(files=1))
    place = received(uploads, "1.dcm", b"a")
    with pytest.raises(VolumeError, match="send fewer"):
        received(uploads, "2.dcm", b"a", into=place)


def test_a_new_set_takes_the_place_of_the_last(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    first = received(uploads, "ct.nii", b"abc")
    uploads.begin()
    with pytest.raises(VolumeError, match="send them again"):
        uploads.place(first)
    assert not (tmp_path / first).exists()


def packed(path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as into:
        for name, content in members.items():
            into.writestr(name, content)
    return path.read_bytes()


def test_a_zip_unfolds_beside_itself_without_what_is_not_wanted(tmp_path: Path) -> None:
    content = packed(
        tmp_path / "in.zip",
        {
            "a/1.dcm": b"1",
            "../../2.dcm": b"2",
            "DICOMDIR": b"",
            ".DS_Store": b"",
            "read.me": b"",
            "__MACOSX/1.dcm": b"",
        },
    )
    uploads = Uploads(tmp_path / "up")
    place = received(uploads, "scan.zip", content)
    uploads.unfold(place)
    folder = uploads.place(place)
    found = sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*.dcm"))
    assert found == ["scan/2.dcm", "scan/a/1.dcm"]
    assert [one for one in folder.rglob("*") if one.is_file() and one.suffix != ".dcm"] == []


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    content = packed(tmp_path / "in.zip", {"ct.nii": b"\0" * 2_000_000})
    uploads = Uploads(tmp_path / "up", Limits(set_bytes=1_000_000))
    place = received(uploads, "scan.zip", content)
    with pytest.raises(VolumeError, match="the most that is taken"):
        uploads.unfold(place)


def test_a_broken_zip_is_refused(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    place = received(uploads, "scan.zip", b"PK\x03\x04 no zip")
    with pytest.raises(VolumeError, match="damaged"):
        uploads.unfold(place)


def test_a_scene_bundle_unfolds_whole(tmp_path: Path) -> None:
    content = packed(tmp_path / "in.mrb", {"spine/spine.mrml": b"<MRML/>", "spine/Data/spine%20ct.nrrd": b"1"})
    uploads = Uploads(tmp_path / "up")
    place = received(uploads, "spine.mrb", content)
    uploads.unfold(place)
    assert names_below(uploads.place(place)) == ["spine.mrml", "spine_20ct.nrrd"]


def test_a_bundle_of_this_machine_is_unpacked_among_the_uploads(tmp_path: Path) -> None:
    path = tmp_path / "here.mrb"
    packed(path, {"spine/spine.mrml": b"<MRML/>"})
    uploads = Uploads(tmp_path / "up")
    before = uploads.begin()
    folder = uploads.unpacked(path)
    assert folder.parent == tmp_path / "up"
    assert names_below(folder) == ["spine.mrml"]
    assert not (tmp_path / "up" / before).exists()
    assert path.is_file()


def names_below(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.rglob("*") if one.is_file())
