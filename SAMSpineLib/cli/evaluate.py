"""`samspine evaluate`: how good is a finished segmentation, or a folder of them?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, note, note_few, number, print_json, print_table, working
from SAMSpineLib.errors import VolumeError
from SAMSpineLib.labels import spine_labels

if TYPE_CHECKING:
    from SAMSpineLib.evaluation.cohort import CohortReport
    from SAMSpineLib.evaluation.pairs import Pair
    from SAMSpineLib.evaluation.report import EvaluationReport

EXAMPLES = """\b
Every structure of the truth is scored in the truth's grid: Dice, surface Dice at 2 mm (NSD), Hausdorff distance
(95 %), distance of the centres. `found` says that it lies nearest to the structure of its own name, within 20 mm.

\b
Of two folders, files belong together whose names are the same but for endings such as _seg, _msk or _ct. A MANIFEST
is a CSV file: prediction,truth[,subject,image,ids,prediction_ids], paths relative to it. Each structure is averaged
over subjects, with 95 % confidence intervals by bootstrap: Dice, IoU, surface Dice, Hausdorff distance, and presence,
the share of slices in which result and truth agree on whether it is there. Without a subject column the subject is
the sub-... at the beginning of the truth's name, else the case. --report gives this for two files as well.

\b
Examples:
  samspine evaluate result.seg.nrrd truth.nii.gz
  samspine evaluate result.nii.gz truth.nii.gz --ids totalsegmentator --json
  samspine evaluate results/ truths/ --images scans/ --report report.html
  samspine evaluate results.csv --ids any --tolerance 1 --json
"""


def command(
    prediction: Annotated[
        Path, typer.Argument(metavar="PREDICTION", help="A segmentation or label map, a folder, or a MANIFEST.")
    ],
    truth: Annotated[
        Path | None, typer.Argument(metavar="TRUTH", help="The same, by somebody who knows; not with a MANIFEST.")
    ] = None,
    *,
    ids: options.TruthIds = None,
    prediction_ids: Annotated[
        options.Numbering | None,
        typer.Option(help="The prediction's numbering; else its names or, without any, ours.", show_default=False),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="PATH", help="What was segmented, for the pictures of the report.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page: distributions, and the worst cases.")
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst cases the page shows.")] = 6,
    tolerance: Annotated[float, typer.Option(min=0, metavar="MM", help="Of the surface Dice.")] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same intervals.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Score a segmentation against a truth, or many.

    Two files are scored by themselves, folders and manifests over subjects.
    """
    if truth is not None and not _are_folders(prediction, truth) and report is None and tolerance == 2.0:
        _one(prediction, truth, ids, prediction_ids, as_json)
        return
    from SAMSpineLib.evaluation.cohort import evaluate_pairs
    from SAMSpineLib.evaluation.cohort_report import write_cohort_report
    from SAMSpineLib.safe_write import check_writable

    if report is not None:
        check_writable(report)
    pairs = pairs_of(prediction, truth, images, ids, prediction_ids)
    notices: list[str] = []
    with counting("Scoring") as tell:
        found = evaluate_pairs(
            pairs, spine_labels(), tolerance_mm=tolerance, seed=seed, progress=tell, notify=notices.append
        )
    note_few(notices)
    if report is not None:
        with counting("Drawing") as tell:
            title = f"Evaluation of {prediction.name}"
            write_cohort_report(report, found, spine_labels(), title=title, worst=worst, progress=tell)
    if as_json:
        print_json(found.to_json())
        return
    show_cohort(found, f"{prediction.name}: {len(found.cases)} cases of {found.subjects} subjects")
    if report is not None:
        typer.echo(f"Wrote {report}")


def _one(
    prediction: Path,
    truth: Path,
    ids: options.Numbering | None,
    prediction_ids: options.Numbering | None,
    as_json: bool,
) -> None:
    """Score two files."""
    from SAMSpineLib.evaluation.cohort import read_pair
    from SAMSpineLib.evaluation.report import evaluate

    pair = pairs_of(prediction, truth, None, ids, prediction_ids)[0]
    with working("Reading"):
        given, wanted = read_pair(pair, spine_labels(), note)
    with working("Scoring"):
        report = evaluate(given, wanted.volume, wanted.table)
    if as_json:
        print_json(report.to_json())
    else:
        show(report, f"{prediction.name} against {truth.name}")


def pairs_of(
    prediction: Path,
    truth: Path | None,
    images: Path | None,
    ids: options.Numbering | None,
    prediction_ids: options.Numbering | None,
) -> tuple[Pair, ...]:
    """Return what belongs together: in a manifest, in two folders, or two files.

    Raises:
        VolumeError: if it is neither, or something is missing.
    """
    from SAMSpineLib.evaluation.pairs import Pair, case_of, pairs_in_folders, pairs_in_manifest, subject_of

    if truth is None:
        if prediction.suffix.lower() != ".csv":
            msg = f"{prediction} needs a TRUTH of its kind, a file or a folder; only a MANIFEST (.csv) names its own"
            raise VolumeError(msg)
        return pairs_in_manifest(prediction, ids=ids, prediction_ids=prediction_ids)
    if _are_folders(prediction, truth):
        pairs, without = pairs_in_folders(prediction, truth, images, ids=ids, prediction_ids=prediction_ids)
        if without:
            note(f"Without a truth, so not scored: {', '.join(without)}")
        return pairs
    case = case_of(truth)
    return (Pair(case, subject_of(case), prediction, truth, images, ids, prediction_ids),)


def _are_folders(prediction: Path, truth: Path) -> bool:
    """Tell whether both are folders of files; a single folder is one of DICOM files."""
    return prediction.is_dir() and truth.is_dir()


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


def show_cohort(report: CohortReport, title: str) -> None:
    """Print each structure's means over subjects with their confidence intervals."""
    from SAMSpineLib.evaluation.cohort import METRICS
    from SAMSpineLib.evaluation.cohort_report import interval_text

    rows = [
        (name, str(one.cases), str(one.missed), *(interval_text(one.metrics[metric], metric) for metric in METRICS))
        for name, one in report.structures.items()
    ]
    rows.append(("mean", "", "", *(interval_text(report.mean[metric], metric) for metric in METRICS)))
    print_table(f"{title} [95 % confidence]", ("structure", "cases", "missed", *METRICS.values()), rows)
    if report.extra:
        typer.echo(f"In no truth, so not scored: {', '.join(report.extra)}")
