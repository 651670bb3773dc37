"""What the panel remembers: typed, in a node of the scene, saved and read back with it."""

from typing import Annotated, get_args

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from SAMSpineLib.engine.autonomous.methods import Run

METHODS = list(get_args(Run))
DEVICES = ["auto", "cpu", "cuda"]
PRECISIONS = ["auto", "float32", "bfloat16", "float16"]
# What the left button does in a slice view; "none" leaves it to Slicer.
MODES = ["none", "positivePoint", "negativePoint", "box", "scribble", "lasso"]


@parameterNodeWrapper
class ParameterNode:
    """The state of the panel.

    Attributes:
        inputVolume: the image being segmented.
        segmentation: where the result goes.
        modelName: a model of the library's registry.
        method: how autonomous mode finds vertebrae.
        mode: the tool in use, one of MODES.
        selectedSegmentId: the segment that prompts go to, empty for none.
        promptLog: every prompt so far, as JSON (mrml.prompt_log); repeated when the scene is opened again.
        smoothing: of the surfaces in 3D, 0 (none) to 1.
        show3D: whether surfaces are shown.
        showSource: whether the table tells who made a segment: autonomous mode or a human.
        device: where the engine computes.
        precision: in which its networks compute.
        cacheSizeMB: memory for encoded patches.
        serverAddress: of an engine elsewhere, empty for one of our own.
        tokenFile: path of the file with that engine's token.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    modelName: str = "ct-sam3d-small"
    method: Annotated[str, Choice(METHODS)] = "centres"
    mode: Annotated[str, Choice(MODES)] = "none"
    selectedSegmentId: str = ""
    promptLog: str = ""
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.5
    show3D: bool = False
    showSource: bool = False
    device: Annotated[str, Choice(DEVICES)] = "auto"
    precision: Annotated[str, Choice(PRECISIONS)] = "auto"
    cacheSizeMB: Annotated[int, WithinRange(64, 65536)] = 512
    serverAddress: str = ""
    tokenFile: str = ""
