"""`samspine simulate`: a robot user clicks, and every click is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, note, number, print_json, print_table, working
from SAMSpineLib.labels import Label, spine_labels

if TYPE_CHECKING:
    from SAMSpineLib.engine.session import Session
    from SAMSpineLib.evaluation.curves import RobotSettings, SimulationReport
    from SAMSpineLib.evaluation.cuts import Cut
    from SAMSpineLib.evaluation.slice_curves import SliceReport
    from SAMSpineLib.volume import Volume

EXAMPLES = """\b
The robot clicks deepest into the structure, then into the largest error that is left. Scores are Dice and surface
Dice at 2 mm (NSD), in the truth's own grid.

\b
A network that works slice by slice is tried in three ways. Every slice by itself: a box, or 1, 2, ... clicks; the mean
is over the slices in which the truth has 24 pixels or more. One slice, the largest, and from there through the stack:
Dice in 3D. And clicks anywhere, each followed through the stack, as a network that sees in 3D is tried.

\b
Examples:
  samspine simulate ct.nii.gz truth.nii.gz --clicks 5 --labels L1,L2,L3
  samspine simulate ct.nii.gz truth.nii.gz --ids totalsegmentator --labels sacrum,spine --json
  samspine simulate dicom/ truth.seg.nrrd --jitter 3 --placement random --seed 7
  samspine simulate ct.nii.gz truth.nii.gz --model sam2.1-tiny --direction all
  samspine simulate mr.nii.gz instances.nii.gz --model medsam --modality MR --ids none --every 3 --one-slice
