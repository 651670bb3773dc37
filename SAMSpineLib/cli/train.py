"""`samspine train`: from labelled images, and synthetic ones, to weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, print_json, working
from SAMSpineLib.errors import MissingExtraError, ModelError, OutputError

if TYPE_CHECKING:
    from SAMSpineLib.training.recipes import Recipe

EXAMPLES = """\b
MANIFEST is a CSV file: image,labels,ids,weight with paths relative to it, and ids one of verse,
totalsegmentator, samspine. A run that was interrupted goes on where it was, from the same --out.

\b
Examples:
  samspine train ct-sam3d-smoke --out smoke/                                in a minute, to see that it works
  samspine train ct-sam3d-small --data cases.csv --out run1/
  samspine train ct-sam3d-small --out run2/ --phantoms 200 --steps 20000    on synthetic spines alone
"""


def command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="For example ct-sam3d-small or localiser-small.")],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="For checkpoint, logs, phantoms and weights.")],
    data: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Labelled images; without it phantoms alone.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(metavar="WEIGHTS", help="Begin with these weights instead of fresh ones.")
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="PART", help="Teach one part, for example ribs; the rest stays as --start has it.")
    ] = "",
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run.")] = None,
    phantoms: Annotated[int | None, typer.Option(min=0, help="How many synthetic spines to make.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed trains the same weights.")] = None,
    as_json: options.Json = False,
) -> None:
    """Train a network, or go on with a training.

    What is not given here the recipe decides.
    """
    chosen = adapted(recipe, alone=data is None, only=only, steps=steps, phantoms=phantoms, seed=seed)
    check_folder(out)
    try:
        import torch  # noqa: F401
    except ImportError as error:
        package = "torch"
        raise MissingExtraError(package, "sam") from error
    from SAMSpineLib.training.loop import train
    from SAMSpineLib.training.preparation import prepare_cases

    with counting("Making phantoms") as tell:
        cases = prepare_cases(chosen, data, out / "phantoms", progress=tell)
    with counting("Training") as tell:
        weights = train(
            chosen, cases, out, start=start, progress=lambda step, total, seen: tell(step, total, _figures(seen))
        )
    if as_json:
        print_json({"weights": str(weights), "steps": chosen.steps, "cases": len(cases), "seed": chosen.seed})
    else:
        typer.echo(f"Wrote {weights} after {chosen.steps} steps on {len(cases)} cases; its curve: {out / 'log.csv'}")


def adapted(name: str, *, alone: bool, only: str, steps: int | None, phantoms: int | None, seed: int | None) -> Recipe:
    """Return a recipe with what the user decided instead.

    Raises:
        ModelError: if there is no such recipe.
    """
    from SAMSpineLib.training.recipes import RECIPES

    if name not in RECIPES:
        msg = f"There is no recipe '{name}'; choose one of: {', '.join(RECIPES)}"
        raise ModelError(msg)
    recipe = RECIPES[name]
    return replace(
        recipe,
        steps=recipe.steps if steps is None else steps,
        phantoms=recipe.phantoms if phantoms is None else phantoms,
        seed=recipe.seed if seed is None else seed,
        only=only,
        phantom_share=1.0 if alone else recipe.phantom_share,
    )


def check_folder(folder: Path) -> None:
    """Make a folder and make sure that files can be written into it.

    Raises:
        OutputError: if not.
    """
    from SAMSpineLib.safe_write import check_writable

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"The folder {folder} cannot be made: {error.strerror}; choose another place"
        raise OutputError(msg) from error
    with working("Preparing"):
        check_writable(folder / "recipe.json")


def _figures(seen: dict[str, float]) -> str:
    """Say the figures of a step in one line, whatever the task calls them."""
    return ", ".join(f"{name} {value:.2f}" for name, value in seen.items() if name not in ("rate", "seconds"))
