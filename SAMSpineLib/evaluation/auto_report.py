"""What an autonomous run found, as one HTML file to look at: pictures, a table of levels, and where the time went.

The file needs nothing but itself, no network and no scripts. It says in words whatever it shows in colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.evaluation.auto_pictures import Picture, pictures_of
from SAMSpineLib.evaluation.html_page import STYLE, data_url
from SAMSpineLib.evaluation.identification import is_vertebra
from SAMSpineLib.evaluation.metrics import volume_cm3
from SAMSpineLib.labels import Label, LabelTable
from SAMSpineLib.resampling import sample
from SAMSpineLib.safe_write import check_writable, replacing
from SAMSpineLib.volume import Grid, Volume

_ABSENT = "–"
_CORE_MM = 6.0  # the middle of every vertebral body, also of a small cervical one
_REACH_MM = 45.0
_STEP_MM = 0.5
_LINE = 9.0  # height of a name in pixels of the picture


class Level(Protocol):
    """What the report needs of a level: label value, centre (RAS mm), chance of the name and expected Dice (0..1)."""

    @property
    def value(self) -> int:
        """Label value."""

    @property
    def centre(self) -> tuple[float, float, float]:
        """Centre of the vertebral body (RAS mm)."""

    @property
    def confidence(self) -> float:
        """Probability (0..1) that the name is right."""

    @property
    def quality(self) -> float:
        """Dice (0..1) that the network expects of the mask."""

    @property
    def flags(self) -> Sequence[str]:
        """Why a human should look at it."""


class Result(Protocol):
    """What the report needs of a run; `engine.autonomous.result.AutoResult` is one."""

    @property
    def grid(self) -> Grid:
        """Where the label map lies."""

    @property
    def labels(self) -> npt.NDArray[Any]:
        """Label map (K, J, I) on the grid."""

    @property
    def levels(self) -> Sequence[Level]:
        """What was found, head to foot."""

    @property
    def alternatives(self) -> Sequence[Sequence[int]]:
        """Other numberings that are as likely, each as label values in the order of the levels."""

    @property
    def message(self) -> str:
        """One sentence for the user."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time per stage."""


def write_report(path: Path, volume: Volume, result: Result, table: LabelTable) -> None:
    """Write a run as one self-contained HTML file.

    Args:
        path: the file; an older one is replaced.
        volume: the image that was segmented.
        result: what was found; its label map may lie on another grid than the volume.
        table: names and colours of the label values.

    Raises:
        OutputError: if the file cannot be written; that is asked before anything is drawn.
        LabelError: if the table does not know the value of a level.
    """
    check_writable(path)
    labels = [table.by_value(level.value) for level in result.levels]
    colours = {label.value: label.colour for label in table}
    centres = {level.value: level.centre for level in result.levels}
    pictures = pictures_of(volume, result.labels, result.grid, centres, colours)
    parts = [_head(volume, result, labels, table)]
    if labels:
        parts += [_figures(pictures, labels), _level_table(result, labels)]
    parts.append(_time_table(result.seconds))
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*parts, "</main></body></html>", ""]), encoding="utf-8")


def body_height_mm(mask: npt.NDArray[np.bool_], grid: Grid, centre: npt.ArrayLike, along: npt.ArrayLike) -> float:
    """Return the height (mm) of a vertebral body in its middle.

    Over all lines parallel to the spine within 6 mm of its centre line: the median of the length inside the mask. Spurs
    and the processes take no part in it, the dens of C2 does; where the endplates are hollow it is the smaller height.

    Args:
        mask: one vertebra (K, J, I).
        grid: where the mask lies.
        centre: centre of the vertebral body (RAS mm).
        along: direction of the spine here (R, A, S), of any length.

    Returns:
        NaN where most of the lines miss the mask (C1, or a centre outside of the body).
    """
    axis = np.asarray(along, dtype=np.float64) / np.linalg.norm(along)
    # Any two directions across will do: the singular vectors of the axis are perpendicular to it and to each other.
    across = np.linalg.svd(axis[None])[2][1:]
    half, half_along = round(_CORE_MM / _STEP_MM), round(_REACH_MM / _STEP_MM)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([*across, axis], axis=-1) * _STEP_MM
    matrix[:3, 3] = np.asarray(centre) - matrix[:3, :3] @ (half, half, half_along)
    lines = Grid((2 * half_along + 1, 2 * half + 1, 2 * half + 1), matrix)
    inside = sample(mask.astype(np.uint8), grid, lines, fill=0, order=0)
    y, x = np.ogrid[-half : half + 1, -half : half + 1]
    lengths = inside.sum(axis=0, dtype=np.int64)[x**2 + y**2 <= half**2] * _STEP_MM
    return float(np.median(lengths)) or math.nan


