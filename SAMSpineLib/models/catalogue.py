"""All models that there are: bundled, the user's own, those that can be downloaded, those that must be trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.build import DEFAULT_MODEL, LOCALISERS, MODELS, TAUGHT
from SAMSpineLib.models.registry import ModelEntry, Release, model_entries, releases, verify
from SAMSpineLib.models.store.adding import Given, add_checkpoint
from SAMSpineLib.models.store.resolving import names_of, user_store
from SAMSpineLib.models.store.stored_model import StoredModel

State = Literal["bundled", "stored", "download", "train"]


@dataclass(frozen=True)
class Listed:
    """One model.

    Attributes:
        name: what it is called.
        architecture: which network it is.
        state: whether its weights came with SAMSpine, lie in the user's folder, can be downloaded, or must be trained.
        bytes: size of the weights, or of what is to be downloaded.
        licence: on what terms they may be used.
        summary: a sentence.
    """

    name: str
    architecture: str
    state: State
    bytes: int = 0
    licence: str = ""
    summary: str = ""


def listed() -> tuple[Listed, ...]:
    """Return all models that answer prompts: those at hand first, then those to be had.

    Raises:
        ModelError: if the list or the index of the user's folder is damaged.
    """
    bundled, published, stored = model_entries(), releases(), user_store().models()
    ours = [name for name in MODELS if name not in published]
    return (
        *(_bundled(bundled[name]) for name in sorted(ours, key=lambda one: one != DEFAULT_MODEL) if name in bundled),
        *(_stored(model, published.get(name)) for name, model in stored.items()),
        *(_released(release) for name, release in published.items() if name not in stored),
        *(Listed(name, name, "train") for name in ours if name not in bundled and name not in stored),
    )


def at_hand() -> tuple[str, ...]:
    """Return the names of all models that answer prompts and whose weights are here, the default one first."""
    return tuple(sorted(names_of(frozenset({**MODELS, **TAUGHT})), key=lambda name: name != DEFAULT_MODEL))


def add(path: Path, given: Given | None = None) -> StoredModel:
    """Add a checkpoint to the user's models; see `add_checkpoint`."""
    return add_checkpoint(user_store(), path, given, {*MODELS, *LOCALISERS})


def verified(names: Iterable[str] | None = None) -> dict[str, Path]:
    """Check weights against their SHA-256 and return where they lie.

    Args:
        names: which; all that are bundled or in the user's folder if None.

    Raises:
        ModelError: naming all that are damaged or missing.
    """
    bundled, store = model_entries(), user_store()
    found: dict[str, Path] = {}
    faults: list[str] = []
    for name in names if names is not None else (*bundled, *store.models()):
        try:
            found[name] = verify(bundled[name]) if name in bundled else store.verify(name).path
        except ModelError as error:
            faults.append(str(error))
    if faults:
        raise ModelError("; ".join(faults))
    return found


def _bundled(entry: ModelEntry) -> Listed:
    return Listed(entry.name, entry.name, "bundled", entry.bytes, entry.licence, entry.summary)


def _stored(model: StoredModel, release: Release | None) -> Listed:
    origin = f"{model.architecture}, from {model.source}"
    summary = release.summary if release is not None and release.sha256 in {None, model.source_sha256} else origin
    return Listed(model.name, model.architecture, "stored", model.bytes, model.licence, summary)


def _released(release: Release) -> Listed:
    return Listed(release.name, release.architecture, "download", release.bytes, release.licence, release.summary)
