"""How much memory it takes to open a large CT and click once, in a process of its own.

`python -m Benchmarks.memory file` is that process: it prints what it used. The peak that the system keeps of a process
starts from that of the one which started it, so `measure` runs before anything else does.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SHAPE = (600, 512, 512)
SPACING = (0.7, 0.7, 0.8)


def measure() -> dict[str, float]:
    """Write a CT of 512 x 512 x 600 int16 voxels, open it, click once, and return peaks in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.nrrd"
        write_ct(path)
        command = [sys.executable, "-m", "Benchmarks.memory", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def write_ct(path: Path) -> None:
    """Write noise as an uncompressed NRRD, slice by slice."""
    sizes, (x, y, z) = SHAPE[::-1], SPACING
    header = (
        "NRRD0004\ntype: int16\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {sizes[0]} {sizes[1]} {sizes[2]}\nspace directions: ({x},0,0) (0,{y},0) (0,0,{z})\n"
        "kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (0,0,0)\n\n"
    )
    noise = np.random.default_rng(0).normal(40, 150, SHAPE[1:]).astype("<i2")
    with path.open("wb") as file:
        file.write(header.encode("ascii"))
        for k in range(SHAPE[0]):
            file.write(np.roll(noise, k).tobytes())


def open_and_click(path: Path) -> dict[str, float]:
    """Open a volume, click into its middle, and return the peaks (MiB) after each stage."""
    import torch  # noqa: F401

    torch_alone = peak_mib()
    from Benchmarks.timing import open_session, steady_promptable
    from SAMSpineLib.io import read_volume
    from SAMSpineLib.prompts import Point

    model = steady_promptable("ct-sam3d-small")
    imported = peak_mib()
    session = open_session(model, read_volume(path))
    opened = peak_mib()
    middle = session.volume.grid.to_ras((np.array(SHAPE[::-1]) - 1) / 2).tolist()
    update = session.add(Point((middle[0], middle[1], middle[2])))
    if not update.mask.any():
        msg = "the click marked nothing: what was measured is no click"
        raise RuntimeError(msg)
    return {
        "peak_torch_import_mib": torch_alone,
        "peak_model_built_mib": imported,
        "peak_open_mib": opened,
        "peak_open_and_click_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Return the most memory (MiB) that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


if __name__ == "__main__":
    print(json.dumps(open_and_click(Path(sys.argv[1]))))
