"""A slice view as numbers: pixels to places in the patient and back, and what of a drawing lies in the slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.mrml.geometry import matrix_from_vtk
from SAMSpineLib.mrml.marker import Marker
from SAMSpineLib.prompts import Ras

Pixel = tuple[float, float]
HIT_PIXELS = 7.0
LEAST_REACH = 1.0  # mm: what lies this close to a slice is drawn in it, however thin the slices are
ROUND_CORNERS = 10  # of the polygon that is drawn for a point
_TURN = np.linspace(0, 2 * np.pi, ROUND_CORNERS, endpoint=False)
_DISC = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


class SlicePlane:
    """What a vtkMRMLSliceNode shows now: any orientation, spacing and zoom."""

    def __init__(self, slice_node: Any) -> None:
        """Read the node's matrices."""
        self._xy_to_ras = matrix_from_vtk(slice_node.GetXYToRAS())
        to_ras = matrix_from_vtk(slice_node.GetSliceToRAS())
        self._normal, self._origin = to_ras[:3, 2], to_ras[:3, 3]
        thickness = abs(float((self._xy_to_ras[:3, 2]) @ self._normal))
        self.reach = max(LEAST_REACH, 0.5 * thickness)

    @property
    def normal(self) -> Ras:
        """Which way the slice faces (RAS)."""
        r, a, s = self._normal.tolist()
        return (r, a, s)

    def to_ras(self, x: float, y: float) -> Ras:
        """Return the place (RAS mm) of a pixel, y upwards."""
        r, a, s = (self._xy_to_ras @ [x, y, 0.0, 1.0])[:3].tolist()
        return (r, a, s)

    def rectangle(self, first: Pixel, last: Pixel) -> tuple[Ras, ...]:
        """Return the four corners (RAS mm) of a rectangle that is drawn from one pixel to another."""
        (x0, y0), (x1, y1) = first, last
        return tuple(self.to_ras(x, y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))

    def to_pixels(self, places: Sequence[Ras]) -> npt.NDArray[np.float64]:
        """Return the pixels (N, 2) of places (RAS mm)."""
        points = np.concatenate([np.asarray(places, float), np.ones((len(places), 1))], axis=1)
        return np.asarray(np.linalg.solve(self._xy_to_ras, points.T).T[:, :2])

    def shows(self, marker: Marker) -> bool:
        """Tell whether a prompt is drawn in the slice: lies in it, or for a box goes through it."""
        depths = (np.asarray(marker.places, float) - self._origin) @ self._normal
        if marker.kind == "box":
            depths = (box_corners(marker.places) - self._origin) @ self._normal
        return bool(depths.min() <= self.reach and depths.max() >= -self.reach)

    def outline(self, marker: Marker, radius: float) -> npt.NDArray[np.float64]:
        """Return the polyline (N, 2) in pixels that draws a prompt; a point is a disc of a radius in pixels."""
        if marker.kind == "box":
            pixels = self.to_pixels([tuple(one) for one in box_corners(marker.places).tolist()])
            (x0, y0), (x1, y1) = pixels.min(axis=0), pixels.max(axis=0)
            return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
        pixels = self.to_pixels(marker.places)
        if marker.kind == "point":
            return np.asarray(pixels[0] + radius * _DISC)
        return pixels if marker.kind == "scribble" else np.concatenate([pixels, pixels[:1]])

    def hit(self, markers: Iterable[Marker], x: float, y: float) -> Marker | None:
        """Return the prompt that is drawn nearest to a pixel, None if none is near enough."""
        best, least = None, HIT_PIXELS
        for marker in markers:
            if self.shows(marker):
                line = self.to_pixels(marker.places) if marker.kind == "point" else self.outline(marker, 0.0)
                distance = _distance(line, np.array([x, y]))
                if distance <= least:
                    best, least = marker, distance
        return best


def box_corners(places: Sequence[Ras]) -> npt.NDArray[np.float64]:
    """Return the eight corners (8, 3) of the box between two places (RAS mm)."""
    low, high = np.asarray(places, float)
    return np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])


def _distance(line: npt.NDArray[np.float64], point: npt.NDArray[np.float64]) -> float:
    """Return how far a point is from a polyline (N, 2)."""
    if len(line) == 1:
        return float(np.linalg.norm(line[0] - point))
    start, step = line[:-1], np.diff(line, axis=0)
    along = ((point - start) * step).sum(axis=1) / np.maximum((step * step).sum(axis=1), 1e-12)
    nearest = start + along.clip(0, 1)[:, None] * step
    return float(np.linalg.norm(nearest - point, axis=1).min())
