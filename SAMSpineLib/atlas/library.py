"""A folder of atlases with a small readable index, which says what each file must be.

What is written is written whole or not at all, the index last: whatever fails, what was there before is there still.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.atlas.stored_file import StoredFile, described, packed, unlink
from SAMSpineLib.errors import OutputError, SAMSpineError, VolumeError
from SAMSpineLib.file_lock import held
from SAMSpineLib.resources import resource_path
from SAMSpineLib.safe_write import replacing
from SAMSpineLib.volume import Volume

INDEX = "index.json"
VERSION = 1
FOLDER_VARIABLE = "SAMSPINE_ATLASES"
LOCK = ".lock"
# A change takes far less than this; what is to be added may be the work of hours.
PATIENCE_S = 30.0


@dataclass(frozen=True)
class AtlasEntry:
    """One line of the index; `levels` are names from head to foot, `added` is a date (ISO, UTC)."""

    name: str
    labels: StoredFile
    image: StoredFile | None
    levels: tuple[str, ...]
    source: str
    licence: str
    note: str
    added: str

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The label map, and the image if there is one."""
        return (self.labels,) if self.image is None else (self.labels, self.image)


@dataclass(frozen=True)
class AtlasLibrary:
    """The atlases in a folder. A folder that is not there yet is an empty library, and is made with the first atlas."""

    folder: Path
    writable: bool = True

    @property
    def index(self) -> Path:
        """Where the index lies."""
        return self.folder / INDEX

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the atlases in the order in which they were added."""
        return tuple(self.entries())

    def entries(self) -> dict[str, AtlasEntry]:
        """Read the index: entries by name, in the order in which they were added.

        Raises:
            VolumeError: if the index is damaged or of a later version.
        """
        if not self.index.exists():
            return {}
        try:
            content = json.loads(self.index.read_text(encoding="utf-8"))
            if content["version"] == VERSION:
                return {row["name"]: _entry(row) for row in content["atlases"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            msg = (
                f"The atlas index {self.index} is damaged ({type(error).__name__}: {error}); put back a copy of it, or "
                "remove it and add the atlases again: the other files in the folder are as they were"
            )
            raise VolumeError(msg) from error
        msg = f"The atlas index {self.index} has version {content['version']}, known is {VERSION}; update SAMSpine"
        raise VolumeError(msg)

    def add(self, atlas: Atlas) -> AtlasEntry:
        """Store an atlas, trimmed to what is labelled.

        Raises:
            OutputError: if the name is taken, or the folder or a file cannot be written; nothing is changed then.
            VolumeError: if the index is damaged, or the image shows nothing of what is labelled.
        """
        self.check_free([atlas.name])
        atlas = atlas.trimmed()
        contents = {f"{atlas.name}.npz": packed(Volume(_smallest(atlas.labels), atlas.grid))}
        if atlas.image is not None:
            contents[f"{atlas.name}.image.npz"] = packed(atlas.image)
        files = [described(file, data) for file, data in contents.items()]
        levels = tuple(level.name for level in atlas.levels)
        about = (atlas.source, atlas.licence, atlas.note, datetime.now(UTC).date().isoformat())
        entry = AtlasEntry(atlas.name, files[0], files[1] if len(files) > 1 else None, levels, *about)
        with self._changing():
            self.check_free([atlas.name])
            self._add(entry, contents)
        return entry

    def _changing(self) -> AbstractContextManager[None]:
        """Hold the library for one change: of two at a time, one would lose its line of the index."""
        return held(self.folder / LOCK, f"A change of the atlases in {self.folder}", patience_s=PATIENCE_S)

    def _add(self, entry: AtlasEntry, contents: dict[str, bytes]) -> None:
        """Write the files of a new entry, then the index; nothing stays if that fails."""
        written: list[Path] = []
        try:
            for file, data in contents.items():
                _write(self.folder / file, data)
                written.append(self.folder / file)
            self._write_index({**self.entries(), entry.name: entry})
        except BaseException as error:  # an interrupt too must leave nothing that no index knows
            unlink(written)
            if isinstance(error, OSError):
                raise _unwritable(self.folder, error) from error
            raise

    def check_free(self, names: Iterable[str]) -> None:
        """Make sure that atlases can be added under these names; worth asking before hours of work.

        Raises:
            OutputError: if one is taken, or the library must not be changed.
        """
        self._check_writable()
        known = self.entries()
        for name in names:
            if name in known:
                msg = f"There is an atlas '{name}' in {self.folder} already; choose another name, or remove it first"
                raise OutputError(msg)
            for path in (self.folder / f"{name}.npz", self.folder / f"{name}.image.npz"):
                if path.exists():
                    msg = f"{path} is there already, but not in the index; move it away, or choose another name"
                    raise OutputError(msg)

    def remove(self, name: str) -> AtlasEntry:
        """Take an atlas out of the index, then its files out of the folder.

        Raises:
            VolumeError: if there is no such atlas.
            OutputError: if the library must not be changed, or cannot be.
        """
        self._check_writable()
        self._entry_of(name)
        with self._changing():
            entry = self._entry_of(name)
            try:
                self._write_index({key: one for key, one in self.entries().items() if key != name})
            except OSError as error:
                raise _unwritable(self.folder, error) from error
        unlink(self.folder / one.file for one in entry.files)
        return entry

    def load(self, name: str) -> Atlas:
        """Read an atlas, after checking its files against the index.

        Raises:
            VolumeError: if there is no such atlas, or a file is missing or not the one that was added.
        """
        entry = self._entry_of(name)
        labels = self._read(entry.name, entry.labels)
        image = None if entry.image is None else self._read(entry.name, entry.image)
        return Atlas(name, labels.array, labels.grid, image, entry.source, entry.licence, entry.note)

    def verify(self) -> tuple[str, ...]:
        """Read every atlas and return their names.

        Raises:
            VolumeError: naming all that are damaged.
        """
        faults = []
        for name in self.names:
            try:
                self.load(name)
            except SAMSpineError as error:
                faults.append(str(error))
        if faults:
            raise VolumeError("; ".join(faults))
        return self.names

    def _check_writable(self) -> None:
        if not self.writable:
            msg = f"The bundled atlases in {self.folder} are not changed; name a folder of your own with --library"
            raise OutputError(msg)
        place = next(path for path in (self.folder.absolute(), *self.folder.absolute().parents) if path.exists())
        if not place.is_dir() or not os.access(place, os.W_OK):
            msg = f"The atlas library {self.folder} cannot be written: {place} is no folder, or write-protected; "
            raise OutputError(msg + "choose another place")

    def _entry_of(self, name: str) -> AtlasEntry:
        entries = self.entries()
        if name not in entries:
            msg = f"There is no atlas '{name}' in {self.folder}; there are: {', '.join(entries) or 'none'}"
            raise VolumeError(msg)
        return entries[name]

    def _read(self, name: str, stored: StoredFile) -> Volume:
        try:
            return stored.read(self.folder)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            remedy = "remove the atlas and add it again" if self.writable else "install SAMSpine again"
            msg = f"Atlas '{name}': {self.folder / stored.file} is missing or damaged ({error}); {remedy}"
            raise VolumeError(msg) from error

    def _write_index(self, entries: dict[str, AtlasEntry]) -> None:
        content = {"version": VERSION, "atlases": [asdict(entry) for entry in entries.values()]}
        _write(self.index, (json.dumps(content, indent=1) + "\n").encode())


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(data)


def default_library() -> AtlasLibrary:
    """Return the bundled atlases, which are not changed.

    Raises:
        SAMSpineError: if the installation lacks them.
    """
    return AtlasLibrary(resource_path("Atlases"), writable=False)


def user_folder() -> Path:
    """Return where a user's own atlases lie: the folder in SAMSPINE_ATLASES, else `.samspine/atlases` at home."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path.home() / ".samspine" / "atlases"


