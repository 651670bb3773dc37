"""`samspine app`: segment in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import note

EXAMPLES = """\b
Without an image it opens a synthetic spine; others are opened on the page.

\b
Examples:
  samspine app
  samspine app ct.nii.gz
  samspine app dicom_folder --port 8080 --no-browser
"""


def command(
    image: Annotated[
        Path | None,
        typer.Argument(metavar="CT", help="NIfTI, NRRD, MetaImage, a folder of DICOM files, or a scene (.mrb)."),
    ] = None,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one, which is printed.")] = 0,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; beyond this machine its address holds a token.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    model: options.Model = "ct-sam3d-small",
    weights: options.Weights = None,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
    series: options.Series = None,
) -> None:
    """Segment in a browser, by clicks or by itself.

    It runs until it is interrupted, for one user, and sends nothing anywhere.
    """
    import webbrowser

    from SAMSpineLib.app.application import Engine
    from SAMSpineLib.app.guard import is_loopback
    from SAMSpineLib.app.launch import Settings, run_app
    from SAMSpineLib.atlas.library import atlases_of
    from SAMSpineLib.cli.serve import build_networks, home_teacher
    from SAMSpineLib.engine.settings import EngineSettings
    from SAMSpineLib.io.nifti_nrrd import check_readable

    if image is not None and not image.is_dir():
        check_readable(image)
    settings = EngineSettings(precision=precision)
    engine = Engine(
        model,
        lambda name: build_networks(name, weights if name == model else None, None, device, settings),
        lambda name: home_teacher(name, device),
    )
    if not is_loopback(host):
        note("The connection is not encrypted: whoever can listen to it sees images and token")

    def ready(url: str) -> None:
        typer.echo(f"SAMSpine is at {url}\nEnd it with Ctrl-C.")
        if browser:
            webbrowser.open(url)

    run_app(Settings(image, host, port, series), engine, lambda: atlases_of(None), ready)
