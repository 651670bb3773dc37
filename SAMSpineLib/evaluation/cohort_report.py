"""The scores of many results as one HTML file to look at: a table, distributions, curves, and the worst cases.

The file needs nothing but itself, no network and no scripts. It says in words whatever it shows in colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from SAMSpineLib.evaluation.cohort import METRICS, CaseScore, CohortReport, value_of
from SAMSpineLib.evaluation.html_page import STYLE, data_url
from SAMSpineLib.evaluation.intervals import Interval
from SAMSpineLib.evaluation.plots import dots, reached
from SAMSpineLib.evaluation.worst_cases import RESULT_COLOUR, TRUTH_COLOUR, WorstCase, draw, worst_of
from SAMSpineLib.labels import LabelTable
from SAMSpineLib.progress import Counted
from SAMSpineLib.safe_write import check_writable, replacing

_ABSENT = "–"
_PLOTS = """
.plot { max-width: 44rem; margin: 0.5rem 0 1.5rem; }
.plot text { font: 11px system-ui, sans-serif; fill: var(--ink); stroke: none; text-anchor: middle; }
.plot .name { text-anchor: end; dominant-baseline: central; }
.plot .legend { text-anchor: start; }
.plot .rule { stroke: var(--rule); stroke-width: 0.7; }
.plot .dot { fill: #2f7fc1; fill-opacity: 0.55; }
.plot .interval { fill: #e08a1e; fill-opacity: 0.35; }
.plot .mean { stroke: #b8560b; stroke-width: 2; }
.plot .curve { fill: none; stroke-width: 1.6; }
td { white-space: nowrap; }
figure img { width: 100%; height: auto; image-rendering: pixelated; }
"""


def write_cohort_report(
    path: Path,
    report: CohortReport,
    table: LabelTable,
    *,
    title: str = "Evaluation",
    worst: int = 6,
    progress: Counted | None = None,
) -> None:
    """Write the scores of a cohort as one self-contained HTML file.

    Args:
        path: the file; an older one is replaced.
        report: the scores.
        table: the known structures, to read the worst cases again.
        title: of the page.
        worst: how many of the worst cases are shown.
        progress: called as (pictures drawn, pictures in all, name of the case).

    Raises:
        OutputError: if the file cannot be written; that is asked before anything is drawn.
        VolumeError: if a file of a worst case cannot be read.
    """
    check_writable(path)
    chosen = worst_of(report.cases, list(report.structures), worst)
    pictures = []
    for case, structure in chosen:
        pictures.append(draw(case, structure, table))
        if progress is not None:
            progress(len(pictures), len(chosen), case.pair.name)
    parts = [_head(report, title), summary_table(report), *_plots(report), _worst(pictures), _case_table(report)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*parts, "</main></body></html>", ""]), encoding="utf-8")


def _head(report: CohortReport, title: str) -> str:
    name = escape(title)
    said = (
        f"{len(report.cases)} cases of {report.subjects} subjects. Means count each subject once; in brackets the 95 % "
        f"confidence interval over subjects (percentile bootstrap). Surface Dice at {report.tolerance_mm:g} mm. HD95 "
        "leaves out what was missed altogether. Presence: the share of slices in which result and truth agree on "
        "whether the structure is there."
    )
    extra = f"<p>In no truth, so not scored: {escape(', '.join(report.extra))}</p>" if report.extra else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title><style>{STYLE}{_PLOTS}</style></head>\n"
        f"<body><main><h1>{name}</h1>\n<p>{said}</p>{extra}"
    )


def summary_table(report: CohortReport) -> str:
    """Return the table of structures: cases, missed ones, and each metric's mean with its interval."""
    rows = [
        _row([name, str(one.cases), str(one.missed), *(interval_text(one.metrics[m], m) for m in METRICS)])
        for name, one in report.structures.items()
    ]
    rows.append(_row(["mean", "", "", *(interval_text(report.mean[m], m) for m in METRICS)]))
    return _table("Structures", ["Structure", "Cases", "Missed", *METRICS.values()], rows)


def interval_text(interval: Interval, metric: str) -> str:
    """Write a mean and its interval, a dash where there is none."""
    digits = 1 if metric == "hd95_mm" else 3
    if not math.isfinite(interval.mean):
        return _ABSENT
    if not math.isfinite(interval.low):
        return f"{interval.mean:.{digits}f}"
    return f"{interval.mean:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def _plots(report: CohortReport) -> list[str]:
    """Return a plot of all values for each metric, and the curves of Dice."""
    parts = ["<h2>Every case</h2><p>A dot is a case, the stroke the mean, the bar its confidence interval.</p>"]
    for metric, name in METRICS.items():
        rows = [
            (structure, _values(report.cases, structure, metric), one.metrics[metric])
            for structure, one in report.structures.items()
        ]
        found = [value for _, values, _ in rows for _, value in values if math.isfinite(value)]
        high = max(found, default=1.0) if metric == "hd95_mm" else 1.0
        parts.append(f"<h3>{escape(name)}</h3>{dots(f'{name} of every case', rows, low=0.0, high=high or 1.0)}")
    series = {s: [value for _, value in _values(report.cases, s, "dice")] for s in report.structures}
    parts.append(f"<h3>Share of cases with at least this Dice</h3>{reached('Share of cases by Dice', series)}")
    return parts


def _values(cases: Sequence[CaseScore], structure: str, metric: str) -> list[tuple[str, float]]:
    return [(case.pair.name, value_of(case, structure, metric)) for case in cases]


def _worst(pictures: Sequence[WorstCase]) -> str:
    said = (
        f"<h2>Worst cases</h2><p>The outline of the truth is {_swatch(TRUTH_COLOUR)}blue, that of the result "
        f"{_swatch(RESULT_COLOUR)}orange, and white where they meet.</p>"
    )
    figures = []
    for one in pictures:
        text = escape(f"{one.case.pair.name}, {one.structure}: Dice {one.dice:.3f}, slice {one.index}")
        figures.append(
            f'<figure><img src="{data_url(one.pixels)}" alt="{text}"><figcaption>{text}</figcaption></figure>'
        )
    return f'{said}<div class="pictures">{"".join(figures)}</div>'


def _swatch(colour: tuple[int, int, int]) -> str:
    return f'<span class="swatch" style="background:rgb{colour}" aria-hidden="true"></span>'


def _case_table(report: CohortReport) -> str:
    rows = []
    for case in report.cases:
        for name in report.structures:
            if name in case.structures:
                numbers = [_number(value_of(case, name, metric), metric) for metric in METRICS]
                rows.append(_row([case.pair.name, case.pair.subject, name, *numbers]))
    return _table("Cases", ["Case", "Subject", "Structure", *METRICS.values()], rows)


def _number(value: float, metric: str) -> str:
    return f"{value:.{1 if metric == 'hd95_mm' else 3}f}" if math.isfinite(value) else _ABSENT


def _row(cells: Sequence[str]) -> str:
    first, *others = (escape(cell) for cell in cells)
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'


def _table(caption: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
