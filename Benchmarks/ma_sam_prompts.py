"""Are atlases a better prompt for MA-SAM than boxes, points or nothing? The same network, told different things.

`python -m Benchmarks.ma_sam_prompts IMAGE TRUTH [--weights FILE]` prints one JSON object: the mean Dice of the levels
that the localiser has found, by what the network is told of them; `said` is the Dice of that itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.atlas.library import atlases_of
from SAMSpineLib.engine.autonomous.prompters import atlas_prompts, centre_prompts, pseudo_masks
from SAMSpineLib.engine.autonomous.survey import Found, survey
from SAMSpineLib.evaluation.metrics import dice
from SAMSpineLib.io import read_volume
from SAMSpineLib.models.build import build_localiser, build_segmenter
from SAMSpineLib.models.ma_sam.pseudo_masks import LevelProbabilities
from SAMSpineLib.resampling import sample, sample_labels
from SAMSpineLib.volume import Volume, slices_of

POINT_MM = 5.0
Share = npt.NDArray[np.float32]


def main(words: Sequence[str]) -> int:
    """Measure each kind of prompt and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--weights", type=Path, default=None)
    given = parser.parse_args(words)
    volume, mask = read_volume(given.image), read_volume(given.truth)
    truth = sample_labels(mask.array, mask.grid, volume.grid)
    network, found = build_segmenter("ma-sam", weights=given.weights), survey(volume, build_localiser())
    prompts, _ = atlas_prompts(found, atlases_of())
    told = {
        "atlases": pseudo_masks(prompts),
        "coarse masks": pseudo_masks(centre_prompts(found)),
        "boxes": LevelProbabilities({one.value: (_box(one), one.grid) for one in found.found}),
        "points": LevelProbabilities({one.value: (_point(one), one.grid) for one in found.found}),
        "nothing": LevelProbabilities(_nothing(found.found, volume)),
    }
    values = [one.value for one in found.found if (truth == one.value).any()]
    figures: dict[str, Any] = {}
    for name, said in told.items():
        labels = network.segment(volume, said).labels
        scores = [dice(truth == value, labels == value) for value in values]
        itself = [dice(truth == value, _on(said, value, volume)) for value in values]
        figures[name] = {"dice": round(float(np.mean(scores)), 3), "said": round(float(np.mean(itself)), 3)}
    print(json.dumps({"levels": len(values), **figures}))
    return 0


def _on(said: LevelProbabilities, value: int, volume: Volume) -> npt.NDArray[np.bool_]:
    """Return where (K, J, I) a level is as it was said."""
    return np.asarray(sample(*said.levels[value], volume.grid, fill=0.0) > 0.5)


def _box(found: Found) -> Share:
    """Return the box around a coarse mask."""
    share = np.zeros(found.mask.shape, np.float32)
    spans = [np.flatnonzero(found.mask.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    share[slices_of((spans[0][0], spans[0][-1], spans[1][0], spans[1][-1], spans[2][0], spans[2][-1]))] = 1
    return share


def _point(found: Found) -> Share:
    """Return a small ball around the centre of a level."""
    places = found.grid.to_ras(np.argwhere(np.ones(found.mask.shape, bool))[:, ::-1])
    near = np.linalg.norm(places - np.asarray(found.instance.centre), axis=1) < POINT_MM
    return np.asarray(near.reshape(found.mask.shape), np.float32)


def _nothing(found: Sequence[Found], volume: Volume) -> Mapping[int, tuple[Share, Any]]:
    """Return that every level may be anywhere, all of them as likely and as likely as none."""
    share = np.full(volume.shape, 1 / (len(found) + 1), np.float32)
    return {one.value: (share, volume.grid) for one in found}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
