"""A file that has arrived in part, and what must be known to go on with it another day."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from SAMSpineLib.errors import OutputError


@dataclass(frozen=True)
class Origin:
    """What was being downloaded.

    Attributes:
        address: from where.
        validator: the server's strong ETag or the date of its file: what `If-Range` (RFC 9110, 13.1.5) asks for, so
            that a file that has changed in the meantime is not put together from two.
        bytes: how long the whole is, None if the server does not say.
    """

    address: str
    validator: str
    bytes: int | None


@dataclass(frozen=True)
class PartialFile:
    """`target` while it is not complete: `target.part`, and beside it a note of where it comes from."""

    target: Path

    @property
    def path(self) -> Path:
        """What has arrived."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def note(self) -> Path:
        """Where it comes from."""
        return self.target.with_name(f"{self.target.name}.part.json")

    @property
    def size(self) -> int:
        """How many bytes have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self, address: str) -> Origin | None:
        """Return where what has arrived comes from, if it is this address and the server can tell whether it fits."""
        try:
            origin = Origin(**json.loads(self.note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return origin if self.size and origin.address == address and origin.validator else None

    def begin(self, origin: Origin) -> None:
        """Start anew."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.discard()
            self.note.write_text(json.dumps(asdict(origin)), encoding="utf-8")
            self.path.touch()
        except OSError as error:
            raise unwritable(self.path, error) from error

    def append(self, block: bytes) -> None:
        """Keep what has arrived; it is on its way to the disk when this returns."""
        try:
            with self.path.open("ab", buffering=0) as handle:
                handle.write(block)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def finish(self) -> Path:
        """Give the complete file its name, once it is on the disk."""
        try:
            with self.path.open("rb+") as handle:
                os.fsync(handle.fileno())
            self.path.replace(self.target)
            self.note.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.target, error) from error
        return self.target

    def discard(self) -> None:
        """Forget all of it."""
        for path in (self.path, self.note):
            path.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> OutputError:
    """Say that a file cannot be written."""
    return OutputError(f"{path} cannot be written: {error.strerror}; check space and permissions")
