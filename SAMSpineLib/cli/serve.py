"""`samspine serve`: the engine for 3D Slicer, for notebooks, or for a department."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import note, working

if TYPE_CHECKING:
    from SAMSpineLib.atlas.atlas import Atlas
    from SAMSpineLib.engine.networks import Networks
    from SAMSpineLib.engine.settings import EngineSettings
    from SAMSpineLib.lesson_order import LessonOrder, LessonResult, Teacher
    from SAMSpineLib.models.precision import Precision
    from SAMSpineLib.progress import StageProgress

EXAMPLES = """\b
Alone it serves this machine only, under a secret that it prints. To serve others, choose a secret yourself, put it into
a file, and give a certificate: without one, images and secret travel in the clear.

\b
Examples:
  samspine serve
  samspine serve --port 8723 --device cuda
  samspine serve --host 0.0.0.0 --port 8723 --token-file secret.txt --tls-cert box.pem --tls-key box.key
"""
MIB = 2**20
# Slices to either side that are encoded while the user looks, with networks that work slice by slice.
SLICES_AHEAD = 3


def command(
    *,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; beyond this machine with a token file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one, which is printed.")] = 0,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A secret of your own, one word of 16 or more characters.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM).")] = None,
    model: options.Model = "ct-sam3d-small",
    weights: options.Weights = None,
    localiser_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of your own for the localiser.")
    ] = None,
    library: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Atlases of your own, beside the bundled ones.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where it computes; auto: a GPU if there is one.")
    ] = "cpu",
    precision: options.Precision = "auto",
    cache_mib: Annotated[int, typer.Option(min=1, help="Memory for encoded patches, of all sessions (MiB).")] = 512,
    sessions: Annotated[int, typer.Option(min=1, help="How many may be open at once.")] = 64,
    memory_mib: Annotated[int, typer.Option(min=1, help="Memory for volumes, of all sessions (MiB).")] = 16384,
    idle_minutes: Annotated[float, typer.Option(min=0.1, help="A session unused for so long is closed.")] = 60.0,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when stdin is closed, as it is when the parent process ends.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print address and secret as one JSON object on stdout and nothing else.")
    ] = False,
) -> None:
    """Run the engine for other programs.

    It runs until it is interrupted, and uses no processor time while nobody asks.
    """
    from SAMSpineLib.engine.service.hosting import Hosting
    from SAMSpineLib.engine.service.listening import (
        Address,
        bound,
        build_server,
        end_with_stdin,
        handshake,
        is_loopback,
        token_of,
    )  # fmt: skip
    from SAMSpineLib.engine.service.settings import ServiceSettings
    from SAMSpineLib.engine.settings import EngineSettings

    logging.basicConfig(format="%(levelname)s %(message)s")
    address = Address(host, port, token_file, tls_cert, tls_key)
    token = token_of(address)
    settings = EngineSettings(cache_bytes=cache_mib * MIB, slices_ahead=SLICES_AHEAD, precision=precision)
    networks = build_networks(model, weights, localiser_weights, device, settings)
    hosting = Hosting(
        networks,
        ServiceSettings(sessions=sessions, memory_bytes=memory_mib * MIB, idle_seconds=60 * idle_minutes),
        settings,
        lambda: _atlases(library),
        model,
        home_teacher(model, device),
    )
    server = build_server(hosting, address, token)
    listening = bound(address)
    if tls_cert is None and not is_loopback(host):
        note("Without --tls-cert, images and secret travel in the clear")
    if not with_parent:
        with working(f"Loading {model}"):
            networks.load()
    line = handshake(listening, address, token)
    if with_parent:
        # The parent need not wait for the network; an error in it is said at the first step.
        end_with_stdin(server.stop)
        threading.Thread(target=networks.preload, name="loading", daemon=True).start()
    typer.echo(line if as_json else words(line, secret=token if token_file is None else None))
    server.run(sockets=[listening])


def words(line: str, *, secret: str | None) -> str:
    """Say to a person what the line for a program says."""
    url = json.loads(line)["url"]
    own = f"Its token: {secret}\n" if secret is not None else ""
    return f"The engine listens on {url}\n{own}End it with Ctrl-C."


def build_networks(
    model: str,
    weights: Path | None,
    localiser_weights: Path | None,
    device: str,
    settings: EngineSettings,
    segmenter: str = "",
) -> Networks:
    """Return networks that are built when they are needed; `segmenter` names the one of whole volumes, if any."""
    from SAMSpineLib.engine.networks import Networks
    from SAMSpineLib.models.build import build_localiser, build_promptable, build_segmenter

    def precision() -> Precision:
        # A CPU that has to help out need not have what the GPU had.
        return "auto" if networks.moves else settings.precision

    networks = Networks(
        lambda where: build_promptable(model, weights=weights, device=where, precision=precision()),
        lambda where: build_localiser(weights=localiser_weights, device=where, precision=precision()),
        device=device,
        batch_size=settings.batch_size,
        find_device=_found,
        build_segmenter=lambda method, where: build_segmenter(method, segmenter, device=where, precision=precision()),
    )
    return networks


def home_teacher(model: str, device: str) -> Teacher:
    """Return who teaches the SAM that a model is, or stands on."""

    def teach(
        order: LessonOrder, *, progress: StageProgress | None = None, cancelled: Callable[[], bool] | None = None
    ) -> LessonResult:
        from SAMSpineLib.training.teaching.teacher import HomeTeacher

        return HomeTeacher(model, _found(device))(order, progress=progress, cancelled=cancelled)

    return teach


def _found(device: str) -> str:
    """Return the device to use; torch is asked only when a network is built, so that listening need not wait for it."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _atlases(library: list[Path] | None) -> tuple[Atlas, ...]:
    from SAMSpineLib.atlas.library import atlases_of

    return atlases_of(library)
