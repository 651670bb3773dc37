"""`samspine teach`: from some labelled images to a model that segments a structure by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, note_few, print_json, working
from SAMSpineLib.cli.train import check_folder
from SAMSpineLib.errors import ModelError

if TYPE_CHECKING:
    from SAMSpineLib.models.sam.promptable import SamPromptable
    from SAMSpineLib.training.teaching.teach import Taught

EXAMPLES = """\b
DATA is a folder in which each image lies beside its labels, as in a_ct.nii.gz and a_seg.nii.gz, or a CSV file:
image,labels[,subject,complete,ids] with paths relative to it. Labels are a label map on the image's grid, or a
.seg.nrrd. Without a subject each image is a subject of its own; of five subjects one is held back
and tells when to stop. complete is no where only some slices were labelled. ids is the numbering of a label map, one
of verse, totalsegmentator, samspine; without it values are what they are.

\b
A structure is NAME, or NAME=VALUE,VALUE with its values in the label maps. The backbone stays as it is; what is learnt
is a small file in DIR that knows which backbone it belongs to, and a model of `samspine models list` called NAME. A
run that was interrupted goes on where it was, from the same --out.

\b
Examples:
  samspine teach --data us/ --structure aponeurosis --out us-run/
  samspine teach --data us.csv --structure aponeurosis --out us/
  samspine teach --data mr.csv --structure L1=1 --structure L2=2 --direction sagittal --modality MR --out levels/
  samspine auto new.png --method sam2rad --model aponeurosis
"""


def command(
    *,
    data: Annotated[Path, typer.Option(metavar="DATA", help="The labelled images: a folder or a list.")],
    structure: Annotated[list[str], typer.Option(metavar="NAME[=VALUES]", help="What to teach; may be given often.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="For features, checkpoint, curve and the taught model.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="The SAM to teach; it stays as it is.")] = "sam-spine-tiny",
    weights: options.Weights = None,
    name: Annotated[str | None, typer.Option(help="Of the taught model; without it the first structure's.")] = None,
    direction: Annotated[
        Literal["acquired", "axial", "sagittal", "coronal"], typer.Option(help="In which slices are cut.")
    ] = "acquired",
    modality: options.Modality = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run, if nothing ends it earlier.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed teaches the same model.")] = 1,
    device: options.Device = "cpu",
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="List it among your models.")] = True,
    as_json: options.Json = False,
) -> None:
    """Teach a SAM a structure from some labelled images.

    Ten images are often enough, three the least.
    """
    from SAMSpineLib.models.store.adding import slug
    from SAMSpineLib.models.store.resolving import user_store
    from SAMSpineLib.training.teaching.images import read_images, wanted
    from SAMSpineLib.training.teaching.plan import RECIPE, TeachPlan
    from SAMSpineLib.training.teaching.teach import teach

    structures = wanted(structure)
    name = name or slug(structures[0].structure.name)
    if keep:
        user_store().check_free(name)
    check_folder(out)
    notices: list[str] = []
    with working("Reading"):
        images = read_images(data, modality=modality, notify=notices.append)
    note_few(notices)
    recipe = replace(RECIPE, seed=seed, steps=RECIPE.steps if steps is None else steps)
    plan = TeachPlan(structures, _frozen(model, weights, device), direction=direction, recipe=recipe)
    with counting("Teaching") as tell:
        done = teach(
            plan, images, out, progress=lambda stage, now, total, seen: tell(now, total, f"{stage} {_figures(seen)}")
        )
    listed = _listed(done.path, name) if keep else None
    _show(done, out, listed, as_json)


def _frozen(name: str, weights: Path | None, device: str) -> SamPromptable:
    """Return the SAM to teach.

    Raises:
        ModelError: if the model is no SAM.
    """
    from SAMSpineLib.models.build import build_promptable
    from SAMSpineLib.models.sam.promptable import SamPromptable

    with working(f"Loading {name}"):
        model = build_promptable(name, weights=weights, device=device)
    if not isinstance(model, SamPromptable):
        msg = f"'{name}' cannot be taught, it is no SAM; choose sam-spine-tiny or another SAM of `samspine models list`"
        raise ModelError(msg)
    return model


def _listed(path: Path, name: str) -> str:
    """Put a taught model among the user's own and return the name that it has there."""
    from SAMSpineLib.models.store.adding import Given, add_checkpoint
    from SAMSpineLib.models.store.resolving import user_store

    return add_checkpoint(user_store(), path, Given(name)).name


def _show(done: Taught, out: Path, listed: str | None, as_json: bool) -> None:
    figures = {key: round(value, 4) for key, value in done.card.figures.items()}
    if as_json:
        print_json(
            {"model": str(done.path), "name": listed, "steps": done.steps, "stopped": done.stopped, "held": figures}
        )
        return
    size = done.path.stat().st_size / 1e6
    typer.echo(f"Wrote {done.path} ({size:.1f} MB) after {done.steps} steps: {done.stopped}; curve: {out / 'log.csv'}")
    if figures:
        typer.echo(f"On what was held back: Dice {figures['dice']:.2f}, presence right in {figures['presence']:.0%}")
    if listed is not None:
        typer.echo(f"It is the model {listed} of `samspine models list` now")


def _figures(seen: dict[str, float]) -> str:
    """Say what is known of the run in one line."""
    shown = {"dice": "Dice", "held_dice": "held back"}
    return ", ".join(f"{word} {seen[key]:.2f}" for key, word in shown.items() if seen.get(key, float("nan")) >= 0)
