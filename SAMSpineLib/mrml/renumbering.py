"""Another name for one vertebra, and with it for the whole chain; voxels stay where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from SAMSpineLib.engine.autonomous.levels import renumber
from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import Label, LabelTable, spine_labels
from SAMSpineLib.mrml.layer import Layer
from SAMSpineLib.mrml.segment_labels import describe, labels_of, segment_of

# Segmental levels and the sacrum: what `levels.renumber` counts.
_GROUPS = ("cervical", "thoracic", "lumbar", "sacral", "thoracic variant", "lumbar variant")


def chain_of(node: Any, table: LabelTable | None = None) -> list[tuple[str, Label]]:
    """Return the vertebrae and the sacrum of a segmentation as (segment id, label), head to foot."""
    table = table or spine_labels()
    order = {label.value: place for place, label in enumerate(table)}
    found = [(one, label) for one, label in labels_of(node, table).items() if label.group in _GROUPS]
    return sorted(found, key=lambda pair: order[pair[1].value])


def renumbered_from(node: Any, segment_id: str, name: str, table: LabelTable | None = None) -> dict[str, Label]:
    """Return the new labels, by segment id, if one vertebra gets another name and the chain follows it.

    See `engine.autonomous.levels.renumber`; nothing is changed before `relabel`.

    Raises:
        LabelError: if the name is no level, the segment is no vertebra, or a level would be left without a name.
    """
    table = table or spine_labels()
    target, chain = table.by_name(name), chain_of(node, table)
    ids = [one for one, _ in chain]
    if segment_id not in ids:
        msg = f"'{segment_of(node, segment_id).GetName()}' is no vertebra of the chain: select one that is"
        raise LabelError(msg)
    values = renumber([label.value for _, label in chain], ids.index(segment_id), target.value)
    return {
        one: table.by_value(value)
        for (one, label), value in zip(chain, values, strict=True)
        if value not in (0, label.value)
    }


def relabel(node: Any, labels: Mapping[str, Label]) -> None:
    """Give segments other labels, by segment id: names, colours, terminology and values change together.

    Raises:
        LabelError: if there is no such segment.
    """
    for one, label in labels.items():
        describe(node, one, label)
    _set_values(node, {one: label.value for one, label in labels.items()})


def _set_values(node: Any, wanted: Mapping[str, int]) -> None:
    """Give segments other values in the layers they are in, where no other segment of the layer has them."""
    segmentation = node.GetSegmentation()
    had_surfaces = segmentation.ContainsRepresentation("Closed surface")
    for number in range(segmentation.GetNumberOfLayers()):
        ids = list(segmentation.GetSegmentIDsForLayer(number))
        before = {one: segmentation.GetSegment(one).GetLabelValue() for one in ids}
        after = {one: wanted.get(one, value) for one, value in before.items()}
        if before == after or len(set(after.values())) < len(after):
            continue
        layer = Layer.of(node, ids[0], np.eye(4))
        if layer.voxels.size and max(after.values()) <= np.iinfo(layer.voxels.dtype).max:
            lut = np.arange(int(layer.voxels.max()) + 1)
            for one, value in before.items():
                if value < len(lut):
                    lut[value] = after[one]
            layer.voxels[...] = lut[layer.voxels]
        elif layer.voxels.size:
            continue
        for one, value in after.items():
            segmentation.GetSegment(one).SetLabelValue(value)
        layer.publish()
    if had_surfaces:
        node.CreateClosedSurfaceRepresentation()
