"""Checkpoints become models of the store: recognised, converted, described."""

from __future__ import annotations

import re
import shutil
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from SAMSpineLib.errors import MissingExtraError, ModelError
from SAMSpineLib.models.registry import Release, checksum, model_entries, releases
from SAMSpineLib.models.store.fetching import check_room
from SAMSpineLib.models.store.model_store import ModelStore
from SAMSpineLib.models.store.recognition import SAM2_IMAGE_SIZE, Recognised, recognise
from SAMSpineLib.models.store.stored_model import StoredModel

# MedSAM2 was tuned on smaller images than SAM 2.1, of which it has the shapes.
MEDSAM2_IMAGE_SIZE = 512
# How a file says that it was written by `samspine teach`, and that it holds what was learnt on a SAM.
TAUGHT_KIND = "sam2rad"
LEARNT_KINDS = (TAUGHT_KIND, "masksam", "ma-sam")


# Of more structures than that only the number is listed.
MOST_NAMED = 8


@dataclass(frozen=True)
class Given:
    """What a user says of a checkpoint that they add; what is left out is found out.

    Attributes:
        name: what it shall be called; else the published name of this very file, else the file's own.
        image_size: side in pixels of the square image that it was trained on. SAM's shapes tell it, those of SAM 2 do
            not: there it is the published size where nothing is said.
        licence: on what terms it may be used.
    """

    name: str | None = None
    image_size: int | None = None
    licence: str = ""


def add_checkpoint(store: ModelStore, path: Path, given: Given | None = None, ours: Container[str] = ()) -> StoredModel:
    """Add a file of the user: `.pt`, `.pth` or `.safetensors`.

    It may hold any size of SAM or SAM 2, or what was tuned from one; weights that `samspine train` has written; or what
    was learnt on a SAM, by `samspine teach` or `samspine train`.

    Args:
        store: where to.
        path: the file.
        given: what the user says of it.
        ours: networks of which a file may say itself that it holds their weights, as those of `samspine train` do.

    Raises:
        ModelError: if the file is no such checkpoint, would run something, or the name is not free.
        OutputError: if there is no room, or the folder cannot be written.
        MissingExtraError: if torch is not installed.
    """
    given = given or Given()
    if not path.is_file():
        msg = f"The checkpoint '{path}' does not exist"
        raise ModelError(msg)
    check_room(store.folder, path.stat().st_size)
    found = checksum(path)
    release = next((one for one in releases().values() if one.sha256 == found), None)
    name = given.name or (release.name if release is not None else slug(path.stem))
    _check_not_anothers(name, found)
    about = StoredModel(name, "", path, source=path.name, source_sha256=found)
    if release is not None:
        about = published(about, release)
    return converted(store, replace(about, licence=given.licence or about.licence), given.image_size, ours)


def published(about: StoredModel, release: Release) -> StoredModel:
    """Add to a model what is known of the published file that it is."""
    return replace(
        about, architecture=release.architecture, image_size=release.image_size,
        licence=release.licence, citation=release.citation,
    )  # fmt: skip


def converted(
    store: ModelStore, about: StoredModel, image_size: int | None = None, ours: Container[str] = ()
) -> StoredModel:
    """Read the checkpoint at a model's path, recognise it, and keep it as safetensors in the store.

    Args:
        store: where to.
        about: what is known of it; its architecture is what the checkpoint must turn out to be, if it is not empty.
        image_size: what the user says of it.
        ours: see `add_checkpoint`.

    Raises:
        ModelError: if it is no checkpoint, would run something, or fills another network than it should.
        OutputError: if the folder cannot be written.
        MissingExtraError: if torch is not installed.
    """
    store.check_free(about.name)
    check_torch()
    from SAMSpineLib.models.store.conversion import declared, read_checkpoint, write_safetensors

    tensors = read_checkpoint(about.path)
    said = declared(about.path)
    if said.get("kind") in LEARNT_KINDS:
        return _taught(store, about, said["kind"])
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    found = Recognised(said["model"], None) if said.get("model") in ours else recognise(shapes)
    if about.architecture not in {"", found.architecture}:
        msg = f"'{about.path.name}' has the shapes of {found.architecture}, expected were those of {about.architecture}"
        raise ModelError(msg)
    size = found.image_size or image_size or about.image_size or _usual_size(about, found.architecture, said)
    model = replace(about, architecture=found.architecture, image_size=size)
    return store.add(model, lambda partial: write_safetensors(partial, tensors, _metadata(model)))


def _taught(store: ModelStore, about: StoredModel, kind: str) -> StoredModel:
    """Keep a model that was learnt on a SAM as it is: its card is in its file.

    Raises:
        ModelError: if the card cannot be read.
    """
    structures, backbone = _card(about.path, kind)
    many = f"{len(structures)} structures" if len(structures) > MOST_NAMED else ", ".join(structures)
    model = replace(about, architecture=kind, source=f"{many} on {backbone}")

    def write(partial: Path) -> None:
        shutil.copyfile(about.path, partial)

    return store.add(model, write)


def _card(path: Path, kind: str) -> tuple[list[str], str]:
    """Return what a file's card names: structures, and the SAM."""
    from SAMSpineLib.models.ma_sam.learnt import read_ma_sam
    from SAMSpineLib.models.masksam.learnt import read_masksam
    from SAMSpineLib.models.sam2rad.taught import read_card

    readers: dict[str, Any] = {"masksam": read_masksam, "ma-sam": read_ma_sam}
    card: Any = read_card(path) if kind == TAUGHT_KIND else readers[kind](path)[1]
    return [one.name for one in card.structures], card.backbone


def check_torch() -> None:
    """Say, before a long download, that what comes after it cannot be done.

    Raises:
        MissingExtraError: if torch or safetensors is not installed.
    """
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        package = error.name or "torch"
        raise MissingExtraError(package, "sam") from error


def _usual_size(about: StoredModel, architecture: str, said: Mapping[str, str]) -> int | None:
    """Return the image size of a SAM 2 of which the user has not said it.

    A file that comes from another store says it; of all others only the names tell a MedSAM2 from a SAM 2.1.
    """
    if not architecture.startswith("sam2"):
        return None
    if said.get("image_size", "").isdecimal():
        return int(said["image_size"])
    medsam2 = architecture.startswith("sam2.1") and "medsam2" in f"{about.name} {about.source}".lower()
    return MEDSAM2_IMAGE_SIZE if medsam2 else SAM2_IMAGE_SIZE


def _metadata(model: StoredModel) -> dict[str, str]:
    """Return what the file itself says of where it comes from."""
    return {
        "model": model.architecture, "image_size": str(model.image_size or ""), "licence": model.licence,
        "citation": model.citation, "source": model.source, "source_sha256": model.source_sha256,
    }  # fmt: skip


def _check_not_anothers(name: str, found: str) -> None:
    """Keep the names of bundled and published weights for those very files."""
    if name in model_entries():
        msg = f"'{name}' comes with SAMSpine: choose another name with --name"
        raise ModelError(msg)
    release = releases().get(name)
    if release is not None and found != release.sha256:
        expected = f"{release.sha256[:12]}..." if release.sha256 is not None else "not known here"
        msg = f"'{name}' is the name of a published file (SHA-256 {expected}), and this one is another "
        raise ModelError(msg + f"({found[:12]}...): choose another name with --name")


def slug(stem: str) -> str:
    """Return a file's name as a model's."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", stem).strip("-.").lower()[:64] or "model"
