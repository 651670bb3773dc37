"""What MaskSAM's tracks gain: numbered as a chain or each by itself, with doubles and without, on synthetic spines.

`python -m Benchmarks.masksam_tracks FOLDER --first 2000 --count 12` makes the spines in the folder, or takes those that
lie there, and prints one JSON object: for each way the means of Dice by name, Dice whatever the name, and of the share
of vertebrae identified.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np

from Benchmarks.table import LEVELS
from SAMSpineLib.engine.autonomous.track_names import ChainNames
from SAMSpineLib.evaluation.identification import score_labels
from SAMSpineLib.evaluation.metrics import mean_of
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.build import build_segmenter
from SAMSpineLib.models.masksam import tracks
from SAMSpineLib.training.cases import load_phantom, phantom_files

# Only what has no place at all is left out then.
WITH_DOUBLES = 1e-6
WAYS = {
    "chain": (True, tracks.DOUBLE),
    "chain, with doubles": (True, WITH_DOUBLES),
    "own names": (False, tracks.DOUBLE),
    "own names, with doubles": (False, WITH_DOUBLES),
}


def main(words: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the spines lie, or go")
    parser.add_argument(
        "--first", type=int, default=2000, help="seed of the first one; training has those from 1000 on"
    )
    parser.add_argument("--count", type=int, default=12)
    given = parser.parse_args(words)
    network = build_segmenter("masksam")
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for path in phantom_files(given.folder, given.count, first_seed=given.first):
        case = load_phantom(path)
        truth = np.where(case.labels < LEVELS, case.labels, 0).astype(np.uint16)
        for way, (chain, double) in WAYS.items():
            with mock.patch.object(tracks, "DOUBLE", double):
                labels = network.segment(case.image, names=ChainNames() if chain else None).labels
            score = score_labels(labels, truth, case.image.grid, spine_labels())
            by_name = mean_of([one.dice for one in score.levels.values()])
            found[way].append((by_name, score.dice_any_name, score.identification_rate))
    print(json.dumps({way: np.mean(rows, axis=0).round(3).tolist() for way, rows in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
