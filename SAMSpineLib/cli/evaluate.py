"""`samspine evaluate`: how good is a finished segmentation?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import note, number, print_json, print_table, working
from SAMSpineLib.labels import spine_labels

if TYPE_CHECKING:
    from SAMSpineLib.evaluation.report import EvaluationReport

EXAMPLES = """\b
Every structure of the truth is scored in the truth's grid: Dice, surface Dice at 2 mm (NSD), Hausdorff distance
(95 %), distance of the centres. `found` says that it lies nearest to the structure of its own name, within 20 mm.

\b
Examples:
  samspine evaluate result.seg.nrrd truth.nii.gz
  samspine evaluate result.nii.gz truth.nii.gz --ids totalsegmentator --json
"""


def command(
    prediction: Annotated[Path, typer.Argument(metavar="PREDICTION", help="A segmentation or label map.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="The same, by somebody who knows.")],
    ids: options.Ids = None,
    prediction_ids: Annotated[
        Literal["verse", "totalsegmentator", "samspine"] | None,
        typer.Option(help="The prediction's numbering; else its names or, without any, ours.", show_default=False),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Score a segmentation against a truth."""
    from SAMSpineLib.evaluation.report import evaluate
    from SAMSpineLib.io.numbering import read_labels

    table = spine_labels()
    with working("Reading"):
        given = read_labels(prediction, table, ids=prediction_ids, default="samspine")
        wanted = read_labels(truth, table, ids=ids)
    for text in (*given.notices, *wanted.notices):
        note(text)
    with working("Scoring"):
        report = evaluate(given.volume, wanted.volume, table)
    if as_json:
        print_json(report.to_json())
    else:
        show(report, f"{prediction.name} against {truth.name}")


def show(report: EvaluationReport, title: str) -> None:
    """Print the scores as a table, and what else there is to know."""
    columns = ("structure", "Dice", "NSD 2 mm", "HD95 mm", "centre mm", "cm3", "true cm3", "found")
    rows = [
        (name, number(one.dice), number(one.nsd_2mm), number(one.hd95_mm, 1), number(one.centroid_mm, 1),
         number(one.prediction_cm3, 1), number(one.truth_cm3, 1), "yes" if one.identified else "no")
        for name, one in report.labels.items()
    ]  # fmt: skip
    mean = report.mean()
    share = f"{100 * mean['identification_rate']:.0f} %"
    rows.append(
        ("mean", number(mean["dice"]), number(mean["nsd_2mm"]), number(mean["hd95_mm"], 1),
         number(mean["centroid_mm"], 1), "", "", share)
    )  # fmt: skip
    print_table(title, columns, rows)
    if report.extra:
        typer.echo(f"Not in the truth, so not scored: {', '.join(report.extra)}")
