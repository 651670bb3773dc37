"""A volume node, a segmentation node, and what an engine says of them: all that a panel does with the scene.

The engine lives in the volume node's own coordinates, so that a parent transform may change without the volume being
sent again; clicks come in and markers go out in world coordinates. Nothing here knows where the engine is:

    bench = Workbench(volume_node, segmentation_node)
    session.set_volume(bench.volume, bench.label_map())
    session.select(bench.label_of(segment_id))
    bench.apply(session.add(bench.prompt("point", [world_ras])), session.result)
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import Label, LabelTable, spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.crops import Crop, crops_of, label_map_of
from SAMSpineLib.mrml.editable import editable_area, editor_of, may_be_overwritten
from SAMSpineLib.mrml.geometry import node_to_world
from SAMSpineLib.mrml.known_masks import KnownMasks
from SAMSpineLib.mrml.layer import Layer, Mask, extent_in_layer, extent_of, lattice_in_node
from SAMSpineLib.mrml.segment_labels import (
    Algorithm,
    labels_of,
    mark_algorithm,
    segment_of,
    set_status,
    status_of,
)
from SAMSpineLib.mrml.segments import ensure_segment, write
from SAMSpineLib.mrml.volumes import grid_of_node, volume_from_node
from SAMSpineLib.prompts import Box, Lasso, Point, Prompt, Ras, Scribble
from SAMSpineLib.volume import Extent, Grid, slices_of

Kind = Literal["point", "box", "scribble", "lasso"]
LabelMap = npt.NDArray[np.uint16]
# Segmentation history copies whole layers; above this many voxels that takes longer than a click may.
MOST_VOXELS_TO_SAVE = 30_000_000


@dataclass(frozen=True, eq=False)
class _Written:
    """What the last step did to a segment: for seeing that somebody else has taken it back."""

    segment_id: str
    extent: Extent
    before: Mask
    after: Mask


class Workbench:
    """One volume node and one segmentation node, with what the engine last said of each label."""

    def __init__(
        self,
        volume_node: Any,
        node: Any,
        *,
        table: LabelTable | None = None,
        algorithm: str = "SAMSpine",
        save_state: Callable[[], None] | None = None,
    ) -> None:
        """Take a volume and a segmentation.

        Args:
            volume_node: a scalar volume.
            node: a segmentation on its lattice.
            table: of structures.
            algorithm: name that DICOM SEG shall give for how segments were made.
            save_state: puts the segmentation's state on the stack that Slicer's own undo uses.

        Raises:
            VolumeError: if the volume cannot be used.
            GeometryError: if a parent transform is not linear, or the segmentation lies on another lattice.
        """
        self.volume_node, self.node = volume_node, node
        self.table = table or spine_labels()
        self.algorithm = algorithm
        self.save_state = save_state
        self.volume = volume_from_node(volume_node, own=True)
        self._known = KnownMasks()
        self._counts: dict[str, int] = {}
        self._written: list[_Written] = []
        self.is_writing = False
        self._check_lattice()

    # Places.

    @property
    def grid(self) -> Grid:
        """The volume's lattice in the world, with its transforms as they are now.

        Raises:
            GeometryError: if a parent transform is not linear.
        """
        return grid_of_node(self.volume_node)

    def prompt(self, kind: Kind, places: Sequence[Ras], *, positive: bool = True, normal: Ras | None = None) -> Prompt:
        """Return what was drawn in a view as a prompt in the volume's own coordinates.

        Args:
            kind: what was drawn.
            places: world coordinates (RAS mm); of a box all corners that were drawn, of anything else its vertices.
            positive: inside or outside of the structure.
            normal: which way the view faces in the world.

        Raises:
            PromptError: if it is no such prompt.
            GeometryError: if the volume is under a non-linear transform.
        """
        to_world = node_to_world(self.volume_node)
        own = self._moved(places, np.linalg.inv(to_world))
        facing: Ras | None = None
        if normal is not None:  # a plane's normal is moved by the transpose of what moves places the other way
            r, a, s = (to_world[:3, :3].T @ normal).tolist()
            facing = (r, a, s)
        if kind == "point":
            return Point(own[0], positive, facing)
        if kind == "box":
            low, high = np.min(own, axis=0).tolist(), np.max(own, axis=0).tolist()
            return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]), facing)
        return (Scribble if kind == "scribble" else Lasso)(own, positive, facing)

    def places(self, prompt: Prompt) -> tuple[Ras, ...]:
        """Return where in the world (RAS mm) a prompt is to be drawn: its vertices, of a box both corners."""
        places: tuple[Ras, ...] = (prompt.corner_a, prompt.corner_b) if isinstance(prompt, Box) else prompt.places
        return self._moved(places, node_to_world(self.volume_node))

    def to_world(self, place: Ras) -> Ras:
        """Return where in the world (RAS mm) a place in the volume's own coordinates is."""
        return self._moved([place], node_to_world(self.volume_node))[0]

    @staticmethod
    def _moved(places: Sequence[Ras], matrix: npt.NDArray[np.floating]) -> tuple[Ras, ...]:
        moved = np.asarray(places, float).reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
        return tuple((r, a, s) for r, a, s in moved.tolist())

    # Segments.

    @property
    def labels(self) -> dict[str, Label]:
        """The structure of each segment by segment id."""
        return labels_of(self.node, self.table)

    def label_of(self, segment_id: str) -> Label:
        """Return the structure that a segment is.

        Raises:
            LabelError: if there is no such segment.
        """
        segment_of(self.node, segment_id)
        return self.labels[segment_id]

    def segment_with(self, value: int) -> str | None:
        """Return the id of the segment with a label value, None if there is none."""
        return next((one for one, label in self.labels.items() if label.value == value), None)

    def next_segment(self, segment_id: str, step: int = 1) -> str:
        """Return the segment of the next level towards the feet (negative: the head), which is made if need be.

        Raises:
            LabelError: if the structure has no such neighbour.
        """
        label = self.label_of(segment_id)
        following = self.table.next_level(label, step)
        if following is None:
            msg = f"There is no level {'below' if step > 0 else 'above'} {label.name}"
            raise LabelError(msg)
        return ensure_segment(self.node, following)

    def millilitres(self, segment_id: str) -> float:
        """Return the volume of a segment (ml)."""
        if segment_id not in self._counts:
            self._counts[segment_id] = self._count(segment_id)
        return self._counts[segment_id] * self.volume.grid.voxel_volume / 1000

    def forget_counts(self) -> None:
        """Count voxels anew when asked next, since somebody else has changed the segmentation."""
        self._counts.clear()

    def _count(self, segment_id: str) -> int:
        layer = Layer.of(self.node, segment_id, lattice_in_node(self.node, self.grid))
        return int(np.count_nonzero(layer.voxels == layer.value))

    # To the engine and back.

    def label_map(self, without: Container[int] = ()) -> LabelMap | None:
        """Return the segments as a label map (K, J, I) for an engine to go on with, None if there is no voxel.

        From here on only what the engine changes of it reaches a segment.

        Args:
            without: label values to leave out, since the engine will be told their prompts.
        """
        self._known.clear()
        self._written.clear()
        labels = {one: label for one, label in self.labels.items() if label.value not in without}
        crops = list(crops_of(self.node, labels, self.grid))
        for one in crops:
            self._known.put(one.label.value, one.extent, one.mask)
        return label_map_of(crops, self.grid) if crops else None

    def crops(self) -> list[Crop]:
        """Return copies of all segments that have voxels, in the order of the label table, others last."""
        order = {label.value: place for place, label in enumerate(self.table)}
        found = crops_of(self.node, self.labels, self.grid)
        return sorted(found, key=lambda one: order.get(one.label.value, len(order) + one.label.value))

    def note(self, update: MaskUpdate, result: LabelMap) -> None:
        """Take over what an engine that repeats earlier steps says, without touching a segment."""
        if not update.is_empty:
            crop = result[slices_of(update.extent)]
            for value in (update.label, *update.overwritten):
                self._known.put(value, update.extent, crop == value)

    def apply(self, update: MaskUpdate, result: LabelMap, *, kind: Algorithm = "SEMIAUTOMATIC") -> str | None:
        """Bring one step of an engine into the segments; what it did not change stays as the user has it.

        Args:
            update: of the step.
            result: the engine's label map (K, J, I) after it.
            kind: of algorithm, for the segment's tags.

        Returns the id of the segment, None if nothing changed.

        Raises:
            GeometryError: if the segmentation lies on another lattice, or a parent transform is not linear.
        """
        if update.is_empty:
            return None
        self.is_writing = True
        try:
            return self._applied(update, result, kind)
        finally:
            self.is_writing = False

    def _applied(self, update: MaskUpdate, result: LabelMap, kind: Algorithm) -> str | None:
        self._save_state()
        self._written.clear()
        crop, area = result[slices_of(update.extent)], self._editable(update.extent)
        steps = [(value, *self._difference(value, update.extent, crop == value)) for value in update.overwritten]
        steps.append((update.label, *self._difference(update.label, update.extent, update.mask != 0)))
        # Who only loses voxels goes first: then nobody has to move to a layer of its own.
        for value, added, removed in sorted(steps, key=lambda step: bool(step[1].any())):
            self._change(value, update.extent, added & area, removed & area, is_new=value == update.label)
        segment_id = self.segment_with(update.label)
        if segment_id is not None:
            mark_algorithm(self.node, segment_id, kind, self.algorithm)
            set_status(self.node, segment_id, "in progress")
        return segment_id

    def apply_all(self, values: Sequence[int], result: LabelMap, *, kind: Algorithm) -> None:
        """Bring many labels of an engine's label map (K, J, I) into the segments, as one step for Slicer's own undo."""
        from scipy import ndimage

        boxes = ndimage.find_objects(result, max(values, default=0))
        self._save_state()
        saves, self.save_state = self.save_state, None
        try:
            for value in values:
                box = boxes[value - 1]
                extent = self._known.reach(value, extent_of(box) if box is not None else None)
                if extent is not None:
                    mask = np.asarray(result[slices_of(extent)] == value)
                    self.apply(MaskUpdate(value, mask.view(np.uint8), extent), result, kind=kind)
        finally:
            self.save_state = saves
            self._written.clear()

    def knows(self, value: int) -> bool:
        """Tell whether the engine has said, or been told, anything of a label."""
        return self._known.reach(value, None) is not None

    def taken_back(self) -> bool:
        """Tell whether somebody else (the Segment Editor's undo) has taken the last step back."""
        ids = self.labels
        written = [one for one in self._written if one.segment_id in ids]
        grid = self.grid
        return bool(written) and all(np.array_equal(self._mask(one.segment_id, one.extent, grid), one.before)
                                     and not np.array_equal(one.before, one.after) for one in written)  # fmt: skip

    @property
    def overwrites(self) -> bool:
        """Tell whether the Segment Editor's settings let a segment take voxels from others."""
        editor = self._editor()
        return editor is not None and editor.GetOverwriteMode() != editor.OverwriteNone

    def complete(self, segment_id: str) -> None:
        """Mark a segment as completed, if anything was done with it."""
        if status_of(self.node, segment_id) == "in progress":
            set_status(self.node, segment_id, "completed")

    def _editor(self) -> Any | None:
        scene = self.node.GetScene()
        return editor_of(scene) if scene is not None else None

    def _difference(self, value: int, extent: Extent, wanted: Mask) -> tuple[Mask, Mask]:
        """Return what the engine adds to and removes from a label against what it said before."""
        known = self._known.get(value, extent)
        self._known.put(value, extent, wanted)
        return wanted & ~known, known & ~wanted

    def _editable(self, extent: Extent) -> Mask | np.bool_:
        """Return where the Segment Editor's mask allows changes, as segments are before any of them changes."""
        editor = self._editor()
        area = editable_area(editor, self.node, extent, self.grid, self.volume) if editor is not None else None
        return np.True_ if area is None else area

    def _change(self, value: int, extent: Extent, added: Mask, removed: Mask, *, is_new: bool) -> None:
        """Change a segment where the engine has changed its mind and the Segment Editor allows it."""
        segment_id, editor, grid = self.segment_with(value), self._editor(), self.grid
        if segment_id is None and is_new and added.any() and value in {label.value for label in self.table}:
            segment_id = ensure_segment(self.node, self.table.by_value(value))
        if segment_id is None:
            return
        if editor is not None and not is_new and not may_be_overwritten(editor, self.node, segment_id):
            removed = np.zeros_like(removed)
        before = self._mask(segment_id, extent, grid)
        after = (before | added) & ~removed
        losers = self._losers(editor, segment_id, extent, after & ~before)
        write(self.node, segment_id, MaskUpdate(value, after.view(np.uint8), extent), grid, losers)
        self._written.append(_Written(segment_id, extent, before, after))
        if segment_id in self._counts:
            self._counts[segment_id] += int(np.count_nonzero(after)) - int(np.count_nonzero(before))
        for loser in losers:
            self._counts.pop(loser, None)

    def _losers(self, editor: Any | None, segment_id: str, extent: Extent, added: Mask) -> list[str]:
        """Return the segments that lose voxels to this one under the Segment Editor's overwrite mode."""
        if editor is None or editor.GetOverwriteMode() == editor.OverwriteNone or not added.any():
            return []
        others = [one for one in self.node.GetSegmentation().GetSegmentIDs() if one != segment_id]
        allowed = [one for one in others if may_be_overwritten(editor, self.node, one)]
        return [one for one in allowed if (self._mask(one, extent, self.grid) & added).any()]

    def _mask(self, segment_id: str, extent: Extent, grid: Grid) -> Mask:
        lattice = lattice_in_node(self.node, grid)
        layer = Layer.of(self.node, segment_id, lattice)
        return layer.mask(extent_in_layer(self.node, layer, lattice, extent))

    def _save_state(self) -> None:
        """Save the state for Slicer's own undo, where that is cheap."""
        if self.save_state is None:
            return
        segmentation, images = self.node.GetSegmentation(), {}
        for segment_id in segmentation.GetSegmentIDs():
            image = self.node.GetBinaryLabelmapInternalRepresentation(segment_id)
            if image is not None:
                images[id(image)] = image.GetNumberOfPoints()
        if sum(images.values()) <= MOST_VOXELS_TO_SAVE:
            self.save_state()

    def _check_lattice(self) -> None:
        """Refuse a segmentation whose voxels would have to be resampled."""
        grid = self.grid
        lattice = lattice_in_node(self.node, grid)
        k, j, i = grid.shape
        whole = (0, i - 1, 0, j - 1, 0, k - 1)
        for segment_id in self.node.GetSegmentation().GetSegmentIDs():
            extent_in_layer(self.node, Layer.of(self.node, segment_id, lattice), lattice, whole)
