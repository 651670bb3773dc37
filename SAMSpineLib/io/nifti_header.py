"""What we must know of a NIfTI file that ITK does not tell: its promised length, its shear, and its lost NaN.

Format: https://nifti.nimh.nih.gov/nifti-1 and nifti-2.
"""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = 544
_FLOATS = {16: "f4", 64: "f8"}
_CHUNK = 1 << 22


@dataclass(frozen=True)
class NiftiHeader:
    """What we need of a NIfTI-1 or NIfTI-2 header.

    `offset` is where the voxels begin, `voxels` how many there are, `bits` how large each is; `float_type` is numpy's
    name of their type, empty for integers; `has_place` says whether qform or sform is set; `sheared` whether the sform
    is set and its axes are not perpendicular.
    """

    offset: int
    voxels: int
    bits: int
    float_type: str
    has_place: bool
    sheared: bool

    @property
    def promised_bytes(self) -> int:
        """Length of the whole file, decompressed."""
        return self.offset + self.voxels * self.bits // 8


def nifti_header(head: bytes) -> NiftiHeader | None:
    """Read the first bytes of a NIfTI-1 (348) or NIfTI-2 (540) file in either byte order; None if it is neither."""
    for order in "<>":
        size = struct.unpack_from(f"{order}i", head)[0] if len(head) >= 348 else 0
        if size == 348 and head[344:347] in (b"n+1", b"ni1"):
            kind, bits = struct.unpack_from(f"{order}2h", head, 70)
            dims, offset = struct.unpack_from(f"{order}8h", head, 40), struct.unpack_from(f"{order}f", head, 108)[0]
            codes, sform = struct.unpack_from(f"{order}2h", head, 252), struct.unpack_from(f"{order}12f", head, 280)
        elif size == 540 and len(head) >= 540:
            kind, bits = struct.unpack_from(f"{order}2h", head, 12)
            dims, offset = struct.unpack_from(f"{order}8q", head, 16), struct.unpack_from(f"{order}q", head, 168)[0]
            codes, sform = struct.unpack_from(f"{order}2i", head, 344), struct.unpack_from(f"{order}12d", head, 400)
        else:
            continue
        voxels = math.prod(max(int(n), 1) for n in dims[1 : 1 + min(max(dims[0], 0), 7)])
        float_type = order + _FLOATS[kind] if kind in _FLOATS else ""
        sheared = codes[1] > 0 and _is_sheared(np.reshape(sform, (3, 4))[:, :3])
        return NiftiHeader(int(offset), voxels, bits, float_type, any(code > 0 for code in codes), sheared)
    return None


def _is_sheared(columns: npt.NDArray[np.float64]) -> bool:
    """Tell whether three axes (columns, mm) are all there and not perpendicular to each other.

    ITK quietly turns to the qform then, which can only approximate what the sform says.
    """
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.all() or not np.isfinite(lengths).all():
        return False
    unit = columns / lengths
    return not np.allclose(unit.T @ unit, np.eye(3), atol=1e-3)


def lost_not_finite(path: Path) -> npt.NDArray[np.bool_] | None:
    """Find the voxels of a NIfTI file that are NaN or infinite: a flat mask in file order, None if there are none.

    ITK sets them to 0 without a word, and 0 HU is water.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as stream:
        header = nifti_header(stream.read(_HEAD))
        if header is None or not header.float_type:
            return None
        kind, start = np.dtype(header.float_type), 0
        mask = np.zeros(header.voxels, dtype=bool)
        stream.seek(header.offset)
        while start < header.voxels:
            numbers: npt.NDArray[Any] = np.frombuffer(stream.read(_CHUNK), dtype=kind)[: header.voxels - start]
            mask[start : start + numbers.size] = ~np.isfinite(numbers)
            start += numbers.size
    return mask if mask.any() else None
