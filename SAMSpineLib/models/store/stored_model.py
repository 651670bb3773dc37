"""One set of weights on this machine, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredModel:
    """A safetensors file and what must be known to use it.

    Attributes:
        name: what a user types after `--model`.
        architecture: which network the weights fill, a key of `MODELS` or `LOCALISERS` in `models/build.py`.
        path: the safetensors file; its tensors have the names of the network's own parameters, without any wrapper.
        bytes: size of the file.
        sha256: checksum of the file; empty for weights that a user names by path, of which nothing is promised.
        image_size: side in pixels of the square image that a 2D network was trained on; None for other networks.
        licence: on what terms the weights may be used.
        citation: what to cite.
        source: the address or the file that the weights came from.
        source_sha256: checksum of what came from there, before the conversion.
        added: date (ISO, UTC).
    """

    name: str
    architecture: str
    path: Path
    bytes: int = 0
    sha256: str = ""
    image_size: int | None = None
    licence: str = ""
    citation: str = ""
    source: str = ""
    source_sha256: str = ""
    added: str = ""
