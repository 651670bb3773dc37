"""What a browser sends: each set of files in a folder of its own, gone with the app, limited in size and type."""

from __future__ import annotations

import re
import secrets
import shutil
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from SAMSpineLib.errors import VolumeError

GIB = 2**30
# DICOM files often have no ending at all, or the end of a UID for one.
SUFFIXES = (
    ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".raw", ".zraw", ".gz", ".dcm", ".ima", ".zip", ".csv", ".mrb",
    ".mrml",
)  # fmt: skip
PACKED = (".zip", ".mrb")
_NUMBERED = re.compile(r"\.?\d*")
_UNSAFE = re.compile(r"[^\w.+-]")


@dataclass(frozen=True)
class Limits:
    """How much is taken: bytes in all of one set, what a zip unfolds to included, and files of one set."""

    set_bytes: int = 4 * GIB
    files: int = 20_000


def safe_path(name: str) -> PurePosixPath:
    """Return a path below a folder for the name that a browser, or a zip, gives a file.

    Raises:
        VolumeError: if nothing of the name can be used, or it is of a type that is not taken.
    """
    parts = [_UNSAFE.sub("_", part) for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts or len(parts) > 20 or max(map(len, parts)) > 200:
        msg = "A file without a usable name was sent; give it a short one and try again"
        raise VolumeError(msg)
    suffix = PurePosixPath(parts[-1]).suffix.lower()
    if not parts[-1].lower().endswith(SUFFIXES) and not _NUMBERED.fullmatch(suffix):
        msg = f"{parts[-1]} is of a type this does not take; expected {' '.join(SUFFIXES)} or DICOM files"
        raise VolumeError(msg)
    return PurePosixPath(*parts)


class Uploads:
    """Sets of files under one folder."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        """Keep them in a folder."""
        self.folder, self.limits = folder, limits or Limits()
        self._used: dict[str, tuple[int, int]] = {}

    def begin(self) -> str:
        """Start a set and return its name; sets before it are dropped, since one user opens one thing at a time."""
        for old in list(self._used):
            self.drop(old)
        name = secrets.token_hex(8)
        (self.folder / name).mkdir(parents=True)
        self._used[name] = (0, 0)
        return name

    def drop(self, name: str) -> None:
        """Remove a set."""
        if self._used.pop(name, None) is not None:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def place(self, name: str) -> Path:
        """Return the folder of a set.

        Raises:
            VolumeError: if there is none of that name (any more).
        """
        if name not in self._used:
            msg = "These files are not here any more: send them again"
            raise VolumeError(msg)
        return self.folder / name

    async def receive(self, name: str, file_name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write one file of a set as it comes.

        Raises:
            VolumeError: if it is too large, of another type, or of no known set; nothing of it is kept.
        """
        path = self.place(name) / safe_path(file_name)
        self._count(name, 0, files=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                async for chunk in chunks:
                    self._count(name, len(chunk))
                    file.write(chunk)
        except VolumeError:
            path.unlink(missing_ok=True)
            raise

    def unfold(self, name: str) -> None:
        """Unpack each zip and scene bundle of a set beside itself.

        Raises:
            VolumeError: if one is damaged, holds what is not taken, or unfolds to too much.
        """
        for path in sorted(self.place(name).rglob("*")):
            if path.suffix.lower() in PACKED:
                self._unzip(name, path, path.with_suffix(""))
                path.unlink()

    def unpacked(self, path: Path) -> Path:
        """Unpack a zip or scene bundle of this machine into a set of its own, and return its folder.

        Raises:
            VolumeError: as for `unfold`.
        """
        name = self.begin()
        self._unzip(name, path, self.folder / name)
        return self.folder / name

    def _unzip(self, name: str, path: Path, target: Path) -> None:
        try:
            with zipfile.ZipFile(path) as packed:
                for member in packed.infolist():
                    if not member.is_dir() and _is_wanted(member.filename):
                        self._count(name, member.file_size, files=1)
                        self._extract(packed, member, target / safe_path(member.filename))
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            msg = f"{path.name} is damaged or no zip file: make it again ({error})"
            raise VolumeError(msg) from error

    @staticmethod
    def _extract(packed: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
        """Write one member; more than its header promises is a damaged file, and stops there."""
        target.parent.mkdir(parents=True, exist_ok=True)
        left = member.file_size
        with packed.open(member) as source, target.open("wb") as file:
            while chunk := source.read(min(2**20, left + 1)):
                left -= len(chunk)
                if left < 0:
                    msg = f"{member.filename} is longer than the zip says"
                    raise zipfile.BadZipFile(msg)
                file.write(chunk)

    def _count(self, name: str, size: int, *, files: int = 0) -> None:
        used, count = self._used[name]
        used, count = used + size, count + files
        self._used[name] = (used, count)
        if used > self.limits.set_bytes:
            msg = f"That is more than {self.limits.set_bytes / GIB:.3g} GiB, the most that is taken: send less"
            raise VolumeError(msg)
        if count > self.limits.files:
            msg = f"These are more than {self.limits.files} files, the most that are taken: send fewer"
            raise VolumeError(msg)


def _is_wanted(name: str) -> bool:
    """Tell a scan's files in a zip from what systems and scanners put beside them."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in path.parts)
    known = name.lower().endswith(SUFFIXES) or bool(_NUMBERED.fullmatch(path.suffix))
    return not hidden and known and path.name.upper() != "DICOMDIR" and not name.lower().endswith(PACKED)


def without_folder(text: str, folder: Path) -> str:
    """Leave our own folder out of a message: the user knows his file by its name."""
    words = text.split(" ")
    return " ".join(Path(word).name if word.startswith(str(folder)) else word for word in words)