"""
Directions = Annotated[
    Literal["axial", "sagittal", "coronal", "all"] | None,
    typer.Option(
        "--direction",
        help="For networks that work slice by slice: which slices. Without it those that were acquired.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Trial:
    """What is tried: structures of a truth, in an image, by a robot."""

    volume: Volume
    truth: Volume
    labels: Sequence[Label]
    robot: RobotSettings


def command(
    volume: Annotated[Path, typer.Argument(metavar="VOLUME", help="The image: a file or a DICOM folder.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="Its label map or segmentation, on any grid.")],
    *,
    model: options.Model = "ct-sam3d-small",
    clicks: Annotated[int, typer.Option(min=1, help="Clicks for each structure, or in each slice.")] = 5,
    jitter: Annotated[
        float, typer.Option(min=0, metavar="MM", help="How far off the ideal place each click is.")
    ] = 0.0,
    labels: Annotated[str | None, typer.Option(metavar="L1,L2", help="Which structures; without it all.")] = None,
    ids: options.TruthIds = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same clicks.")] = 0,
    placement: Annotated[
        Literal["deepest", "random"], typer.Option(help="Where in the error: at its deepest voxel, or at any.")
    ] = "deepest",
    direction: Directions = None,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Take each n-th slice only.")] = 1,
    propagate: options.Propagate = True,
    modality: options.Modality = None,
    series: options.Series = None,
    weights: options.Weights = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
) -> None:
    """Let a robot click, and score every click.

    It segments the structures of a truth one by one.
    """
    from SAMSpineLib.engine.session import Session
    from SAMSpineLib.evaluation.curves import RobotSettings
    from SAMSpineLib.evaluation.cuts import cuts_of
    from SAMSpineLib.models.build import build_promptable

    robot = RobotSettings(clicks, jitter, seed, placement)
    trial = read(volume, truth, labels, ids, robot, modality=modality, series=series)
    with working(f"Loading {model}"):
        session = Session(build_promptable(model, weights=weights, device=device))
    title = f"{model} on {volume.name}"
    if session.model.slicewise is None:
        with counting("Simulating") as tell:
            report = in_3d(session, trial, tell)
        print_json({"labels": report.to_json()["labels"]}) if as_json else show(report, title)
        return
    found = {
        cut.name: in_slices(session, trial, cut, propagate, every) for cut in cuts_of(trial.volume.grid, direction)
    }
    if as_json:
        print_json({"directions": {name: _json(*one) for name, one in found.items()}})
        return
    for name, (slices, curves) in found.items():
        show_slices(slices, f"{title}, {name} slices one by one", clicks)
        if curves is not None:
            show_followed(slices, f"{title}, followed from one {name} slice: Dice in 3D")
            show(curves, f"{title}, clicks anywhere, each followed through the {name} slices")


def read(
    volume: Path,
    truth: Path,
    labels: str | None,
    ids: options.Numbering | None,
    robot: RobotSettings,
    *,
    modality: str | None,
    series: str | None,
) -> Trial:
    """Read an image and its truth, and choose the structures to try."""
    from SAMSpineLib.evaluation.joining import labels_in
    from SAMSpineLib.io import read_with_notices
    from SAMSpineLib.io.numbering import read_named_labels

    asked = (
        None if labels is None or ids in {"none", "any"} else [spine_labels().by_name(one) for one in labels.split(",")]
    )
    with working(f"Reading {volume} and {truth}"):
        image = read_with_notices(volume, series=series)
        known = read_named_labels(truth, spine_labels(), ids=ids)
    for text in (*image.notices, *known.notices):
        note(text)
    if asked is None and labels is not None:
        asked = [known.table.by_name(one) for one in labels.split(",")]
    shown = image.volume if modality is None else replace(image.volume, modality=modality)
    chosen = list(dict.fromkeys(asked or labels_in(known.volume, known.table)))
    return Trial(shown, known.volume, chosen, robot)


def in_3d(session: Any, trial: Trial, tell: Any) -> SimulationReport:
    """Let the robot click anywhere."""
    from SAMSpineLib.evaluation.joining import simulate_structures

    return simulate_structures(session, trial.volume, trial.truth, trial.labels, trial.robot, tell)


def in_slices(
    session: Session, trial: Trial, cut: Cut, propagate: bool, every: int
) -> tuple[SliceReport, SimulationReport | None]:
    """Try slices of a direction one by one and, if wanted, followed; the second is that of clicks anywhere."""
    from SAMSpineLib.engine.in_slices import InSlices
    from SAMSpineLib.evaluation.slice_curves import SlicePlan, simulate_slices

    plan = SlicePlan(cut, trial.robot, propagate, every)
    with counting(f"Simulating {cut.name} slices") as tell:
        slices = simulate_slices(session, trial.volume, trial.truth, trial.labels, plan, tell)
    if not slices.followed:
        return slices, None
    with counting(f"Simulating clicks followed through {cut.name} slices") as tell:
        return slices, in_3d(InSlices(session, cut.normal), trial, tell)


def show(report: SimulationReport, title: str) -> None:
    """Print the curves as a table: a line for each structure, a column for each number of clicks."""
    curves: dict[str, Any] = {**report.labels, "mean": report.mean()}
    count = len(curves["mean"].dice)
    columns = ["structure", "score", *(_clicks(n) for n in range(1, count + 1))]
    rows = []
    for name, curve in curves.items():
        rows.append((name, "Dice", *(number(value) for value in curve.dice)))
        rows.append(("", "NSD 2 mm", *(number(value) for value in curve.nsd_2mm)))
        rows.append(("", "seconds", *(number(value, 2) for value in curve.seconds)))
        if curve.patches:
            rows.append(("", "patches", *map(str, curve.patches)))
    print_table(title, columns, rows)


def show_slices(report: SliceReport, title: str, clicks: int) -> None:
    """Print the Dice of slices: a line for each structure; columns for 1, 3, 5 and the last click, and the box."""
    shown = sorted({n for n in (1, 3, 5, clicks) if n <= clicks})
    found = report.to_json()
    every = {**found["labels"], "mean": found["mean"]}
    rows = [
        (name, str(one.get("slices", "")), *(number(one["dice"][n - 1]) if one["dice"] else "-" for n in shown),
         number(one["box"]))
        for name, one in every.items()
    ]  # fmt: skip
    print_table(title, ["structure", "slices", *map(_clicks, shown), "box"], rows)


def show_followed(report: SliceReport, title: str) -> None:
    """Print the Dice of structures that were followed from one slice: a column for each way to prompt it."""
    mean = report.mean()["followed"]
    rows = [
        (name, str(one.index), *(number(value) for value in one.dice.values()), number(sum(one.seconds.values()), 1))
        for name, one in report.followed.items()
    ]
    rows.append(("mean", "", *(number(value) for value in mean.values()), ""))
    print_table(title, ["structure", "slice", *mean, "seconds for all"], rows)


def _json(slices: SliceReport, curves: SimulationReport | None) -> dict[str, Any]:
    return {**slices.to_json(), "anywhere": curves.to_json()["labels"] if curves is not None else None}


def _clicks(count: int) -> str:
    return f"{count} click{'s' if count > 1 else ''}"