def _measures(result: Result, labels: Sequence[Label]) -> list[tuple[float, float]]:
    """Return volume (ml) and height of the body (mm) of each level; the height is NaN where there is no body."""
    boxes = dict(enumerate(ndimage.find_objects(result.labels), start=1))
    centres = np.array([level.centre for level in result.levels])
    # The direction of the spine at every level: over both neighbours, at the ends over one; alone, straight up.
    axes = np.gradient(centres, axis=0) if len(centres) > 1 else np.zeros((1, 3))
    axes[np.linalg.norm(axes, axis=1) < 1.0] = (0.0, 0.0, 1.0)
    found = []
    for label, centre, axis in zip(labels, centres, axes, strict=True):
        box = boxes.get(label.value)
        if box is None:
            found.append((0.0, math.nan))
            continue
        k, j, i = box
        grid = result.grid.crop((i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1))
        mask = result.labels[box] == label.value
        height = body_height_mm(mask, grid, centre, axis) if is_vertebra(label) else math.nan
        found.append((volume_cm3(mask, grid), height))
    return found


def _head(volume: Volume, result: Result, labels: Sequence[Label], table: LabelTable) -> str:
    """Return everything up to the pictures: title, message, what is as likely."""
    name = escape(volume.name)
    lines = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Spine of {name}</title><style>{STYLE}</style></head>",
        f"<body><main><h1>Spine of {name}</h1>",
        f"<p>{escape(result.message)}</p>",
    ]
    if not labels and "no vertebra found" not in result.message.casefold():
        lines.append("<p>There is no vertebra found in this volume.</p>")
    if result.alternatives:
        ways = ("".join(f"<li>{_span(values, table)}</li>") for values in result.alternatives)
        lines.append(f"<p>As likely, from head to foot:</p><ul>{''.join(ways)}</ul>")
    return "\n".join(lines)


def _span(values: Sequence[int], table: LabelTable) -> str:
    return escape(", ".join(table.by_value(value).name for value in values if value))


def _figures(pictures: Iterable[Picture], labels: Sequence[Label]) -> str:
    return f'<div class="pictures">{"".join(_figure(picture, labels) for picture in pictures)}</div>'


def _figure(picture: Picture, labels: Sequence[Label]) -> str:
    """Return a picture with the names over it as text, so that they stay sharp and can be searched."""
    height, width = picture.pixels.shape[:2]
    data = data_url(picture.pixels)
    names, below = "", -math.inf
    for label in sorted(labels, key=lambda one: picture.marks[one.value][1]):
        x, y = picture.marks[label.value]
        # Centres lie close together where the image's border cuts a vertebra; its name must not hide the next one's.
        below = max(y, below + _LINE)
        names += f'<text x="{x:.1f}" y="{below:.1f}">{escape(label.name)}</text>'
    said = escape(f"{picture.title}: {', '.join(label.name for label in labels)}")
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
        f'<image width="{width}" height="{height}" href="{data}"/>{names}</svg>'
        f"<figcaption>{escape(picture.title)}</figcaption></figure>"
    )


def _level_table(result: Result, labels: Sequence[Label]) -> str:
    rows = []
    for level, label, (ml, mm) in zip(result.levels, labels, _measures(result, labels), strict=True):
        numbers = (_number(ml, 1), _number(mm, 1), f"{level.confidence:.0%}", _number(level.quality, 2))
        swatch = f'<span class="swatch" style="background:rgb{label.colour}" aria-hidden="true"></span>'
        review = escape("Review: " + "; ".join(level.flags)) if level.flags else ""
        rows.append(
            f'<tr{" class=review" if level.flags else ""}><th scope="row">{swatch}{escape(label.name)}</th>'
            + "".join(f"<td>{number}</td>" for number in numbers)
            + f'<td class="words">{review}</td></tr>'
        )
    heads = "".join(f'<th scope="col">{text}</th>' for text in ("Volume (ml)", "Height of body (mm)", "Name right"))
    return (
        '<div class="scroll"><table><caption>Levels, head to foot</caption><thead><tr><th scope="col">Level</th>'
        f'{heads}<th scope="col">Expected Dice</th><th scope="col" class="words">To review</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _time_table(seconds: Mapping[str, float]) -> str:
    stages = {**seconds, "Total": sum(seconds.values())}
    rows = (f'<tr><th scope="row">{escape(stage)}</th><td>{time:.1f}</td></tr>' for stage, time in stages.items())
    heads = '<tr><th scope="col">Stage</th><th scope="col">Seconds</th></tr>'
    return f"<table><caption>Time</caption><thead>{heads}</thead><tbody>{''.join(rows)}</tbody></table>"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else _ABSENT
