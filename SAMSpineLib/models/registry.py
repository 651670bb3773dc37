"""`Resources/models.json`: which weights come with the project, and which can be had elsewhere."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from SAMSpineLib.errors import ModelError, SAMSpineError
from SAMSpineLib.resources import resource_path


@dataclass(frozen=True)
class ModelEntry:
    """One bundled model: its weights file under `Resources/`, size in bytes, checksum, licence and a sentence."""

    name: str
    file: str
    bytes: int
    sha256: str
    licence: str
    summary: str

    @property
    def path(self) -> Path:
        """Where the weights lie."""
        return resource_path(*self.file.split("/"))


@dataclass(frozen=True)
class Release:
    """One checkpoint that others have published.

    Attributes:
        name: what it is called here.
        architecture: which network it fills, a key of `MODELS`.
        address: where it is offered.
        bytes: its size.
        sha256: its checksum; None where no text that can be trusted gives it.
        image_size: side in pixels of the square image that it was trained on.
        licence: name of its licence and what its authors restrict beyond that.
        terms: address of the licence's text.
        citation: what to cite.
        summary: a sentence.
    """

    name: str
    architecture: str
    address: str
    bytes: int
    sha256: str | None
    image_size: int
    licence: str
    terms: str
    citation: str
    summary: str

    @property
    def file(self) -> str:
        """Name of the published file."""
        return PurePosixPath(urlsplit(self.address).path).name


def model_entries() -> dict[str, ModelEntry]:
    """Return all bundled models by name.

    Raises:
        ModelError: if the list is missing or damaged.
    """
    return {row["name"]: ModelEntry(**row) for row in _rows("bundled")}


def releases() -> dict[str, Release]:
    """Return all checkpoints that can be downloaded, by name.

    Raises:
        ModelError: if the list is missing or damaged.
    """
    return {row["name"]: Release(**row) for row in _rows("released")}


def _rows(part: str) -> list[dict[str, Any]]:
    """Return the rows of a part of the list, each with the fields that it must have."""
    kind = {"bundled": ModelEntry, "released": Release}[part]
    try:
        rows: list[dict[str, Any]] = json.loads(resource_path("models.json").read_text(encoding="utf-8"))[part]
        for row in rows:
            kind(**row)
    except (ValueError, KeyError, TypeError, SAMSpineError) as error:
        msg = f"The list of models, Resources/models.json, cannot be read ({error}); reinstall SAMSpine"
        raise ModelError(msg) from error
    return rows


def verify(entry: ModelEntry) -> Path:
    """Return the path of a model's weights after checking their SHA-256.

    Raises:
        ModelError: if the file is missing or is not the one that was released.
    """
    try:
        path = entry.path
    except SAMSpineError as error:
        msg = f"The weights of '{entry.name}' are missing; {error}"
        raise ModelError(msg) from error
    found = checksum(path)
    if found != entry.sha256:
        msg = (
            f"The weights of '{entry.name}' at '{path}' are damaged: expected SHA-256 {entry.sha256[:12]}..., "
            f"got {found[:12]}...; reinstall SAMSpine, or name your own file with --weights"
        )
        raise ModelError(msg)
    return path


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
