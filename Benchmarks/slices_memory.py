"""How much memory it takes to go through 500 slices with a click on each, in a process of its own; see `memory`.

`python -m Benchmarks.slices_memory` is that process: it prints what it used. The bound that is stated is that of the
settings, of the cache and of the undo history, with the label map, whose pages are taken when a slice is first written
to, and a quarter of a mebibyte for each prompted slice: its mask, the voxels that it marks, and what lies between them.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from Benchmarks.memory import peak_mib

SLICES, SIZE = 500, 256
MIB = 2**20
CACHE_BYTES, UNDO_BYTES, SLICE_BYTES = 64 * MIB, 32 * MIB, MIB // 4


def measure() -> dict[str, float]:
    """Return what a process of its own has measured, in MiB."""
    command = [sys.executable, "-m", "Benchmarks.slices_memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def go_through() -> dict[str, float]:
    """Click on each of 500 slices; return what cache, undo history and masks take, and how the peak grew."""
    from SAMSpineLib.engine.session import Session
    from SAMSpineLib.engine.settings import EngineSettings
    from SAMSpineLib.labels import spine_labels
    from SAMSpineLib.models.sam.config import OWN_CONFIGS
    from SAMSpineLib.models.sam.networks import build_sam2
    from SAMSpineLib.models.sam.promptable import SamPromptable
    from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
    from SAMSpineLib.prompts import Point
    from SAMSpineLib.volume import Volume

    model = SamPromptable(Sam2Backbone(build_sam2(OWN_CONFIGS["sam-spine-tiny"])), name="small")
    session = Session(model, EngineSettings(cache_bytes=CACHE_BYTES, undo_bytes=UNDO_BYTES))
    noise = np.random.default_rng(0).integers(-100, 600, (SIZE, SIZE)).astype(np.int16)
    volume = np.stack([np.roll(noise, k) for k in range(SLICES)])
    session.set_volume(Volume.from_array(volume, np.diag([-1.0, -1.0, 1.0, 1.0])))
    session.select(spine_labels().by_name("L3"))
    session.add(Point((-120.0, -130.0, 0.0)))
    before, most = peak_mib(), 0
    for index in range(1, SLICES):
        session.add(Point((-120.0, -130.0, float(index))))
        most = max(most, session.cache.nbytes)
    masks = sum(one.nbytes for one in session._state.slices)
    return {
        "slices_500_encoded": float(session.cache.encoded_count),
        "slices_500_cache_mib": most / MIB,
        "slices_500_cache_bound_mib": CACHE_BYTES / MIB,
        "slices_500_undo_mib": session._history.nbytes / MIB,
        "slices_500_undo_bound_mib": UNDO_BYTES / MIB,
        "slices_500_masks_mib": masks / MIB,
        "slices_500_map_mib": session.result.nbytes / MIB,
        "slices_500_peak_growth_mib": peak_mib() - before,
        "slices_500_bound_mib": (CACHE_BYTES + UNDO_BYTES + SLICES * SLICE_BYTES + session.result.nbytes) / MIB,
    }


if __name__ == "__main__":
    print(json.dumps(go_through()))
