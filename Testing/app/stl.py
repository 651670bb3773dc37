"""Surface files, read by the format's own description: 80 bytes of header, a count, then 50 bytes a triangle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path: Path) -> tuple[str, np.ndarray]:
    """Return the header and the triangles' corners (N, 3, 3) of a binary STL file."""
    content = path.read_bytes()
    count = int(np.frombuffer(content, "<u4", 1, 80)[0])
    return content[:80].decode(), np.frombuffer(content, TRIANGLE, count, 84)["corners"].astype(float)


def volume_of(triangles: np.ndarray) -> float:
    """Return the volume within a closed surface whose triangles face outwards; negative where they face inwards."""
    a, b, c = triangles.transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)
