"""Our nouns as JSON objects and back: labels, prompts, grids, updates, results, errors. Nothing here computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib import errors
from SAMSpineLib.engine.autonomous.fits import AtlasFit, AtlasTransform
from SAMSpineLib.engine.autonomous.numbering import Numbering
from SAMSpineLib.engine.autonomous.result import AutoResult, LevelResult
from SAMSpineLib.engine.service.packing import pack_array, unpack_array
from SAMSpineLib.errors import EngineError, PromptError, SAMSpineError
from SAMSpineLib.labels import Label
from SAMSpineLib.lesson_order import LessonResult
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Prompt, Ras, Scribble
from SAMSpineLib.volume import Grid, slices_of

Message = dict[str, Any]
LINES: Mapping[str, type[Scribble | Lasso]] = {"scribble": Scribble, "lasso": Lasso}
# Errors that travel under their own name.
CLASSES: Mapping[str, type[SAMSpineError]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SAMSpineError) and kind is not errors.MissingExtraError
}


def grid_message(grid: Grid) -> Message:
    """Return a grid as shape (K, J, I) and 4x4 matrix from IJK to RAS (mm)."""
    return {"shape": list(grid.shape), "ijk_to_ras": grid.ijk_to_ras.tolist()}


def read_grid(message: Message) -> Grid:
    """Return the grid of a message.

    Raises:
        GeometryError: if it is none.
    """
    k, j, i = message["shape"]
    return Grid((k, j, i), np.asarray(message["ijk_to_ras"], np.float64))


def label_message(label: Label) -> Message:
    """Return what an engine must know of a label."""
    return {"value": label.value, "name": label.name, "group": label.group, "whole": label.whole}


def read_label(message: Message) -> Label:
    """Return the label of a message; colour and codes stay with the client."""
    name = message["name"]
    return Label(message["value"], name, name, message["group"], (0, 0, 0), whole=message["whole"])


def prompt_message(prompt: Prompt) -> Message:
    """Return a prompt; places are RAS mm."""
    if isinstance(prompt, MaskPrompt):
        return {"kind": "mask", "grid": grid_message(prompt.grid), "mask": pack_array(prompt.mask)}
    slice_ = {} if prompt.normal is None else {"normal": list(prompt.normal)}
    if isinstance(prompt, Point):
        return {"kind": "point", "ras": list(prompt.ras), "positive": prompt.positive, **slice_}
    if isinstance(prompt, Box):
        return {"kind": "box", "corner_a": list(prompt.corner_a), "corner_b": list(prompt.corner_b), **slice_}
    kind = "scribble" if isinstance(prompt, Scribble) else "lasso"
    return {"kind": kind, "points": [list(one) for one in prompt.points], "positive": prompt.positive, **slice_}


def read_prompt(message: Message, *, most_voxels: int = 2**40) -> Prompt:
    """Return the prompt of a message.

    Raises:
        PromptError, VolumeError, GeometryError: if it is malformed.
    """
    kind = message["kind"]
    normal = _ras(message["normal"]) if message.get("normal") is not None else None
    if kind == "point":
        return Point(_ras(message["ras"]), message["positive"], normal)
    if kind == "box":
        return Box(_ras(message["corner_a"]), _ras(message["corner_b"]), normal)
    if kind == "mask":
        mask = unpack_array(message["mask"], most_voxels=most_voxels)
        if not np.isfinite(mask).all():
            msg = "A mask prompt must hold finite numbers"
            raise PromptError(msg)
        return MaskPrompt(mask, read_grid(message["grid"]))
    return LINES[kind](tuple(_ras(one) for one in message["points"]), message["positive"], normal)


def update_message(update: MaskUpdate, labels: npt.NDArray[np.uint16]) -> Message:
    """Return an update, with all labels (K, J, I) of its crop where it changed voxels of others."""
    crop = pack_array(labels[slices_of(update.extent)]) if update.overwritten else None
    return {
        "label": update.label,
        "extent": list(update.extent),
        "mask": pack_array(update.mask.astype(np.bool_)),
        "crop": crop,
        "overwritten": list(update.overwritten),
        "visited": [grid_message(grid) for grid in update.visited],
        "message": update.message,
    }


def read_update(message: Message) -> MaskUpdate:
    """Return the update of a message; `apply_update` writes it."""
    i0, i1, j0, j1, k0, k1 = message["extent"]
    mask = unpack_array(message["mask"]).view(np.uint8)
    visited = tuple(read_grid(one) for one in message["visited"])
    overwritten = tuple(message["overwritten"])
    return MaskUpdate(message["label"], mask, (i0, i1, j0, j1, k0, k1), overwritten, visited, message["message"])


def apply_update(update: MaskUpdate, message: Message, labels: npt.NDArray[np.uint16]) -> None:
    """Bring a label map (K, J, I) to the state after an update, voxel by voxel the engine's."""
    if update.is_empty:
        return
    crop = labels[slices_of(update.extent)]
    if message["crop"] is not None:
        crop[...] = unpack_array(message["crop"])
        return
    crop[crop == update.label] = 0
    crop[update.mask != 0] = update.label


