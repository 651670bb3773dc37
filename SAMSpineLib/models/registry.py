"""Which weights come with the project: `Resources/models.json`, and whether the files are what it says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

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


def model_entries() -> dict[str, ModelEntry]:
    """Return all bundled models by name.

    Raises:
        ModelError: if the list is missing or damaged.
    """
    try:
        rows = json.loads(resource_path("models.json").read_text(encoding="utf-8"))
        return {row["name"]: ModelEntry(**row) for row in rows}
    except (ValueError, KeyError, TypeError, SAMSpineError) as error:
        msg = f"The list of models, Resources/models.json, cannot be read ({error}); reinstall SAMSpine"
        raise ModelError(msg) from error


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
