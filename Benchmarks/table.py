"""All methods of autonomous mode on all labelled scans: one table, written into README.

`python -m Benchmarks.table --data ../shared/data` (`make table`) runs each method on each scan in a process of its own
and writes the table between its two marks in README. What was taught, and the U-Net beside it, come from
`Benchmarks.teaching`, which takes minutes for each data set: `--taught FILE` reads its lines instead of running it.
A method whose network is not on this machine has a row that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.whole_map import LabelMap
from SAMSpineLib.volume import Volume

README = Path(__file__).resolve().parent.parent / "README.md"
MARKS = "<!-- table of all methods -->", "<!-- end of the table -->"
METHODS = {
    "centres": "coarse masks and clicks, CT-SAM3D",
    "atlas": "registered atlases and clicks, CT-SAM3D",
    "ma-sam": "registered atlases, MA-SAM",
    "masksam": "MaskSAM, alone",
}
# Of each scan: its files below the data folder, and the numbering of its labels.
SCANS = {
    "sub-verse014": ("ct/sub-verse014/sub-verse014_ct.nii.gz", "ct/sub-verse014/sub-verse014_seg-vert_msk.nii.gz"),
    "LIDC-IDRI-0001": ("ct/LIDC-IDRI-0001/dicom", "ct/LIDC-IDRI-0001/vertebrae_verse-ids.nii.gz"),
    "ts_example": ("ct/ts_example/example_ct.nii.gz", "ct/ts_example/vertebrae_verse-ids.nii.gz"),
}
TAUGHT = {
    "ct": ("vertebra in sagittal CT slices, 2 scans teach", ("--images", "2", "--test", "1")),
    "vb3": ("vertebra in lumbar MR, 10 subjects teach", ("--images", "10", "--test", "7")),
    "vb3-levels": ("L1 to L5 in lumbar MR, 10 subjects teach", ("--images", "10", "--test", "7")),
    "us": ("aponeurosis in ultrasound, 10 images teach", ("--images", "10", "--test", "31")),
}
LEVELS, MIB = 29, 1024
Row = dict[str, Any]


def main(words: Sequence[str]) -> int:
    """Measure everything and write the table, or, given one method and scan, measure that and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the real images")
    parser.add_argument("--taught", type=Path, help="lines that Benchmarks.teaching has printed")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SCAN"), help="measure one cell and print it")
    given = parser.parse_args(words)
    if given.one:
        print(json.dumps(cell(given.data, *given.one)))
        return 0
    cells = {(method, scan): _apart(given.data, method, scan) for method in METHODS for scan in SCANS}
    taught = _lines(given.taught) if given.taught else [_taught(given.data, name) for name in TAUGHT]
    written(README, table(cells, taught))
    return 0


def cell(data: Path, method: str, scan: str) -> Row:
    """Run a method on a scan, and return what came of it, in how many seconds, with how much memory and how large."""
    from SAMSpineLib.atlas.library import atlases_of
    from SAMSpineLib.cli.serve import build_networks
    from SAMSpineLib.engine.autonomous.run import run_autonomous
    from SAMSpineLib.engine.fallback import sturdy_session
    from SAMSpineLib.engine.settings import EngineSettings

    networks = build_networks("ct-sam3d-small", None, None, "cpu", EngineSettings())
    try:
        used = networks_of(networks, method)
    except ModelError as error:
        return {"missing": str(error)}
    session, eyes = sturdy_session(networks, lambda _: None)

    def segmented(volume: Volume) -> LabelMap:
        session.set_volume(volume)
        run_autonomous(session, eyes, method, atlases=atlases_of)  # type: ignore[arg-type]
        return session.result

    found = scores_of(data, scan, segmented)
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    return {**found, "mib": mib, "parameters": sum(used)}


