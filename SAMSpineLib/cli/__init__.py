"""The command line: each verb is a thin call of a library function, in a file of its own.

Only typer is imported here; what a verb needs it imports when it runs, so that `samspine --help` is quick and works
without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from SAMSpineLib.cli import app as app_verb
from SAMSpineLib.cli import atlas, auto, evaluate, info, models, phantom, rank, segment, serve, simulate, teach, train
from SAMSpineLib.cli.console import DONE, INTERRUPTED, report_error

EXAMPLES = """\b
First steps:
  samspine phantom case.nii.gz --seed 1 --small
  samspine info case.nii.gz
  samspine segment case.nii.gz l3.seg.nrrd --click "L3:+:2,35,105"
  samspine evaluate l3.seg.nrrd case_labels.nii.gz

\b
Exit codes: 0 done, 2 something you gave cannot be used (one line says what), 1 a fault of ours.
`samspine VERB --help` explains a verb, with examples.
"""

app = typer.Typer(name="samspine", add_completion=False, rich_markup_mode=None)
VERBS = {
    "app": app_verb,
    "segment": segment,
    "auto": auto,
    "serve": serve,
    "simulate": simulate,
    "evaluate": evaluate,
    "info": info,
    "phantom": phantom,
    "train": train,
    "teach": teach,
    "rank": rank,
}
for name, verb in VERBS.items():
    app.command(name, epilog=verb.EXAMPLES)(verb.command)
app.add_typer(models.app, name="models")
app.add_typer(atlas.app, name="atlas")


def _print_version(wanted: bool) -> None:
    """Print the version and stop."""
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"samspine {version('samspine')}")
    except PackageNotFoundError:
        typer.echo("samspine (not installed)")
    raise typer.Exit


@app.callback(epilog=EXAMPLES)
def samspine(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; it may stand after the verb as well.")
    ] = False,
) -> None:
    """Turn clicks in a spine image into named segments that 3D Slicer opens."""
    del version, debug  # typer has acted on the one, `run` on the other


def run(arguments: Sequence[str]) -> int:
    """Run the command line on arguments (without the program's name) and return its exit code."""
    words = list(arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"] or ["--help"]
    try:
        code = app(words, prog_name="samspine", standalone_mode=False)
    except BaseException as error:  # the last stop of every error: none may show a traceback unasked
        return report_error(error, debug=debug)
    if code == INTERRUPTED:
        # typer has caught the keyboard's interrupt and says nothing.
        return report_error(KeyboardInterrupt(), debug=False)
    return code if isinstance(code, int) else DONE


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))
