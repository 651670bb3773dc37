"""The node in which the Slicer module keeps what a scene remembers of it, written without the module.

Its parameters are those of SAMSpineSlicer.ParameterNode, in the words of Slicer's parameterNodeWrapper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MODULE = "SAMSpine"
VOLUME, SEGMENTATION, SELECTED, PROMPTS = "inputVolume", "segmentation", "selectedSegmentId", "promptLog"
_CLASS = "vtkMRMLScriptedModuleNode"


@dataclass(frozen=True)
class PanelState:
    """What is remembered.

    Attributes:
        volume: the vtkMRMLScalarVolumeNode.
        segmentation: the vtkMRMLSegmentationNode.
        prompts: the text of `mrml.prompt_log`.
        selected: id of the segment that prompts go to, empty for none.
    """

    volume: Any
    segmentation: Any
    prompts: str = ""
    selected: str = ""


def write_state(scene: Any, state: PanelState) -> Any:
    """Keep a state in a scene, in the node where the Slicer module looks for it, and return that node."""
    node = scene.GetSingletonNode(MODULE, _CLASS) or _added(scene)
    for name, one in ((VOLUME, state.volume), (SEGMENTATION, state.segmentation)):
        node.SetParameter(name, "")  # by this the wrapper knows that the reference was set
        node.SetNodeReferenceID(name, one.GetID())
    node.SetParameter(SELECTED, state.selected)
    node.SetParameter(PROMPTS, state.prompts)
    return node


def _added(scene: Any) -> Any:
    node = scene.CreateNodeByClass(_CLASS)
    node.UnRegister(None)  # Python holds it now
    node.SetSingletonTag(MODULE)
    node.SetAttribute("ModuleName", MODULE)
    node.SetName(MODULE)
    return scene.AddNode(node)
