"""MRML bundles (.mrb), the scenes of 3D Slicer in one file: written with the prompts, and read to go on with.

A bundle from elsewhere is never imported as a scene: of what it says only a volume, a segmentation and the prompts are
taken, and only from files that lie in it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from SAMSpineLib.app.uploads import safe_path
from SAMSpineLib.errors import OutputError, VolumeError
from SAMSpineLib.io import read_with_notices, write_volume
from SAMSpineLib.mrml.panel_state import MODULE, PROMPTS, SEGMENTATION, SELECTED, VOLUME, PanelState, write_state
from SAMSpineLib.volume import Volume

DATA = "Data"
_NO_VOLUME = "There is no volume in this scene that could be opened: save it in Slicer with its image"


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds for us.

    Attributes:
        volume: the image, in its own coordinates.
        name: of the image.
        segments: the `.seg.nrrd` of its segmentation, None without one.
        segmentation_id: of its node in that scene, the key of its prompts.
        prompts: the text of all prompts of that scene (`mrml.prompt_log`).
        selected: the segment that prompts went to last.
        notices: a sentence for each repair.
    """

    volume: Volume
    name: str
    segments: Path | None = None
    segmentation_id: str = ""
    prompts: str = ""
    selected: str = ""
    notices: tuple[str, ...] = ()


# Writing.


def write_scene(scene: Any, state: PanelState, folder: Path, name: str) -> Path:
    """Write a scene's description and segments into a folder, and return where its volume belongs.

    Short enough for the scene's own thread; the volume, which takes long, is left to `finish`.

    Raises:
        OutputError: if it cannot be written.
    """
    (folder / DATA).mkdir(parents=True)
    write_state(scene, state)
    made = [_storage(node) for node in (state.volume, state.segmentation)]
    image, segments = folder / DATA / f"{name}.nrrd", folder / DATA / f"{name}.seg.nrrd"
    try:
        for storage, path in zip(made, (image, segments), strict=True):
            storage.SetFileName(str(path))
        made[1].SetCropToMinimumExtent(True)
        scene.SetRootDirectory(str(folder))
        scene.SetURL(str(folder / f"{name}.mrml"))
        if not made[1].WriteData(state.segmentation) or not scene.Commit():
            msg = "The scene cannot be written; is the disk full?"
            raise OutputError(msg)
    finally:
        for storage in made:
            scene.RemoveNode(storage)
    return image


def _storage(node: Any) -> Any:
    node.AddDefaultStorageNode()
    return node.GetStorageNode()


def finish(bundle: Path, folder: Path, volume: Volume, image: Path) -> None:
    """Add the volume to what `write_scene` has begun, and pack all of it; in any thread.

    Raises:
        OutputError: if it cannot be written.
    """
    write_volume(image, volume)
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            packed.write(file, f"{folder.name}/{file.relative_to(folder).as_posix()}")


# Reading.


def read_bundle(description: Path) -> Bundle:
    """Read the volume of an unpacked bundle, and where its segments and prompts are.

    Args:
        description: the `.mrml` file; what it names must lie beside or below it.

    Raises:
        VolumeError: if it is no scene, holds no volume, or one that cannot be read.
    """
    try:
        scene = ElementTree.parse(description).getroot()  # noqa: S314 - expat refuses what grows without end
    except ElementTree.ParseError as error:
        msg = f"{description.name} is damaged or no scene of Slicer: save it again ({error})"
        raise VolumeError(msg) from error
    nodes = {node.get("id", ""): node for node in scene}
    ours = next((node for node in scene if node.tag == "ScriptedModule" and node.get("singletonTag") == MODULE), None)
    segmentation = _chosen(nodes, ours, SEGMENTATION, "Segmentation")
    volume = _chosen(nodes, ours, VOLUME, "Volume", near=segmentation)
    if volume is None:
        raise VolumeError(_NO_VOLUME)
    if segmentation is not None and _parent(segmentation) != _parent(volume):
        msg = "Volume and segmentation lie under different transforms: harden them in Slicer and save the scene again"
        raise VolumeError(msg)
    image = _file_of(description, nodes, volume)
    if image is None:
        raise VolumeError(_NO_VOLUME)
    result, name = read_with_notices(image), volume.get("name") or image.stem
    if segmentation is None:
        return Bundle(result.volume, name, notices=result.notices)
    return Bundle(
        result.volume, name, _file_of(description, nodes, segmentation), segmentation.get("id", ""),
        _parameter(ours, PROMPTS), _parameter(ours, SELECTED), result.notices,
    )  # fmt: skip


Nodes = dict[str, ElementTree.Element]


def _chosen(
    nodes: Nodes, ours: ElementTree.Element | None, role: str, tag: str, near: ElementTree.Element | None = None
) -> ElementTree.Element | None:
    """Return the node that our panel worked with, else the one that another refers to, else the first of its kind."""
    wanted = [_references(one).get(role, "") for one in (ours,) if one is not None]
    wanted += [_references(one).get("referenceImageGeometryRef", "") for one in (near,) if one is not None]
    wanted += [name for name, node in nodes.items() if node.tag == tag]
    return next((nodes[one] for one in wanted if one in nodes and nodes[one].tag == tag), None)


def _references(node: ElementTree.Element) -> dict[str, str]:
    """Return the first node id of each role of a node."""
    pairs = [one.partition(":") for one in node.get("references", "").split(";")]
    return {role: ids.split(" ")[0] for role, _, ids in pairs if role}


def _parent(node: ElementTree.Element) -> str:
    return _references(node).get("transform", "") or node.get("transformNodeRef", "")


def _file_of(description: Path, nodes: Nodes, node: ElementTree.Element) -> Path | None:
    """Return the file of a node, if it lies in the bundle; names are as `safe_path` made them when it was unpacked."""
    storage = nodes.get(_references(node).get("storage", ""))
    name = storage.get("fileName", "") if storage is not None else ""
    if not name:
        return None
    paths = [description.parent / safe_path(one) for one in (name, unquote(name))]
    return next((one for one in paths if one.is_file()), None)


def _parameter(ours: ElementTree.Element | None, name: str) -> str:
    """Return a text that the panel keeps: one attribute holds name and value, with a space between."""
    values = ours.attrib.items() if ours is not None else ()
    found = (value.partition(" ") for key, value in values if key.startswith("parameter"))
    return next((value for key, _, value in found if key == name), "")
