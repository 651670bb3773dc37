"""Voxels as text and as bytes: zlib over packed bits or raw numbers, and never more bytes out than were announced."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import VolumeError

# Level 1 costs a fifth of the time of zlib's default and gives masks about the same size.
LEVEL = 1
DTYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
)  # fmt: skip

Packed = dict[str, Any]


def compress(data: bytes | memoryview, level: int = LEVEL) -> bytes:
    """Compress bytes for the way; level 0 only wraps them."""
    return zlib.compress(data, level)


def expand(data: bytes, size: int) -> bytes:
    """Expand to exactly `size` bytes; what holds more is not expanded further.

    Raises:
        VolumeError: if it is damaged, or holds more or fewer bytes.
    """
    found = expand_at_most(data, size)
    if len(found) != size:
        msg = f"The voxels arrived in a size other than announced: expected {size} bytes, got {len(found)}"
        raise VolumeError(msg)
    return found


def expand_at_most(data: bytes, most: int) -> bytes:
    """Expand to at most `most` bytes; what holds more is not expanded further.

    Raises:
        VolumeError: if it is damaged, cut off, or holds more.
    """
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, most + 1)
        # The end may still be hidden behind the last byte.
        found += b"" if stream.eof else stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        msg = f"The voxels arrived damaged ({error}); send them again"
        raise VolumeError(msg) from None
    if len(found) > most:
        msg = f"The voxels take more than the {most} bytes that were announced or are allowed at once"
        raise VolumeError(msg)
    if not stream.eof or stream.unused_data:
        msg = "The voxels arrived cut off or with something behind them; send them again"
        raise VolumeError(msg)
    return found


def bytes_of(array: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, not copied."""
    return array.reshape(-1).view(np.uint8).data


def pack_array(array: npt.NDArray[Any]) -> Packed:
    """Return an array (K, J, I) as a JSON object; voxels of truth values take a bit each."""
    array = np.ascontiguousarray(array)
    raw = np.packbits(array.ravel()) if array.dtype == np.bool_ else array
    data = base64.b64encode(compress(bytes_of(raw))).decode("ascii")
    return {"shape": list(array.shape), "dtype": array.dtype.name, "data": data}


def unpack_array(packed: Packed, *, most_voxels: int = 2**40) -> npt.NDArray[Any]:
    """Return the array of a JSON object.

    Raises:
        VolumeError: if it is damaged, of another size than it says, or holds more voxels than `most_voxels`.
    """
    shape, name = tuple(packed["shape"]), packed["dtype"]
    voxels = math.prod(shape)
    if name not in DTYPES or len(shape) != 3 or min(shape) < 0 or voxels > most_voxels:
        msg = f"Expected at most {most_voxels} voxels along three axes and a plain type, got {name} of shape {shape}"
        raise VolumeError(msg)
    try:
        data = base64.b64decode(packed["data"], validate=True)
    except (binascii.Error, ValueError):
        msg = "The voxels arrived damaged: they are no base64"
        raise VolumeError(msg) from None
    if name != "bool":
        raw = expand(data, voxels * np.dtype(name).itemsize)
        return np.frombuffer(raw, dtype=name).reshape(shape)
    bits = np.frombuffer(expand(data, (voxels + 7) // 8), np.uint8)
    return np.unpackbits(bits, count=voxels).astype(np.bool_).reshape(shape)
