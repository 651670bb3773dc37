"""Drawings of many scores as SVG text: every value as a dot, and how many cases reach a score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from SAMSpineLib.evaluation.intervals import Interval

_WIDTH, _NAMES, _ROW, _FOOT = 640, 130, 22, 34
_TICKS = 5


def dots(
    title: str, rows: Sequence[tuple[str, Sequence[tuple[str, float]], Interval]], *, low: float, high: float
) -> str:
    """Draw a line for each structure: a dot for each case, a bar for the interval, a stroke for the mean.

    Args:
        title: what is drawn, said to those who cannot see it as well.
        rows: name of the structure, (name, value) of each case, and the interval of the mean.
        low: value at the left end.
        high: value at the right end; what lies beyond is drawn there.
    """
    height = _ROW * len(rows) + _FOOT
    body = [_axis(low, high, _ROW * len(rows))]
    for number, (name, values, interval) in enumerate(rows):
        y = _ROW * (number + 0.5)
        body.append(f'<text class="name" x="{_NAMES - 8}" y="{y:.1f}">{escape(name)}</text>')
        if math.isfinite(interval.low):
            left, right = _x(interval.low, low, high), _x(interval.high, low, high)
            body.append(
                f'<rect class="interval" x="{left:.1f}" y="{y - 6:.1f}" width="{right - left:.1f}" height="12"/>'
            )
        for case, value in values:
            if math.isfinite(value):
                said = f"<title>{escape(case)}: {value:.3f}</title>"
                body.append(f'<circle class="dot" cx="{_x(value, low, high):.1f}" cy="{y:.1f}" r="3">{said}</circle>')
        if math.isfinite(interval.mean):
            x = _x(interval.mean, low, high)
            body.append(f'<path class="mean" d="M{x:.1f} {y - 8:.1f}v16"/>')
    return _svg(title, height, body)


def reached(title: str, series: Mapping[str, Sequence[float]]) -> str:
    """Draw, for each structure, the share of cases whose score (0..1) is at least what the axis says."""
    height, bottom = 260, 260 - _FOOT
    body = [_axis(0.0, 1.0, bottom)]
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - 8)
        body.append(f'<text class="name" x="{_NAMES - 8}" y="{y:.1f}">{share:.0%}</text>')
    for number, (name, values) in enumerate(series.items()):
        finite = np.sort([value for value in values if math.isfinite(value)])
        if not finite.size:
            continue
        # From every case at 0 down to none; a step down behind each value.
        shares = 1 - np.arange(finite.size + 1) / finite.size
        path = f"M{_x(0, 0, 1):.1f} {bottom - (bottom - 8):.1f}"
        for value, share in zip(finite, shares[1:], strict=True):
            path += f"H{_x(float(value), 0, 1):.1f}V{bottom - share * (bottom - 8):.1f}"
        hue = round(360 * number / len(series))
        body.append(
            f'<path class="curve" style="stroke:hsl({hue} 70% 45%)" d="{path}"><title>{escape(name)}</title></path>'
        )
        if len(series) <= 12:
            x = _NAMES + 8
            mark = f'<tspan style="fill:hsl({hue} 70% 45%)">&#9632;</tspan> {escape(name)}'
            body.append(f'<text class="legend" x="{x}" y="{bottom - 14 * (len(series) - number):.1f}">{mark}</text>')
    return _svg(title, height, body)


def _svg(title: str, height: float, body: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(body)}</svg>"
    )


def _x(value: float, low: float, high: float) -> float:
    share = (min(max(value, low), high) - low) / ((high - low) or 1.0)
    return _NAMES + share * (_WIDTH - _NAMES - 20)


def _axis(low: float, high: float, bottom: float) -> str:
    """Draw upright lines with their values below."""
    parts = []
    for number in range(_TICKS + 1):
        value = low + (high - low) * number / _TICKS
        x = _x(value, low, high)
        parts.append(f'<path class="rule" d="M{x:.1f} 0V{bottom:.1f}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}">{value:.3g}</text>')
    return "".join(parts)
