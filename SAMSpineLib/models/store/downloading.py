"""Published checkpoints, by name: their terms first, then the file, then safetensors."""

from __future__ import annotations

import os
from collections.abc import Callable

from SAMSpineLib.errors import ModelError
from SAMSpineLib.file_lock import held
from SAMSpineLib.models.registry import Release, model_entries, releases
from SAMSpineLib.models.store.adding import check_torch, converted, published
from SAMSpineLib.models.store.fetching import Patience, Wanted, check_room, fetch
from SAMSpineLib.models.store.model_store import ModelStore
from SAMSpineLib.models.store.stored_model import StoredModel
from SAMSpineLib.progress import Counted

MIRROR_VARIABLE = "SAMSPINE_MODEL_MIRROR"


def agree(store: ModelStore, name: str, accepts: Callable[[Release], bool]) -> Release:
    """Show the user the terms of a release, once for each, and return it; nothing is downloaded before that.

    Args:
        store: where to; it remembers what has been accepted.
        name: of the release.
        accepts: asked whether the user accepts its terms.

    Raises:
        ModelError: if there is no such release, it is here already, or its terms are not accepted.
        OutputError: if the folder cannot be written.
    """
    release = release_of(name)
    store.check_free(name)
    if not store.accepted(name):
        if not accepts(release):
            raise ModelError(_not_accepted(release))
        store.accept(name)
    return release


def download(
    store: ModelStore,
    name: str,
    *,
    mirror: str | None = None,
    progress: Counted | None = None,
    patience: Patience | None = None,
) -> StoredModel:
    """Download a published checkpoint whose terms have been accepted, and keep it as safetensors.

    What has arrived stays when it is interrupted; the next call goes on from there.

    Args:
        store: where to.
        name: of the release.
        mirror: an address below which the published file lies; see `address_of`.
        progress: called with megabytes; what it raises ends the download.
        patience: how often to try again.

    Raises:
        ModelError: if there is no such release, it is here already, its terms are not accepted, or it cannot be had.
        OutputError: if there is no room, or the folder cannot be written.
        MissingExtraError: if torch is not installed.
    """
    release = agree(store, name, lambda _: False)
    check_torch()
    check_room(store.folder, 2 * release.bytes)
    # Another size than that of a file whose checksum is known is another file; without one, nobody knows.
    size = release.bytes if release.sha256 is not None else None
    target = store.downloads / release.file
    wanted = Wanted(address_of(release, mirror), target, size, release.sha256, room=1.0)
    with held(store.downloads / f"{name}.lock", f"A download of '{name}'"):
        found = fetch(wanted, progress, patience)
        about = StoredModel(name, "", target, source=wanted.address, source_sha256=found)
        try:
            stored = converted(store, published(about, release))
        except ModelError:
            target.unlink()
            raise
        target.unlink()
    return stored


def release_of(name: str) -> Release:
    """Return the release of a name.

    Raises:
        ModelError: if there is none.
    """
    known = releases()
    if name in known:
        return known[name]
    if name in model_entries():
        msg = f"'{name}' comes with SAMSpine: nothing is to be downloaded"
        raise ModelError(msg)
    msg = f"There is no '{name}' to download; there are: {', '.join(known)}"
    raise ModelError(msg)


def address_of(release: Release, mirror: str | None = None) -> str:
    """Return where a release is downloaded from: below `mirror`, or SAMSPINE_MODEL_MIRROR, or the publisher's own."""
    base = mirror or os.environ.get(MIRROR_VARIABLE)
    return f"{base.rstrip('/')}/{release.file}" if base else release.address


def _not_accepted(release: Release) -> str:
    terms = f"{release.licence}, {release.terms}"
    return f"The terms of '{release.name}' ({terms}) were not accepted: nothing was downloaded"
