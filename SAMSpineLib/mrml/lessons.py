"""What a scene can teach of some segments: in the volume that is worked on, and in others that were labelled before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import Label
from SAMSpineLib.lesson_order import LabelledVolume
from SAMSpineLib.mrml.crops import crops_of, label_map_of
from SAMSpineLib.mrml.segment_labels import algorithm_of, labels_of, status_of
from SAMSpineLib.mrml.segments import segmentations, volume_of
from SAMSpineLib.mrml.volumes import grid_of_node, volume_from_node
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.volume import Volume

NOTHING_LABELLED = "Paint the structure in some slices first: the chosen segments have no voxels"


def lessons_of(
    bench: Workbench, segment_ids: Sequence[str], *, complete: bool = False
) -> tuple[tuple[Label, ...], tuple[LabelledVolume, ...]]:
    """Return what segments are taught as, and the volumes that teach them: the open one, then the scene's others.

    Another volume teaches where a segmentation of it has a segment of the same structure, or of the same name. What was
    found there by itself, and neither corrected since nor marked as completed, does not: no model shall be taught by
    its own mistakes.

    Args:
        bench: the volume that is worked on, with its segmentation.
        segment_ids: of the segments there.
        complete: whether slices there without any of them show that there is none; in another volume those do whose
            segments are all marked as completed.

    Raises:
        LabelError: if none of them has voxels in the open volume.
    """
    wanted = {one: label for one, label in bench.labels.items() if one in segment_ids}
    crops = list(crops_of(bench.node, wanted, bench.grid))
    if not crops:
        raise LabelError(NOTHING_LABELLED)
    labels = tuple(one.label for one in crops)
    here = LabelledVolume(bench.volume, label_map_of(crops, bench.grid), _subject_of(bench.volume), complete)
    return labels, (here, *_elsewhere(bench, labels))


def _elsewhere(bench: Workbench, labels: Sequence[Label]) -> Iterator[LabelledVolume]:
    """Yield the other volumes of the scene that teach, each once, and each as a subject of its own."""
    by_name = {label.name: label for label in labels}
    seen, subjects = [bench.volume_node], [_subject_of(bench.volume)]
    for node in segmentations(bench.node.GetScene()):
        volume_node = volume_of(node)
        ids = _teaching(node, by_name) if volume_node not in (None, *seen) else {}
        if not ids:
            continue
        grid = grid_of_node(volume_node)
        crops = list(crops_of(node, ids, grid))
        if crops:
            seen.append(volume_node)
            volume = volume_from_node(volume_node, own=True)
            subjects.append(_another(_subject_of(volume), subjects))
            complete = all(status_of(node, one) == "completed" for one in ids)
            yield LabelledVolume(volume, label_map_of(crops, grid), subjects[-1], complete)


def _teaching(node: Any, by_name: Mapping[str, Label]) -> dict[str, Label]:
    """Return the segments of a segmentation that somebody has drawn, corrected or completed, as what is taught."""
    return {
        segment_id: by_name[label.name]
        for segment_id, label in labels_of(node).items()
        if label.name in by_name
        and (algorithm_of(node, segment_id) != "AUTOMATIC" or status_of(node, segment_id) == "completed")
    }


def _subject_of(volume: Volume) -> str:
    """Return what a volume of the scene is called as one that teaches."""
    return volume.name or "scene"


def _another(name: str, taken: Sequence[str]) -> str:
    """Return a name, with a number where others have it."""
    return next(one for n in count(1) if (one := name if n == 1 else f"{name} ({n})") not in taken)
