"""What it costs to bring one click's result into a segmentation node: a crop, against Slicer's whole-volume helper.

Run as `python Benchmarks/node_write.py`; prints one flat JSON object of named figures.
"""

from __future__ import annotations

import json
import statistics
import types
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import slicer

from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.scene import headless_scene
from SAMSpineLib.mrml.segments import create_segmentation, ensure_segment, write, write_labelmap
from SAMSpineLib.mrml.volumes import node_from_volume
from SAMSpineLib.volume import Extent, Volume, slices_of

SHAPE = (400, 512, 512)
CROP = (60, 100, 100)
REPEATS = 40


def measure() -> dict[str, float]:
    """Time writes of a 60x100x100 crop into a 400x512x512 grid with 24 segments, in milliseconds.

    A session of clicks is replayed: the mask grows and shrinks from one write to the next, as with positive and
    negative clicks. `first` is the very first write after an automatic result, when the segment leaves the layer that
    it shares with the others; `new_segment` starts from nothing.
    """
    scene = _scene()
    volume = Volume.from_array(np.zeros(SHAPE, np.int16), np.diag([0.7, 0.7, 0.8, 1.0]))
    volume_node = node_from_volume(scene, volume)
    node = create_segmentation(scene, volume_node, "benchmark")
    labels = [label for label in spine_labels() if label.group in ("cervical", "thoracic", "lumbar")]
    labelmap, extents = _spine(labels)
    write_labelmap(node, labels, labelmap, volume.grid)
    label, extent = labels[21], extents[21]  # L3, under which L4 and over which L2 lie
    segment_id = ensure_segment(node, label)
    updates = [MaskUpdate(label.value, _vertebra(radius), extent) for radius in (0.95, 0.8, 0.9, 0.7, 1.0, 0.85)]

    first = _milliseconds(lambda: write(node, segment_id, updates[0], volume.grid))
    times = [_milliseconds(lambda u=u: write(node, segment_id, u, volume.grid)) for u in (updates * REPEATS)[1:REPEATS]]
    fresh = ensure_segment(node, spine_labels().by_name("sacrum"))
    new = _milliseconds(lambda: write(node, fresh, updates[0], volume.grid))
    slow = _helper_times(node, segment_id, volume_node, updates)
    crop_ms, helper_ms = statistics.median(times), statistics.median(slow)
    return {
        "node_write_crop_ms": crop_ms,
        "node_write_crop_worst_ms": max(times),
        "node_write_first_ms": first,
        "node_write_new_segment_ms": new,
        "node_write_slicer_helper_ms": helper_ms,
        "node_write_speedup": helper_ms / crop_ms,
    }


def _scene() -> Any:
    """Return a scene with just enough of an application around it for `slicer.util` to work."""
    scene = headless_scene()
    slicer.mrmlScene = scene
    volumes, segmentations = slicer.vtkSlicerVolumesLogic(), scene.samspine_logics[1]
    volumes.SetMRMLScene(scene)
    slicer.modules = types.SimpleNamespace(
        segmentations=types.SimpleNamespace(logic=lambda: segmentations),
        volumes=types.SimpleNamespace(logic=lambda: volumes),
    )
    return scene


def _vertebra(radius: float) -> np.ndarray[Any, Any]:
    """Return a solid ellipsoid with some relief, uint8 of the shape of the crop."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in CROP), indexing="ij", sparse=True)
    relief = 1 + 0.08 * np.sin(9 * i) * np.cos(7 * j)
    return (k**2 + j**2 + i**2 < (radius * relief) ** 2).astype(np.uint8)


def _spine(labels: list[Label]) -> tuple[np.ndarray[Any, Any], list[Extent]]:
    """Place one vertebra per label along a gentle curve; neighbours share borders."""
    result, extents = np.zeros(SHAPE, np.uint8), []
    flat = _vertebra(0.9)[::4]
    for n, label in enumerate(labels):
        j, i = 200 + int(40 * np.sin(n / 4)), 206
        k = SHAPE[0] - 15 - 16 * (n + 1)
        result[k : k + flat.shape[0], j : j + CROP[1], i : i + CROP[2]][flat > 0] = label.value
        k = min(max(k - 22, 0), SHAPE[0] - CROP[0])
        extents.append((i, i + CROP[2] - 1, j, j + CROP[1] - 1, k, k + CROP[0] - 1))
    return result, extents


def _helper_times(node: Any, segment_id: str, volume_node: Any, updates: list[MaskUpdate]) -> list[float]:
    """Time Slicer's helper with the same masks; filling the whole-volume array is not counted."""
    whole = np.zeros(SHAPE, np.uint8)
    times = []
    for update in updates:
        whole[slices_of(update.extent)] = update.mask
        times.append(
            _milliseconds(
                lambda: slicer.util.updateSegmentBinaryLabelmapFromArray(whole, node, segment_id, volume_node)
            )
        )
    return times


def _milliseconds(action: Callable[[], object]) -> float:
    start = perf_counter()
    action()
    return 1000 * (perf_counter() - start)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
