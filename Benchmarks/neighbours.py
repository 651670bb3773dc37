"""What clicks on neighbouring slices are worth: slices gone through one after the other, and each by itself.

`python -m Benchmarks.neighbours IMAGE TRUTH [--ids verse] [--apart 3]` prints one JSON object: for each direction the
mean Dice of slices after 1, 2 and 3 clicks, where what was said on other slices is known, and where it is not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.session import Session
from SAMSpineLib.evaluation.cuts import Cut, cuts_of
from SAMSpineLib.evaluation.joining import labels_in
from SAMSpineLib.evaluation.metrics import dice
from SAMSpineLib.evaluation.robot import next_click
from SAMSpineLib.evaluation.slice_curves import SMALLEST
from SAMSpineLib.io import read_volume
from SAMSpineLib.io.numbering import NUMBERINGS, read_named_labels
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.models.build import build_promptable
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.volume import slices_of

CLICKS = 3
Labels = npt.NDArray[np.integer[Any]]


def main(arguments: Sequence[str]) -> int:
    """Click through an image, twice; print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--ids", choices=NUMBERINGS, default=None)
    parser.add_argument("--modality", default=None)
    parser.add_argument("--model", default="sam-spine-tiny")
    parser.add_argument("--apart", type=float, default=3.0, help="mm from one slice to the next that is clicked")
    asked = parser.parse_args(arguments)
    volume = read_volume(asked.image)
    volume = replace(volume, modality=asked.modality or volume.modality)
    known = read_named_labels(asked.truth, spine_labels(), ids=asked.ids)
    truth = sample_labels(known.volume.array, known.volume.grid, volume.grid)
    session = Session(build_promptable(asked.model))
    session.set_volume(volume)
    found: dict[str, Any] = {}
    for cut in cuts_of(volume.grid, "all"):
        step = max(1, round(asked.apart / volume.grid.spacing[2 - cut.axis]))
        through: list[list[float]] = []
        by_itself: list[list[float]] = []
        for label in labels_in(known.volume, known.table):
            places = [k for k in range(0, cut.count, step) if cut.areas(truth == label.value)[k] >= SMALLEST]
            through += _clicked(session, label, truth, cut, places, alone=False)
            by_itself += _clicked(session, label, truth, cut, places, alone=True)
        means = [np.mean(rows, axis=0).round(3).tolist() for rows in (through, by_itself)]
        found[cut.name] = {"slices": len(by_itself), "gone_through": means[0], "by_itself": means[1]}
    print(json.dumps(found))
    return 0


def _clicked(
    session: Session, label: Label, truth: Labels, cut: Cut, places: Sequence[int], *, alone: bool
) -> list[list[float]]:
    """Return the Dice of slices after each click; `alone` clears the label before each of them."""
    session.select(label)
    session.clear()
    rng, rows = np.random.default_rng(0), []
    for index in places:
        if alone:
            session.clear()
        extent = cut.extent(index)
        wanted = np.asarray(truth[slices_of(extent)] == label.value)
        drawn, row = np.zeros(wanted.shape, bool), []
        for _ in range(CLICKS):
            click = next_click(wanted, drawn, cut.grid.crop(extent), rng=rng)
            if click is not None:
                session.add(replace(click, normal=cut.normal))
                drawn = session.result[slices_of(extent)] == label.value
            row.append(dice(wanted, drawn))
        rows.append(row)
    session.clear()
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
