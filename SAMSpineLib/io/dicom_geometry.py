"""Where the slices of a DICOM series lie: from their positions and orientations, never from file names or order.

Source: DICOM PS3.3 C.7.6.2 (Image Plane Module). All vectors are LPS millimetres, as DICOM writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import GeometryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from SAMSpineLib.io.dicom_headers import SliceHeader

Vector = npt.NDArray[np.float64]

# Cosines differ by this much at most within one series; scanners round to six digits.
_SAME_DIRECTION = 1e-3
# Slices closer than this (mm) are at the same place.
_SAME_PLACE = 0.01
# Positions are often written to a tenth of a millimetre.
_ROUNDING = 0.06
# A drift of the whole stack under this part of a pixel is rounding, not gantry tilt.
_STRAIGHT = 0.25


@dataclass(frozen=True)
class Stack:
    """Slices in order along the normal, and the lattice they stand on (LPS mm).

    `axes` (3, 3) holds the unit vectors of I, J and the normal in its columns; `step` (3,) leads from one slice to the
    next, which under gantry tilt is not along the normal; `spacing` is the pixel size along I and J.
    """

    slices: tuple[SliceHeader, ...]
    axes: Vector
    origin: Vector
    step: Vector
    spacing: tuple[float, float]

    @property
    def thickness(self) -> float:
        """Distance between slices along the normal (mm)."""
        return float(self.step @ self.axes[:, 2])

    @property
    def drift(self) -> Vector:
        """How far each slice slides in its own plane against the one before (3,), in mm."""
        return np.asarray(self.step - self.thickness * self.axes[:, 2])

    @property
    def is_tilted(self) -> bool:
        """Whether the slices slide so far that no orthogonal grid fits them."""
        whole = float(np.linalg.norm(self.drift)) * (len(self.slices) - 1)
        return whole > max(_STRAIGHT * min(self.spacing), 2 * _ROUNDING)


def ordered(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Sort slices along their normal and group those at the same place.

    Raises:
        GeometryError: if they differ in size, pixel size or orientation, or do not say where they lie.
    """
    for one in slices:
        _check_placed(one)
        _check_alike(one, slices[0])
    normal = _axes(slices[0])[:, 2]
    groups: list[list[SliceHeader]] = []
    for one in sorted(slices, key=lambda header: (_along(header, normal), str(header.path))):
        if groups and np.linalg.norm(_position(one) - _position(groups[-1][0])) <= _SAME_PLACE:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def stack(slices: Sequence[SliceHeader]) -> Stack:
    """Find the lattice of slices that are in order, one at each place.

    Raises:
        GeometryError: naming the first place where a slice is missing or out of line.
    """
    first = slices[0]
    axes, positions = _axes(first), np.array([_position(one) for one in slices])
    if len(slices) == 1:
        step = axes[:, 2] * (first.thickness or 1.0)
    else:
        step = (positions[-1] - positions[0]) / (len(slices) - 1)
        _check_even(slices, positions, axes[:, 2])
    return Stack(tuple(slices), axes, positions[0], step, first.spacing or (1.0, 1.0))


def _check_placed(one: SliceHeader) -> None:
    """Refuse a slice that does not state position, orientation and pixel size."""
    stated = {
        "ImagePositionPatient": one.position,
        "ImageOrientationPatient": one.row,
        "PixelSpacing": one.spacing,
    }
    missing = [name for name, value in stated.items() if value is None]
    if missing:
        msg = f"{one.path} does not say where it lies: {', '.join(missing)} missing; export the original series again"
        raise GeometryError(msg)


def _check_alike(one: SliceHeader, other: SliceHeader) -> None:
    """Refuse slices of one series that cannot stand in one grid."""
    if (one.rows, one.columns) != (other.rows, other.columns):
        what = f"sizes ({other.columns} x {other.rows} and {one.columns} x {one.rows})"
    elif not np.allclose(one.spacing or 0, other.spacing or 0, rtol=1e-3):
        what = f"pixel sizes ({other.spacing} and {one.spacing} mm)"
    elif not np.allclose(_axes(one), _axes(other), atol=_SAME_DIRECTION):
        what = "orientations"
    else:
        return
    msg = (
        f"The slices of one series have different {what}: {other.path.name} and {one.path.name}; "
        f"put the files of each kind into a folder of their own"
    )
    raise GeometryError(msg)


def _axes(one: SliceHeader) -> Vector:
    """Return unit vectors of I, J and the normal (columns), made exactly perpendicular.

    Raises:
        GeometryError: if the file's own two vectors are far from it.
    """
    row, column = np.asarray(one.row, dtype=np.float64), np.asarray(one.column, dtype=np.float64)
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > 0.01:
        msg = f"{one.path}: ImageOrientationPatient is not two perpendicular unit vectors: {[*row, *column]}"
        raise GeometryError(msg)
    row = row / lengths[0]
    column = column - row * (row @ column)
    column = column / np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)], axis=1)


def _position(one: SliceHeader) -> Vector:
    """Return a checked slice's position (3,)."""
    return np.asarray(one.position, dtype=np.float64)


def _along(one: SliceHeader, normal: Vector) -> float:
    """Return a slice's place along the normal (mm)."""
    return float(_position(one) @ normal)


def _check_even(slices: Sequence[SliceHeader], positions: Vector, normal: Vector) -> None:
    """Refuse slices that do not stand at even distances on one line."""
    heights = positions @ normal
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    even = np.linspace(0, 1, len(slices))[:, None] * (positions[-1] - positions[0]) + positions[0]
    off = np.linalg.norm(positions - even, axis=1)
    if usual > _SAME_PLACE and off.max() <= max(0.1 * usual, _ROUNDING):
        return
    worst = int(np.argmax(np.abs(gaps - usual)))
    before, after, gap = slices[worst], slices[worst + 1], float(gaps[worst])
    if gap > 1.5 * usual:
        missing = f"{max(round(gap / usual) - 1, 1)} slice(s) missing"
    elif abs(gap - usual) > _ROUNDING:
        missing = "distances are uneven"
    else:
        worst = int(np.argmax(off))
        msg = (
            f"The slices do not stand on one line: {slices[worst].path.name} is {off[worst]:.2f} mm off; "
            f"put the files of each acquisition into a folder of their own"
        )
        raise GeometryError(msg)
    msg = (
        f"{missing} between {before.path.name} (at {heights[worst]:g} mm) and {after.path.name} "
        f"(at {heights[worst + 1]:g} mm): they are {gap:g} mm apart where {usual:g} mm is usual; "
        f"export the whole series again, or open one part of it"
    )
    raise GeometryError(msg)
