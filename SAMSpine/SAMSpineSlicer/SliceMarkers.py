"""Prompts drawn over one slice view, as one 2D actor: cheap however many there are."""

from collections.abc import Sequence
from typing import Any

import vtk

from SAMSpineLib.mrml.marker import Marker
from SAMSpineLib.mrml.slice_plane import SlicePlane

GREEN, RED, GREY = (60, 220, 60), (240, 60, 60), (200, 200, 200)
RADIUS = 4.0


class SliceMarkers:
    """Draws what of the prompts lies in the slice, and what is being drawn with the mouse."""

    def __init__(self, view: Any, sliceNode: Any) -> None:
        """Draw in a qMRMLSliceView of a vtkMRMLSliceNode."""
        self._view, self._sliceNode = view, sliceNode
        self._data = vtk.vtkPolyData()
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self._data)
        mapper.SetScalarModeToUseCellData()
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(mapper)
        self._actor.GetProperty().SetLineWidth(2)
        self._markers: Sequence[Marker] = ()
        self._stroke: list[tuple[float, float]] = []
        self._renderer().AddViewProp(self._actor)

    @property
    def plane(self) -> SlicePlane:
        """What the view shows now."""
        return SlicePlane(self._sliceNode)

    @property
    def count(self) -> int:
        """How many prompts are drawn now."""
        plane = self.plane
        return sum(plane.shows(marker) for marker in self._markers)

    def show(self, markers: Sequence[Marker]) -> None:
        """Draw these prompts."""
        self._markers = markers
        self.update()

    def stroke(self, pixels: list[tuple[float, float]]) -> None:
        """Draw a line that is under way, in pixels."""
        self._stroke = pixels
        self.update()

    def update(self) -> None:
        """Draw anew, since the slice or the prompts have changed."""
        plane, lines = self.plane, []
        polygons: list[tuple[Any, tuple[int, int, int]]] = []
        for marker in self._markers:
            if plane.shows(marker):
                colour = GREY if marker.pending else GREEN if marker.positive else RED
                shape = (plane.outline(marker, RADIUS), colour)
                (polygons if marker.kind == "point" else lines).append(shape)
        if len(self._stroke) > 1:
            lines.append((self._stroke, GREY))
        self._fill(lines, polygons)
        self._comeToTop()
        self._view.scheduleRender()

    def remove(self) -> None:
        """Leave the view as it was."""
        self._renderer().RemoveViewProp(self._actor)
        self._view.scheduleRender()

    def _comeToTop(self) -> None:
        """Be drawn last: what Slicer draws of a segment that came later would cover the prompts in it."""
        renderer = self._renderer()
        if renderer.GetViewProps().GetLastProp() is not self._actor:
            renderer.RemoveViewProp(self._actor)
            renderer.AddViewProp(self._actor)

    def _fill(self, lines: list[Any], polygons: list[Any]) -> None:
        points, colours = vtk.vtkPoints(), vtk.vtkUnsignedCharArray()
        colours.SetNumberOfComponents(3)
        cells = (vtk.vtkCellArray(), vtk.vtkCellArray())
        # VTK counts the cells of lines before those of polygons.
        for array, shapes in zip(cells, (lines, polygons), strict=True):
            for pixels, colour in shapes:
                array.InsertNextCell(len(pixels))
                colours.InsertNextTuple3(*colour)
                for x, y in pixels:
                    array.InsertCellPoint(points.InsertNextPoint(float(x), float(y), 0.0))
        self._data.Initialize()
        self._data.SetPoints(points)
        self._data.SetLines(cells[0])
        self._data.SetPolys(cells[1])
        self._data.GetCellData().SetScalars(colours)

    def _renderer(self) -> Any:
        return self._view.renderWindow().GetRenderers().GetFirstRenderer()