def scores_of(data: Path, scan: str, segmented: Callable[[Volume], LabelMap]) -> Row:
    """Return how good what makes a label map of a volume is on a scan, and how many seconds it took."""
    from SAMSpineLib.evaluation.identification import score_labels
    from SAMSpineLib.evaluation.metrics import mean_of, surface_dice
    from SAMSpineLib.io import read_volume
    from SAMSpineLib.labels import spine_labels
    from SAMSpineLib.resampling import sample_labels

    image, labels = (data / one for one in SCANS[scan])
    volume, mask = read_volume(image), read_volume(labels)
    truth = sample_labels(mask.array, mask.grid, volume.grid).astype(np.uint16)
    truth[truth >= LEVELS] = 0
    started = perf_counter()
    found = segmented(volume)
    seconds = perf_counter() - started
    score = score_labels(found, truth, volume.grid, spine_labels())
    values, spacing = [int(value) for value in np.unique(truth) if value], volume.grid.spacing[::-1].tolist()
    return {
        "dice": mean_of([one.dice for one in score.levels.values()]),
        "dice_any_name": score.dice_any_name,
        "surface": mean_of([surface_dice(truth == value, found == value, spacing) for value in values]),
        "identified": score.identification_rate,
        "seconds": seconds,
    }


def networks_of(networks: Any, method: str) -> list[float]:
    """Load what a method asks, and return how many millions of parameters each of its networks has."""
    if method == "masksam":
        return [_millions(networks.segmenter(method)._network)]
    looks = [_millions(networks.localiser.network)]
    if method == "ma-sam":
        return [*looks, _millions(networks.segmenter(method)._network)]
    return [*looks, _millions(networks.promptable.network)]


def _millions(network: Any) -> float:
    return float(sum(one.numel() for one in network.parameters()) / 1e6)


def _apart(data: Path, method: str, scan: str) -> Row:
    """Measure in a process of its own, of which the peak of memory is known."""
    print(f"{method}, {scan}", file=sys.stderr)
    command = [sys.executable, "-m", "Benchmarks.table", "--data", str(data), "--one", method, scan]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))


def _taught(data: Path, name: str) -> Row:
    print(f"teaching, {name}", file=sys.stderr)
    command = [sys.executable, "-m", "Benchmarks.teaching", name, "--data", str(data), *TAUGHT[name][1]]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))


def _lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def table(cells: dict[tuple[str, str], Row], taught: Iterable[Row]) -> str:
    """Return the table as Markdown, the best of each column in bold."""
    cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0))
    lines = [
        f"Measured on {datetime.now(tz=UTC):%Y-%m-%d} by `make table` on {cores} cores ({platform.machine()}), no GPU.",
        "For each scan: Dice by name / surface Dice at 2 mm / share of the vertebrae identified / seconds / peak MiB.",
        "",
        f"| method | parameters | {' | '.join(SCANS)} |",
        f"|---|---|{'---|' * len(SCANS)}",
    ]
    best = {scan: max(cells[method, scan].get("dice", 0.0) for method in METHODS) for scan in SCANS}
    for method, said in METHODS.items():
        row = [_cell(cells[method, scan], best[scan]) for scan in SCANS]
        size = next(
            (f"{one['parameters']:.1f} M" for scan in SCANS if "parameters" in (one := cells[method, scan])), ""
        )
        lines.append(f"| {said} (`--method {method}`) | {size} | {' | '.join(row)} |")
    lines += [
        "",
        "Taught (Sam2Rad), and a MONAI U-Net trained on the same images for the same time; Dice of slices:",
        "",
    ]
    lines += ["| what | taught | taught, 1 click | U-Net | seconds to teach |", "|---|---|---|---|---|"]
    for one in taught:
        if one.get("unet"):
            mine, theirs = one["taught"]["none"], one["unet"]["none"]
            both = [f"**{a:.2f}**" if a > b else f"{a:.2f}" for a, b in ((mine, theirs), (theirs, mine))]
            said, click = f"{TAUGHT[one['set']][0]} (split {one['split']})", one["taught"]["clicks"][0]
            lines.append(f"| {said} | {both[0]} | {click:.2f} | {both[1]} | {one['seconds']} |")
    return "\n".join(lines)


def _cell(found: Row, best: float) -> str:
    if "missing" in found:
        return "no network"
    dice = f"{found['dice']:.2f}"
    first = f"**{dice}**" if found["dice"] >= best else dice
    rest = f"{found['surface']:.2f} / {found['identified']:.0%} / {found['seconds']:.0f} s / {found['mib']:.0f}"
    return f"{first} / {rest}"


def written(path: Path, text: str) -> None:
    """Put a text between the marks of a file."""
    whole = path.read_text(encoding="utf-8")
    before, _, rest = whole.partition(MARKS[0])
    _, found, after = rest.partition(MARKS[1])
    if not found:
        msg = f"{path} lacks the marks {MARKS[0]} and {MARKS[1]}, between which the table goes"
        raise SystemExit(msg)
    path.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
