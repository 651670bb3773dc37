"""A scene without an application: what slicer-core needs before a segmentation node can be made in it."""

from __future__ import annotations

from typing import Any

import slicer


def headless_scene() -> Any:
    """Return a vtkMRMLScene that knows the node classes of volumes, segmentations and markups, and has colour tables.

    Inside 3D Slicer use the application's own scene instead.
    """
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    colours = application.GetColorLogic()
    colours.SetMRMLScene(scene)
    colours.AddDefaultColorNodes()
    application.SetModuleLogic("Colors", colours)
    logics = [slicer.vtkSlicerSegmentationsModuleLogic(), slicer.vtkSlicerMarkupsLogic()]
    for logic in logics:
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
    # The scene does not own its logics; without this they would be gone with the end of this function.
    scene.samspine_logics = [application, *logics]
    return scene
