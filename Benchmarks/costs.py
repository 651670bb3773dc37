"""What MaskSAM and MA-SAM cost: processor time and peak memory against queries, slices and atlases, and a plot of it.

`python -m Benchmarks.costs PLOT.svg` measures each point in a process of its own, with weights at random (they decide
nothing of the cost), prints one JSON object and draws it. Time is the processor's, so that what else the machine does
counts little.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from Benchmarks.memory import peak_mib

QUERIES, SLICES, ATLASES = (4, 28, 56, 112), (12, 24, 48, 96), (1, 4, 8, 16)
USUAL_SLICES, SIDE = 12, 256
KINDS = {"queries": QUERIES, "slices": SLICES, "atlases": ATLASES}


def main(words: Sequence[str]) -> int:
    """Measure one point where a kind and a number are given; else all, and draw them."""
    if len(words) == 3:
        print(json.dumps(point(words[0], words[1], int(words[2]))))
        return 0
    found: dict[str, list[Any]] = {}
    for method, kind in (("masksam", "queries"), ("masksam", "slices"), ("ma-sam", "slices"), ("ma-sam", "atlases")):
        for number in KINDS[kind]:
            command = [sys.executable, "-m", "Benchmarks.costs", method, kind, str(number)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.setdefault(f"{method}, {kind}", []).append(json.loads(done.stdout))
    print(json.dumps(found))
    draw(found, Path(words[0]))
    return 0


def point(method: str, kind: str, number: int) -> dict[str, float]:
    """Return number, processor seconds for each slice that was looked at, and how the peak of memory grew (MiB)."""
    from SAMSpineLib.models.ma_sam.pseudo_masks import AtlasMaps
    from SAMSpineLib.volume import Volume

    slices = number if kind == "slices" else USUAL_SLICES
    network = _masksam(number if kind == "queries" else 28) if method == "masksam" else _ma_sam()
    noise = np.random.default_rng(0).integers(-100, 600, (SIDE, SIDE, slices)).astype(np.int16)
    volume = Volume.from_array(noise, np.diag([network.card.config.apart, 1.0, 1.0, 1.0]), modality="CT")
    labels = np.zeros(volume.shape, np.uint8)
    labels[96:160, 96:160] = 22
    said = [AtlasMaps([labels] * (number if kind == "atlases" else 8), volume.grid)] if method == "ma-sam" else []
    before, started = peak_mib(), process_time()
    network.segment(volume, *said)
    return {"number": number, "seconds": (process_time() - started) / slices, "mib": peak_mib() - before}


def _masksam(queries: int) -> Any:
    from SAMSpineLib.models.build import build_backbone
    from SAMSpineLib.models.masksam.config import CONFIGS
    from SAMSpineLib.models.masksam.learnt import MaskSamCard
    from SAMSpineLib.models.masksam.network import MaskSam
    from SAMSpineLib.models.masksam.prompter import MaskSamPrompter

    config = replace(CONFIGS["masksam-small"], queries=queries)
    sam = build_backbone("sam-spine-tiny", image_size=config.image_size)
    card = MaskSamCard(_structures(config.classes), "sam-spine-tiny", "", config)
    return MaskSamPrompter(MaskSam(config, sam.backbone.network), card, sam, "at random")


def _ma_sam() -> Any:
    from SAMSpineLib.models.build import build_backbone
    from SAMSpineLib.models.ma_sam.config import CONFIGS
    from SAMSpineLib.models.ma_sam.learnt import MaSamCard
    from SAMSpineLib.models.ma_sam.network import MaSam
    from SAMSpineLib.models.ma_sam.segmenter import MaSamSegmenter

    config = CONFIGS["ma-sam-small"]
    sam = build_backbone("sam-spine-tiny", image_size=config.image_size)
    card = MaSamCard(_structures(config.classes - 1), "sam-spine-tiny", "", config)
    return MaSamSegmenter(MaSam(config, sam.backbone.network), card, sam, "at random")


def _structures(count: int) -> tuple[Any, ...]:
    from SAMSpineLib.models.taught_file import TaughtStructure

    return tuple(TaughtStructure(value, f"part {value}") for value in range(1, count + 1))


def draw(found: dict[str, list[Any]], path: Path) -> None:
    """Draw time and memory of each series, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for name, points in found.items():
        numbers = [one["number"] for one in points]
        axes[0].plot(numbers, [one["seconds"] for one in points], "o-", label=name)
        axes[1].plot(numbers, [one["mib"] for one in points], "o-", label=name)
    for axis, title in zip(axes, ("processor seconds a slice", "growth of the peak of memory (MiB)"), strict=True):
        axis.set(title=title, xlabel="queries, slices or atlases", ylim=(0, None), xscale="log")
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
