"""The files of a library: voxels with their place, exact to the last digit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from SAMSpineLib.volume import Volume


@dataclass(frozen=True)
class StoredFile:
    """A file of a library: its name in the folder, size in bytes and SHA-256."""

    file: str
    bytes: int
    sha256: str

    @classmethod
    def checked(cls, row: dict[str, Any]) -> StoredFile:
        """Turn what an index says into a file of its folder.

        Raises:
            ValueError: if it would lie elsewhere.
            TypeError: if something is missing.
        """
        stored = cls(**row)
        if Path(stored.file).name != stored.file:
            msg = f"'{stored.file}' is no name of a file in the folder"
            raise ValueError(msg)
        return stored

    def read(self, folder: Path) -> Volume:
        """Read the voxels.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if it is not the file that was stored.
        """
        data = (folder / self.file).read_bytes()
        if described(self.file, data) != self:
            msg = f"expected {self.bytes} bytes with SHA-256 {self.sha256[:12]}..., got {len(data)} others"
            raise ValueError(msg)
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            return Volume.from_array(arrays["voxels"], arrays["ijk_to_ras"], name=Path(self.file).stem)


def described(file: str, data: bytes) -> StoredFile:
    """Describe a file by its name and content."""
    return StoredFile(file, len(data), hashlib.sha256(data).hexdigest())


def packed(volume: Volume) -> bytes:
    """Return voxels (K, J, I) and `ijk_to_ras` as the bytes of a compressed `.npz`; the same for the same content."""
    buffer = BytesIO()
    np.savez_compressed(buffer, voxels=volume.array, ijk_to_ras=volume.ijk_to_ras)
    return buffer.getvalue()


def unlink(paths: Iterable[Path]) -> None:
    """Remove files that no index names; one that cannot be removed does no harm."""
    for path in paths:
        with suppress(OSError):
            path.unlink()