def result_message(result: AutoResult) -> Message:
    """Return all of an autonomous result but its voxels, which travel as updates."""
    levels = [
        {"value": one.value, "centre": list(one.centre), "confidence": one.confidence, "quality": one.quality,
         "voxels": one.voxels, "flags": list(one.flags)}
        for one in result.levels
    ]  # fmt: skip
    return {
        "levels": levels,
        "ambiguous": result.ambiguous,
        "alternatives": [list(chain) for chain in result.alternatives],
        "numberings": [{"values": list(one.values), "probability": one.probability} for one in result.numberings],
        "fits": [{"atlas": one.atlas, "value": one.value, "quality": one.quality} for one in result.fits],
        "message": result.message,
        "seconds": dict(result.seconds),
        "structures": [coloured_message(one) for one in result.structures],
    }


def read_result(message: Message, grid: Grid, labels: npt.NDArray[np.uint16]) -> AutoResult:
    """Return the autonomous result of a message, with the label map (K, J, I) that updates have led to."""
    return AutoResult(
        grid=grid,
        labels=labels,
        levels=tuple(_levels(message["levels"])),
        ambiguous=message["ambiguous"],
        alternatives=tuple(tuple(chain) for chain in message["alternatives"]),
        message=message["message"],
        seconds=message["seconds"],
        numberings=tuple(Numbering(tuple(one["values"]), one["probability"]) for one in message["numberings"]),
        fits=tuple(AtlasFit(one["atlas"], one["value"], one["quality"]) for one in message["fits"]),
        structures=tuple(read_coloured(one) for one in message["structures"]),
    )


def coloured_message(label: Label) -> Message:
    """Return a label with its colour."""
    return {**label_message(label), "colour": list(label.colour)}


def read_coloured(message: Message) -> Label:
    """Return the label of a message with its colour."""
    red, green, blue = message["colour"]
    return replace(read_label(message), colour=(red, green, blue))


def lesson_message(found: LessonResult) -> Message:
    """Return what came of teaching."""
    return asdict(found)


def read_lesson(message: Message) -> LessonResult:
    """Return what came of teaching from a message."""
    return LessonResult(**message)


def transform_message(found: AtlasTransform) -> Message:
    """Return the transform of an atlas; the three components of a voxel lie side by side along I."""
    k, j, i, _ = found.displacement.shape
    packed = pack_array(found.displacement.reshape(k, j, 3 * i))
    return {"atlas": found.atlas, "value": found.value, "grid": grid_message(found.grid), "displacement": packed}


def read_transform(message: Message) -> AtlasTransform:
    """Return the transform of a message."""
    grid = read_grid(message["grid"])
    displacement = unpack_array(message["displacement"]).reshape(*grid.shape, 3)
    return AtlasTransform(message["atlas"], message["value"], displacement, grid)


def error_message(error: SAMSpineError) -> Message:
    """Return an error under its class's name; one that the other side cannot know goes as its base."""
    known = [kind.__name__ for kind in type(error).__mro__ if CLASSES.get(kind.__name__) is kind]
    return {"error": {"type": known[0], "message": str(error)}}


def read_error(message: object, status: int) -> SAMSpineError:
    """Return the error of a refusal, whoever wrote it."""
    found = message.get("error") if isinstance(message, dict) else None
    if not isinstance(found, dict):
        return EngineError(f"The engine's answer cannot be read (HTTP status {status}); is it a SAMSpine engine?")
    return CLASSES.get(str(found.get("type")), EngineError)(str(found.get("message")))


def _levels(messages: list[Message]) -> Iterator[LevelResult]:
    for one in messages:
        flags = tuple(one["flags"])
        yield LevelResult(
            one["value"], _ras(one["centre"]), one["confidence"], one["quality"], one["voxels"], flags
        )  # fmt: skip


def _ras(values: list[float]) -> Ras:
    r, a, s = values
    return (r, a, s)
