"""Does a file hold every voxel its header promises?

ITK fills the missing end of a truncated or damaged NIfTI file with zeros and says nothing; for MetaImage it refuses
but writes to stderr past us, and reads on after damage. Both are looked at here before ITK sees them. NRRD is checked
well by ITK itself.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

from SAMSpineLib.errors import GeometryError, VolumeError
from SAMSpineLib.io.nifti_header import nifti_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHUNK = 1 << 22
_ANY_STREAM = zlib.MAX_WBITS | 32  # gzip or zlib, told by their first bytes
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "LONG": 4, "ULONG": 4,
               "LONG_LONG": 8, "ULONG_LONG": 8, "DOUBLE": 8}  # fmt: skip


def check_complete(path: Path) -> tuple[str, ...]:
    """Check that a NIfTI or MetaImage file is whole; return notices about what its header leaves open.

    Raises:
        VolumeError: if the file is shorter than its header promises, or its compressed stream is damaged.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            return _check_nifti(path)
        if name.endswith((".mha", ".mhd")):
            _check_metaimage(path)
    except (ValueError, OverflowError) as error:
        msg = f"{path} is damaged: its header holds what is no number ({error}); copy or download it again"
        raise VolumeError(msg) from error
    return ()


def _check_nifti(path: Path) -> tuple[str, ...]:
    """Compare a NIfTI file's length, decompressed where it is gzip, with its header."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    chunks = _unzipped(path) if zipped else _raw(path)
    head = next(chunks, b"")
    header = nifti_header(head[:544])
    if header is None:
        msg = f"{path} is not a NIfTI file, though its name says so: expected a NIfTI-1 or NIfTI-2 header"
        raise VolumeError(msg)
    size = len(head) + sum(len(chunk) for chunk in chunks) if zipped else path.stat().st_size
    if size < header.promised_bytes:
        raise VolumeError(truncated_text(path, header.promised_bytes, size))
    if header.sheared:
        msg = (
            f"{path}: the axes of its sform are not perpendicular (sheared), which an image grid cannot hold; "
            f"resample it to an orthogonal grid first"
        )
        raise GeometryError(msg)
    if header.has_place:
        return ()
    return (f"{path.name} states no orientation (qform and sform codes are 0): left and right are a guess",)


def _raw(path: Path) -> Iterator[bytes]:
    """Yield the head of a file; its length is known without reading."""
    with path.open("rb") as file:
        yield file.read(1024)


def _unzipped(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield what a gzip or zlib stream from byte `start` on holds, member after member, checking every checksum.

    Raises:
        VolumeError: if the stream ends early or is damaged.
    """
    with path.open("rb") as file:
        file.seek(start)
        stream, data = zlib.decompressobj(_ANY_STREAM), file.read(_CHUNK)
        while data:
            try:
                yield stream.decompress(data)
            except zlib.error as error:
                msg = f"{path} is damaged (its compressed stream: {error}); copy or download it again"
                raise VolumeError(msg) from error
            data = stream.unused_data.lstrip(b"\0") or file.read(_CHUNK)
            if stream.eof and data:
                stream = zlib.decompressobj(_ANY_STREAM)
        if not stream.eof:
            msg = f"{path} is truncated: its compressed stream ends early; copy or download it again"
            raise VolumeError(msg)


def _check_metaimage(path: Path) -> None:
    """Compare the length of the data of a .mha or .mhd file with its header; formats we do not know are ITK's job."""
    with path.open("rb") as file:
        fields = dict(_meta_fields(file.readline, 200))
        start = file.tell()
    source = fields.get("ElementDataFile")
    if source is None:
        msg = f"{path} is not a MetaImage file, though its name says so: expected 'ElementDataFile = ...' in its header"
        raise VolumeError(msg)
    if source.upper().startswith("LIST") or "%" in source:
        return
    data = path if source == "LOCAL" else path.parent / source
    if not data.is_file():
        msg = f"{path} names its voxels' file '{source}', which is not beside it; keep the two files together"
        raise VolumeError(msg)
    start = start if source == "LOCAL" else 0
    zipped = fields.get("CompressedData", "False").lower() == "true"
    promised, size = _meta_promised(fields), data.stat().st_size - start
    if zipped:
        size = sum(len(chunk) for chunk in _unzipped(data, start))
    if size < promised:
        raise VolumeError(truncated_text(data, promised, size))


def _meta_fields(readline: Callable[[int], bytes], most: int) -> Iterator[tuple[str, str]]:
    """Yield 'key = value' lines up to and with ElementDataFile, which is the last."""
    for _ in range(most):
        line = readline(4096)
        key, equals, value = line.partition(b"=")
        if not equals:
            return
        yield key.decode("latin-1").strip(), value.decode("utf-8", "replace").strip()
        if key.strip() == b"ElementDataFile":
            return


def _meta_promised(fields: dict[str, str]) -> int:
    """Return how many bytes of voxels a MetaImage header promises, 0 where it does not say."""
    item = _META_BYTES.get(fields.get("ElementType", "").removeprefix("MET_").removesuffix("_ARRAY"), 0)
    voxels = math.prod(int(n) for n in fields.get("DimSize", "0").split())
    return voxels * item * int(fields.get("ElementNumberOfChannels", "1"))


def truncated_text(path: Path, promised: int, found: int) -> str:
    """Say that a file is shorter than it should be."""
    return f"{path} is truncated: its header promises {promised} bytes, it holds {found}; copy or download it again"
