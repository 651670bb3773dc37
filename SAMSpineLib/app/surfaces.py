"""Surfaces of segments as files, made from copies of their voxels in whatever thread has the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util import numpy_support
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D, vtkReverseSense, vtkWindowedSincPolyDataFilter
from vtkmodules.vtkIOGeometry import vtkSTLWriter

from SAMSpineLib.errors import OutputError
from SAMSpineLib.mrml.crops import Crop
from SAMSpineLib.volume import Grid, ras_from_lps

# As Slicer does with its smoothing factor of 0.5.
ITERATIONS, PASS_BAND = 20, 0.01
HEADER = "3D Slicer output. SPACE=LPS"  # where Slicer looks for the frame


def write_stl(path: Path, crop: Crop, grid: Grid) -> None:
    """Write the surface of a segment as binary STL, in LPS mm, smoothed as Slicer does by default.

    Args:
        path: of the file.
        crop: the segment's voxels.
        grid: the lattice of the crop's extent.

    Raises:
        OutputError: if it cannot be written.
    """
    writer = vtkSTLWriter()
    writer.SetFileName(str(path))
    writer.SetFileTypeToBinary()
    writer.SetHeader(HEADER)
    writer.SetInputData(surface_of(crop, grid))
    if not writer.Write() or writer.GetErrorCode():
        msg = f"The surface of {crop.label.name} cannot be written; is the disk full?"
        raise OutputError(msg)


def surface_of(crop: Crop, grid: Grid) -> Any:
    """Return the surface of a segment as vtkPolyData in LPS mm, its triangles facing outwards."""
    edges = vtkFlyingEdges3D()
    edges.SetInputData(_image_of(crop))
    edges.SetValue(0, 0.5)
    edges.ComputeNormalsOff()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputConnection(edges.GetOutputPort())
    smooth.SetNumberOfIterations(ITERATIONS)
    smooth.SetPassBand(PASS_BAND)
    smooth.FeatureEdgeSmoothingOff()
    smooth.BoundarySmoothingOff()
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    smooth.Update()
    surface = smooth.GetOutput()
    to_lps = ras_from_lps(grid.ijk_to_ras)
    points = numpy_support.vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64)
    places = points @ to_lps[:3, :3].T + to_lps[:3, 3]
    surface.GetPoints().SetData(numpy_support.numpy_to_vtk(places.astype(np.float32), deep=True))
    return surface if np.linalg.det(to_lps[:3, :3]) > 0 else _turned_over(surface)


def _image_of(crop: Crop) -> Any:
    """Return a mask with a border of nothing around it, in the indices of the volume."""
    padded = np.pad(crop.mask.astype(np.uint8), 1)
    i0, i1, j0, j1, k0, k1 = crop.extent
    image = vtkImageData()
    image.SetExtent(i0 - 1, i1 + 1, j0 - 1, j1 + 1, k0 - 1, k1 + 1)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(padded.ravel(), deep=True))
    return image


def _turned_over(surface: Any) -> Any:
    """Return a surface that a mirror has turned inside out with its triangles facing outwards again."""
    turn = vtkReverseSense()
    turn.SetInputData(surface)
    turn.ReverseCellsOn()
    turn.Update()
    return turn.GetOutput()
