"""A NRRD file, gzip-compressed, as 3D Slicer writes it.

Written here and not through ITK because ITK loses errors of the disk while it compresses, and to state directions with
every digit. Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np

from SAMSpineLib.errors import OutputError
from SAMSpineLib.safe_write import replacing
from SAMSpineLib.volume import ras_from_lps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from SAMSpineLib.io.sitk_image import Array
    from SAMSpineLib.volume import Grid

_TYPES = {"i1": "signed char", "u1": "unsigned char", "i2": "short", "u2": "unsigned short", "i4": "int",
          "u4": "unsigned int", "i8": "int64", "u8": "uint64", "f4": "float", "f8": "double"}  # fmt: skip
_LEVEL = 3
_SLAB = 1 << 24


def write_nrrd(path: Path, array: Array, grid: Grid, fields: Mapping[str, str] | None = None) -> None:
    """Write voxels (K, J, I) with their grid, and key/value `fields` in their order, as one compressed file.

    Raises:
        OutputError: if it cannot be written or NRRD knows no such voxels; an existing file is then untouched.
    """
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    if kind not in _TYPES:
        msg = f"{path} cannot be written: NRRD has no voxels of type {array.dtype}; convert them first"
        raise OutputError(msg)
    lps = ras_from_lps(grid.ijk_to_ras)
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {_TYPES[kind]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in grid.shape[::-1])}",
        f"space directions: {' '.join(_vector(column) for column in lps[:3, :3].T)}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(lps[:3, 3])}",
        *(f"{key}:={_one_line(value)}" for key, value in (fields or {}).items()),
    ]
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write("\n".join(lines).encode() + b"\n\n")
        # No name and no time inside: the same content gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=_LEVEL, mtime=0) as zipped:
            step = max(_SLAB // max(array[0].nbytes, 1), 1)
            for start in range(0, array.shape[0], step):
                slab = np.ascontiguousarray(array[start : start + step], dtype=array.dtype.newbyteorder("<"))
                zipped.write(slab.data)


def _vector(numbers: Sequence[float] | Array) -> str:
    """Write a vector with all its digits; minus nought is nought."""
    return f"({','.join(repr(float(number) + 0.0) for number in numbers)})"


def _one_line(text: str) -> str:
    """Escape what would end a line, as the format demands."""
    return text.replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n")