def atlases_of(folders: Iterable[Path] | None = None) -> tuple[Atlas, ...]:
    """Load the user's atlases and then the bundled ones: what somebody chose goes before what everybody has.

    Args:
        folders: libraries of the user, each with an index; None for `user_folder()`, if there is one.

    Raises:
        VolumeError: if a folder is no library, or an atlas is damaged.
    """
    libraries = [AtlasLibrary(user_folder())] if folders is None else [existing_library(one) for one in folders]
    return tuple(library.load(name) for library in (*libraries, default_library()) for name in library.names)


def existing_library(folder: Path) -> AtlasLibrary:
    """Return the library in a folder that somebody named.

    Raises:
        VolumeError: if there is none.
    """
    library = AtlasLibrary(folder)
    if not library.index.is_file():
        msg = f"{folder} is no atlas library: it has no {INDEX}; make one with `samspine atlas add` or `atlas build`"
        raise VolumeError(msg)
    return library


def _entry(row: dict[str, Any]) -> AtlasEntry:
    """Turn a row of the index into an entry; whatever is wrong with it is an error of json's kind."""
    files = {key: None if row[key] is None else StoredFile.checked(row[key]) for key in ("labels", "image")}
    return AtlasEntry(**{**row, **files, "levels": tuple(row["levels"])})


def _smallest(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.uint8 if labels.max() <= 255 else np.uint16)


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"The atlas library {folder} cannot be written: {error.strerror}; check space and permissions")
