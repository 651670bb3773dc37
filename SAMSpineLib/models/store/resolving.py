"""From a name to weights on this machine: bundled ones first, then those in the user's folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.registry import model_entries, releases, verify
from SAMSpineLib.models.store.model_store import ModelStore, user_folder
from SAMSpineLib.models.store.stored_model import StoredModel


def user_store() -> ModelStore:
    """Return the store in the user's folder."""
    return ModelStore(user_folder())


def resolve(name: str) -> StoredModel:
    """Return the model of a name, its file checked against its SHA-256.

    A file is checked once in a process, and again when it has changed.

    Raises:
        ModelError: if there is none on this machine, or its file is missing or damaged.
    """
    bundled = model_entries().get(name)
    if bundled is not None:
        return StoredModel(name, name, verify(bundled), bundled.bytes, bundled.sha256, licence=bundled.licence)
    store = user_store()
    if name in store.models():
        return _verified(store, name, _state(store.model(name).path))
    if name in releases():
        msg = f"The weights of '{name}' are not on this machine yet: get them with `samspine models download {name}`"
        raise ModelError(msg)
    msg = f"No weights come with '{name}': train it (see `samspine train --help`) and give them with --weights"
    raise ModelError(msg)


def weights_given(name: str, path: Path) -> StoredModel:
    """Return a user's own safetensors file as weights of the network that a name stands for."""
    known = None if name in model_entries() else releases().get(name) or user_store().models().get(name)
    return StoredModel(name, architecture_of(name), path, image_size=known.image_size if known is not None else None)


def architecture_of(name: str) -> str:
    """Return which network a name stands for: that of its release or stored model, else one of the same name."""
    if name in model_entries():
        return name
    known = releases().get(name) or user_store().models().get(name)
    return known.architecture if known is not None else name


def names_of(architectures: frozenset[str]) -> tuple[str, ...]:
    """Return the models on this machine that fill one of these networks, the bundled ones first."""
    bundled = [name for name in model_entries() if name in architectures]
    stored = [name for name, one in user_store().models().items() if one.architecture in architectures]
    return (*bundled, *(name for name in stored if name not in bundled))


@lru_cache(maxsize=64)
def _verified(store: ModelStore, name: str, _file: tuple[int, int] | None) -> StoredModel:
    return store.verify(name)


def _state(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file, which tell whether it is the one that was checked."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
