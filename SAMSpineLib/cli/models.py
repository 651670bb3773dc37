"""`samspine models`: which networks there are, and the weights of others: get, add, check, remove."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, note, print_json, print_table, working
from SAMSpineLib.errors import ModelError

if TYPE_CHECKING:
    from SAMSpineLib.models.registry import Release
    from SAMSpineLib.models.store.stored_model import StoredModel

EXAMPLES = """\b
Your own models lie in the folder that the variable SAMSPINE_MODELS names, else in ~/.samspine/models. Every verb with
--model takes them by name.

\b
Examples:
  samspine models list
  samspine models download sam2.1-tiny
  samspine models add my_finetune.pth --name mine
  samspine models verify
  samspine models remove mine
"""

app = typer.Typer(help="List, get, add, check or remove networks.", epilog=EXAMPLES, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model of `samspine models list`.")]


@app.command("list", epilog="Example: samspine models list --json")
def list_models(as_json: options.Json = False) -> None:
    """List the networks, and where their weights are."""
    from SAMSpineLib.models.build import DEFAULT_MODEL
    from SAMSpineLib.models.catalogue import listed
    from SAMSpineLib.models.store.resolving import user_store

    found = listed()
    if as_json:
        rows = [
            {**asdict(one), "default": one.name == DEFAULT_MODEL, "bundled": one.state == "bundled"} for one in found
        ]
        print_json({"folder": str(user_store().folder), "models": rows})
        return
    words = {"bundled": "{} MB", "stored": "{} MB, yours", "download": "download {} MB", "train": "none: train it"}
    lines = [
        (one.name + (" (default)" if one.name == DEFAULT_MODEL else ""), words[one.state].format(_megabytes(one.bytes)),
         one.licence, one.summary)
        for one in found
    ]  # fmt: skip
    print_table("Networks", ("name", "weights", "licence", "what it is"), lines)


@app.command("download", epilog="Example: samspine models download medsam2 --accept-licence")
def download_model(
    name: Name,
    *,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept its terms without being asked; for scripts.")
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where else its file lies; SAMSPINE_MODEL_MIRROR says so for all."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Download published weights.

    Its terms are shown first. What has arrived stays when it is interrupted: the same command goes on from there.
    """
    from SAMSpineLib.models.store.downloading import address_of, agree, download
    from SAMSpineLib.models.store.resolving import user_store

    store = user_store()
    release = agree(store, name, lambda one: _accepts(one, address_of(one, mirror), unasked=accept_licence))
    with counting(f"Downloading {name} (MB)") as tell:
        stored = download(store, name, mirror=mirror, progress=tell)
    if release.sha256 is None:
        note(f"No checksum of '{name}' is published: this file's SHA-256 is {stored.source_sha256}")
    _show(stored, "Downloaded", as_json=as_json)


@app.command("add", epilog="Example: samspine models add my_finetune.pth --name mine")
def add_model(
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="A .pt, .pth or .safetensors file.")],
    *,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call it; else as the file is called.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", min=64, max=4096, help="For SAM 2: what it was tuned on, if not 1024."),
    ] = None,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="On what terms it may be used.")] = "",
    as_json: options.Json = False,
) -> None:
    """Add a checkpoint of any size of SAM or SAM 2.

    Fine-tunes of the same shape too, and weights of `samspine train`. It is copied, as safetensors; nothing in it is
    run.
    """
    from SAMSpineLib.models.catalogue import add
    from SAMSpineLib.models.store.adding import Given

    with working(f"Adding {checkpoint}"):
        stored = add(checkpoint, Given(name, image_size, licence))
    _show(stored, "Added", as_json=as_json)


@app.command("verify", epilog="Example: samspine models verify ct-sam3d-small")
def verify_models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One network; without it all.")] = None,
    as_json: options.Json = False,
) -> None:
    """Check the SHA-256 of bundled and own weights.

    Damaged or missing ones are an error.
    """
    from SAMSpineLib.models.catalogue import verified

    paths = {one: str(path) for one, path in verified(None if name is None else [name]).items()}
    if as_json:
        print_json({"verified": paths})
    else:
        typer.echo("\n".join(f"{one}: as it was released or added ({path})" for one, path in paths.items()))


@app.command("remove", epilog="Example: samspine models remove sam2.1-large")
def remove_models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of your own models.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of them, and what is half downloaded.")] = False,
    as_json: options.Json = False,
) -> None:
    """Remove own weights from this machine."""
    from SAMSpineLib.models.store.resolving import user_store

    if (name is None) != everything:
        msg = "Name one model to remove, or give --all: `samspine models list` shows which are yours"
        raise ModelError(msg)
    store = user_store()
    removed = store.clear() if name is None else (store.remove(name).name,)
    if as_json:
        print_json({"folder": str(store.folder), "removed": list(removed)})
    else:
        typer.echo(f"Removed from {store.folder}: {', '.join(removed) or 'nothing'}")


def _accepts(release: Release, address: str, *, unasked: bool) -> bool:
    """Show the terms of a release, and ask."""
    typer.echo(
        f"{release.summary} {_megabytes(release.bytes)} MB from {address}\n"
        f"Licence: {release.licence} ({release.terms})\nCite: {release.citation}",
        err=True,
    )
    if unasked:
        return True
    if not _is_terminal():
        msg = f"Nobody is here to accept these terms ({release.licence}): give --accept-licence if you do"
        raise ModelError(msg)
    return typer.confirm("Do you accept these terms?", err=True)


def _is_terminal() -> bool:
    """Tell whether somebody can be asked."""
    return sys.stdin.isatty()


def _show(stored: StoredModel, done: str, *, as_json: bool) -> None:
    """Say what was stored."""
    if as_json:
        fields: dict[str, Any] = {**asdict(stored), "path": str(stored.path)}
        print_json({"model": fields})
    else:
        what = f"{stored.architecture}, {stored.image_size} pixels" if stored.image_size else stored.architecture
        typer.echo(f"{done} '{stored.name}' ({what}, {_megabytes(stored.bytes)} MB): {stored.path}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}" if size < 1e8 else f"{size / 1e6:.0f}"
