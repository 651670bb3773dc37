"""Does each stage of autonomous mode earn its place? An ablation on labelled scans, with time.

`python -m Benchmarks.autonomous IMAGE TRUTH [--ids verse]` for one scan, and with `--phantoms 20` instead for synthetic
spines with scoliosis, fractures, metal, cropped fields, L6 and T13. `--localiser WEIGHTS` measures other weights
than the bundled ones: those of a run that never saw the scan, for example. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from SAMSpineLib.atlas.library import atlases_of
from SAMSpineLib.engine.autonomous.prompters import Prompts, atlas_prompts, centre_prompts
from SAMSpineLib.engine.autonomous.survey import Survey, survey
from SAMSpineLib.engine.session import Session
from SAMSpineLib.evaluation.identification import IdentificationReport, score_labels
from SAMSpineLib.io import read_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.build import build_localiser, build_promptable
from SAMSpineLib.prompts import MaskPrompt
from SAMSpineLib.resampling import sample, sample_labels
from SAMSpineLib.training.cases import to_own_values
from SAMSpineLib.training.synthetic.phantom import make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings
from SAMSpineLib.volume import Grid, Volume

FIRST_SEED = 700_000
LABELS = 29
Coarse = Mapping[int, tuple[np.ndarray, Grid]]


def main(words: list[str]) -> int:
    """Measure what the arguments name and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("truth", nargs="?", type=Path)
    parser.add_argument("--ids", default="verse")
    parser.add_argument("--phantoms", type=int, default=0)
    parser.add_argument("--localiser", type=Path)
    given = parser.parse_args(words)
    localiser, session = build_localiser(weights=given.localiser), Session(build_promptable())
    if given.phantoms:
        print(json.dumps({"phantoms": list(phantoms(localiser, session, given.phantoms))}, indent=1))
        return 0
    if given.image is None or given.truth is None:
        parser.error("give IMAGE and TRUTH, or --phantoms N")
    volume, mask = read_volume(given.image), read_volume(given.truth)
    truth = to_own_values(sample_labels(mask.array, mask.grid, volume.grid), given.ids, spine_labels())
    print(json.dumps(ablation(localiser, session, volume, np.where(truth < LABELS, truth, 0)), indent=1))
    return 0


def ablation(localiser: Any, session: Session, volume: Volume, truth: np.ndarray) -> dict[str, Any]:
    """Score the coarse masks, the atlases alone, and the network with every kind of prompt."""
    started = perf_counter()
    found = survey(volume, localiser)
    seconds = {"localise": perf_counter() - started}
    started = perf_counter()
    with_atlas, _ = atlas_prompts(found, atlases_of())
    seconds["register"] = perf_counter() - started
    coarse = centre_prompts(found)
    variants: dict[str, tuple[str, Prompts]] = {
        "coarse masks alone": ("alone", coarse),
        "atlases alone": ("alone", with_atlas),
        "network, click": ("network", {value: given[1:] for value, given in coarse.items()}),
        "network, coarse mask": ("network", {value: given[:1] for value, given in coarse.items()}),
        "network, coarse mask and click": ("network", coarse),
        "network, atlas mask and click": ("network", with_atlas),
    }
    rows = {}
    for name, (how, prompts) in variants.items():
        started = perf_counter()
        labels = painted(prompts, volume.grid) if how == "alone" else segmented(session, volume, prompts)
        score = score_labels(labels, truth, volume.grid, spine_labels())
        rows[name] = {**_figures(score), "seconds": round(perf_counter() - started, 1)}
    levels = {
        spine_labels().by_value(v).name: c
        for v, c in zip(found.levels.values, found.levels.confidence, strict=True)
        if v
    }
    return {
        "levels": {name: round(sure, 2) for name, sure in levels.items()},
        "message": found.levels.message,
        "stages": rows,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def painted(prompts: Prompts, grid: Grid) -> np.ndarray:
    """Return the mask prompts as a label map (K, J, I) on a grid: of two that overlap the likelier one."""
    labels, best = np.zeros(grid.shape, np.uint16), np.full(grid.shape, 0.5, np.float32)
    for value, given in prompts.items():
        mask = next(one for one in given if isinstance(one, MaskPrompt))
        share = sample(np.asarray(mask.mask, np.float32), mask.grid, grid, fill=0.0)
        labels[share > best] = value
        np.maximum(best, share, out=best)
    return labels


def segmented(session: Session, volume: Volume, prompts: Prompts) -> np.ndarray:
    """Return what the network makes of prompts (K, J, I)."""
    session.set_volume(volume)
    session.add_all({spine_labels().by_value(value): given for value, given in prompts.items()})
    return session.result.copy()


def phantoms(localiser: Any, session: Session, count: int) -> Iterator[dict[str, Any]]:
    """Yield identification and Dice of the method `centres` on synthetic spines that were never trained on."""
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        phantom = make_phantom(seed, PhantomSettings(spacing=(1.2, 1.2, 1.5), pathology=0.9, metal=0.2))
        started = perf_counter()
        found: Survey = survey(phantom.image, localiser)
        labels = segmented(session, phantom.image, centre_prompts(found))
        seconds = perf_counter() - started
        truth = np.where(phantom.labels.array < LABELS, phantom.labels.array, 0)
        score = score_labels(labels, truth, phantom.image.grid, spine_labels())
        print(f"{seed}: {score.identification_rate:.2f}, {score.dice_any_name:.2f}", file=sys.stderr)
        yield {
            "seed": seed,
            **_figures(score),
            "levels": len(score.levels),
            "ambiguous": found.levels.ambiguous,
            "true_shift_offered": _offered(found, score),
            "pathologies": list(phantom.pathologies),
            "seconds": round(seconds, 1),
        }


def _offered(found: Survey, score: IdentificationReport) -> bool:
    """Tell whether the numbering is right, or one of the alternatives would be."""
    if score.shift == 0:
        return True
    table, top = spine_labels(), next(value for value in found.levels.values if value)
    right = table.next_level(table.by_value(top), score.shift)
    tops = {next((value for value in chain if value), 0) for chain in found.levels.alternatives}
    return right is not None and right.value in tops


def _figures(score: IdentificationReport) -> dict[str, Any]:
    means = score.to_json()["mean"]
    rounded = {name: None if value is None else round(value, 3) for name, value in means.items()}
    return {**rounded, "shift": score.shift, "false_positives": list(score.false_positives)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
