"""The folder of a user's models: safetensors files and a small readable index, which says what each file must be.

What is written is written whole or not at all, the index last: whatever fails, what was there before is there still.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from SAMSpineLib.errors import ModelError, OutputError
from SAMSpineLib.file_lock import held
from SAMSpineLib.models.registry import checksum
from SAMSpineLib.models.store.stored_model import StoredModel
from SAMSpineLib.safe_write import replacing

INDEX = "index.json"
VERSION = 1
FOLDER_VARIABLE = "SAMSPINE_MODELS"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def user_folder() -> Path:
    """Return where a user's own models lie: the folder in SAMSPINE_MODELS, else `.samspine/models` at home."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path.home() / ".samspine" / "models"


@dataclass(frozen=True)
class _Content:
    """What the index says: models by name, and the models whose terms the user has accepted."""

    models: dict[str, StoredModel]
    accepted: frozenset[str]


@dataclass(frozen=True)
class ModelStore:
    """The models in a folder. A folder that is not there yet is an empty store, and is made with the first model."""

    folder: Path

    @property
    def index(self) -> Path:
        """Where the index lies."""
        return self.folder / INDEX

    @property
    def downloads(self) -> Path:
        """Where files lie until they are complete and converted."""
        return self.folder / "downloads"

    def teaching_folder(self, name: str) -> Path:
        """Return where the run that teaches a model keeps what it needs to go on."""
        return self.folder / "teaching" / re.sub(r"[^A-Za-z0-9_.-]+", "-", name)

    def make_folder(self) -> None:
        """See to it that the folder is there.

        Raises:
            OutputError: if it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"The folder of models {self.folder} cannot be made: {error.strerror}; check space and permissions"
            raise OutputError(msg) from error

    def models(self) -> dict[str, StoredModel]:
        """Read the index: models by name, in the order in which they were added.

        Raises:
            ModelError: if the index is damaged or of a later version.
        """
        return self._read().models

    def accepted(self, name: str) -> bool:
        """Tell whether the user has accepted the terms of a model, now or before."""
        return name in self._read().accepted

    def accept(self, name: str) -> None:
        """Remember that the user has accepted the terms of a model."""
        self._change(lambda content: replace(content, accepted=content.accepted | {name}))

    def add(self, model: StoredModel, write: Callable[[Path], None]) -> StoredModel:
        """Store a model, and return it with its path, size, checksum and date.

        Args:
            model: what is known of it; its path is not used.
            write: writes the safetensors file to the path that it is given.

        Raises:
            ModelError: if the name is taken or no name for a file.
            OutputError: if the folder or a file cannot be written; nothing is changed then.
        """
        self.check_free(model.name)
        path = self.folder / f"{model.name}.safetensors"
        self.make_folder()
        with replacing(path) as partial:
            write(partial)
        today = datetime.now(UTC).date().isoformat()
        stored = replace(model, path=path, bytes=path.stat().st_size, sha256=checksum(path), added=today)
        try:
            self._change(lambda content: replace(content, models={**content.models, stored.name: stored}))
        except BaseException:  # an interrupt too must leave nothing that no index knows
            path.unlink(missing_ok=True)
            raise
        return stored

    def check_free(self, name: str) -> None:
        """Make sure that a model can be added under this name; worth asking before a long download.

        Raises:
            ModelError: if the name is taken, or no name for a file.
        """
        if not NAME.fullmatch(name):
            msg = f"'{name}' cannot be a model's name: letters, digits, '.', '_' and '-' are allowed, 64 at most"
            raise ModelError(msg)
        if name in self.models():
            msg = f"There is a model '{name}' in {self.folder} already; choose another name, or remove it first"
            raise ModelError(msg)

    def remove(self, name: str) -> StoredModel:
        """Take a model out of the index, then its file out of the folder.

        Raises:
            ModelError: if there is no such model.
            OutputError: if the index cannot be written.
        """
        model = self.model(name)
        others = {key: one for key, one in self.models().items() if key != name}
        self._change(lambda content: replace(content, models=others))
        with suppress(OSError):  # a file that no index knows does no harm
            model.path.unlink()
        return model

    def clear(self) -> tuple[str, ...]:
        """Remove all models and all half downloaded files; return the names of the models.

        Raises:
            ModelError: if the index is damaged.
            OutputError: if it cannot be written.
        """
        names = tuple(self.models())
        for name in names:
            self.remove(name)
        for path in self.downloads.glob("*"):
            with suppress(OSError):
                path.unlink()
        return names

    def model(self, name: str) -> StoredModel:
        """Return a model of this store.

        Raises:
            ModelError: if there is none of this name.
        """
        models = self.models()
        if name not in models:
            msg = f"There is no model '{name}' in {self.folder}; there are: {', '.join(models) or 'none'}"
            raise ModelError(msg)
        return models[name]

    def verify(self, name: str) -> StoredModel:
        """Return a model after checking its file against the index.

        Raises:
            ModelError: if there is no such model, or its file is missing or not the one that was stored.
        """
        model = self.model(name)
        remedy = f"remove '{name}' with `samspine models remove {name}`, then download or add it again"
        if not model.path.is_file():
            msg = f"The weights of '{name}' are missing: {model.path} is not there; {remedy}"
            raise ModelError(msg)
        found = checksum(model.path)
        if found != model.sha256:
            msg = (
                f"The weights of '{name}' at {model.path} are damaged: expected SHA-256 {model.sha256[:12]}..., "
                f"got {found[:12]}...; {remedy}"
            )
            raise ModelError(msg)
        return model

    def _read(self) -> _Content:
        if not self.index.exists():
            return _Content({}, frozenset())
        try:
            content = json.loads(self.index.read_text(encoding="utf-8"))
            if content["version"] == VERSION:
                models = {row["name"]: self._model(row) for row in content["models"]}
                return _Content(models, frozenset(content["accepted"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            msg = (
                f"The index of models {self.index} is damaged ({type(error).__name__}: {error}); put back a copy of "
                "it, or remove it and add the models again: the other files in the folder are as they were"
            )
            raise ModelError(msg) from error
        msg = f"The index of models {self.index} has version {content['version']}, known is {VERSION}; update SAMSpine"
        raise ModelError(msg)

    def _model(self, row: dict[str, Any]) -> StoredModel:
        """Turn a row of the index into a model; whatever is wrong with it is an error of json's kind."""
        if Path(row["file"]).name != row["file"]:
            msg = f"'{row['file']}' is no name of a file in the folder"
            raise ValueError(msg)
        fields = {key: value for key, value in row.items() if key != "file"}
        return StoredModel(**fields, path=self.folder / row["file"])

    def _change(self, change: Callable[[_Content], _Content]) -> None:
        """Read the index, change it and write it back, with no other process in between."""
        self.make_folder()
        with held(self.folder / ".lock", f"A change of the models in {self.folder}"):
            content = change(self._read())
            rows = [_row(one) for one in content.models.values()]
            text = {"version": VERSION, "models": rows, "accepted": sorted(content.accepted)}
            with replacing(self.index) as partial:
                partial.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def _row(model: StoredModel) -> dict[str, Any]:
    """Return the row of the index for a model: a folder that is moved or copied keeps its models."""
    return {**{key: value for key, value in asdict(model).items() if key != "path"}, "file": model.path.name}
