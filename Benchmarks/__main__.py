"""Run every benchmark and print one flat JSON object of named figures; progress goes to stderr.

`python -m Benchmarks` runs all, `python -m Benchmarks memory click` some. Times are milliseconds, memory MiB, ratios
are of two figures of the same run: the only figures that mean the same on another machine.
"""

from __future__ import annotations

import importlib
import json
import sys
from time import perf_counter

# Memory comes first: see `memory`.
BENCHMARKS = ("memory", "slices_memory", "click", "node_write", "service", "panel", "app", "slices")


def main(names: list[str]) -> int:
    """Run benchmarks by name (all without one) and return the exit code."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; choose of: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    figures: dict[str, float] = {}
    for name in names or BENCHMARKS:
        start = perf_counter()
        print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
        figures |= importlib.import_module(f"Benchmarks.{name}").measure()
        print(f"{perf_counter() - start:.0f} s", file=sys.stderr)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
