"""`samspine simulate`: a robot user clicks, and every click is scored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, note, number, print_json, print_table, working
from SAMSpineLib.labels import spine_labels

if TYPE_CHECKING:
    from SAMSpineLib.evaluation.curves import SimulationReport

EXAMPLES = """\b
The robot clicks deepest into the structure, then into the largest error that is left. Scores are Dice and surface
Dice at 2 mm (NSD), in the truth's own grid.

\b
Examples:
  samspine simulate ct.nii.gz truth.nii.gz --clicks 5 --labels L1,L2,L3
  samspine simulate ct.nii.gz truth.nii.gz --ids totalsegmentator --labels sacrum,spine --json
  samspine simulate dicom/ truth.seg.nrrd --jitter 3 --placement random --seed 7
"""


def command(
    volume: Annotated[Path, typer.Argument(metavar="VOLUME", help="The image: a file or a DICOM folder.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="Its label map or segmentation, on any grid.")],
    *,
    model: options.Model = "ct-sam3d-small",
    clicks: Annotated[int, typer.Option(min=1, help="Clicks for each structure.")] = 5,
    jitter: Annotated[
        float, typer.Option(min=0, metavar="MM", help="How far off the ideal place each click is.")
    ] = 0.0,
    labels: Annotated[str | None, typer.Option(metavar="L1,L2", help="Which structures; without it all.")] = None,
    ids: options.Ids = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same clicks.")] = 0,
    placement: Annotated[
        Literal["deepest", "random"], typer.Option(help="Where in the error: at its deepest voxel, or at any.")
    ] = "deepest",
    direction: options.Direction = None,
    propagate: options.Propagate = True,
    series: options.Series = None,
    weights: options.Weights = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
) -> None:
    """Let a robot click, and score every click.

    It segments the structures of a truth one by one.
    """
    from SAMSpineLib.engine.in_slices import InSlices
    from SAMSpineLib.engine.session import Session
    from SAMSpineLib.evaluation.curves import RobotSettings
    from SAMSpineLib.evaluation.joining import labels_in, simulate_structures
    from SAMSpineLib.io import read_with_notices
    from SAMSpineLib.io.numbering import read_labels
    from SAMSpineLib.models.build import build_promptable

    table = spine_labels()
    asked = [table.by_name(name) for name in labels.split(",")] if labels else []
    with working(f"Reading {volume} and {truth}"):
        image, known = read_with_notices(volume, series=series), read_labels(truth, table, ids=ids)
    for text in (*image.notices, *known.notices):
        note(text)
    with working(f"Loading {model}"):
        network = build_promptable(model, weights=weights, device=device)
        session = Session(network)
    robot: Session | InSlices = session
    if network.slicewise is not None:
        robot = InSlices(session, options.NORMALS[direction] if direction is not None else None, propagate=propagate)
    settings = RobotSettings(clicks, jitter, seed, placement)
    chosen = list(dict.fromkeys(asked or labels_in(known.volume, table)))
    with counting("Simulating") as tell:
        report = simulate_structures(robot, image.volume, known.volume, chosen, settings, tell)
    if as_json:
        print_json({"labels": report.to_json()["labels"]})
    else:
        show(report, f"{model} on {volume.name}")


def show(report: SimulationReport, title: str) -> None:
    """Print the curves as a table: a line for each structure, a column for each number of clicks."""
    curves: dict[str, Any] = {**report.labels, "mean": report.mean()}
    count = len(curves["mean"].dice)
    columns = ["structure", "score", *(f"{n} click{'s' if n > 1 else ''}" for n in range(1, count + 1))]
    rows = []
    for name, curve in curves.items():
        rows.append((name, "Dice", *(number(value) for value in curve.dice)))
        rows.append(("", "NSD 2 mm", *(number(value) for value in curve.nsd_2mm)))
        rows.append(("", "seconds", *(number(value, 2) for value in curve.seconds)))
        if curve.patches:
            rows.append(("", "patches", *map(str, curve.patches)))
    print_table(title, columns, rows)
