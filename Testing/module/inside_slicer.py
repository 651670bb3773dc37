"""Runs the panel's tests within 3D Slicer: `Slicer --testing --python-script Testing/module/inside_slicer.py`.

Slicer must have the module (`--additional-module-paths SAMSpine` from a checkout), and its Python pytest and what the
engine needs. More arguments are names of tests (`test_panel_clicks.py::test_...`), all of them without; one that ends
in .jsonl is a file to which each result is added.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import slicer

FOLDER = Path(__file__).resolve().parent
HOST = FOLDER.parent / "host"
FILES = ("test_the_host_itself.py", *sorted(path.name for path in HOST.glob("test_panel_*.py")))
# What CTest takes for "skipped".
WITHOUT_PYTEST = 77


class Recorder:
    """Writes down each result at once: a Slicer that crashes must not take the others along."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            entry = {"name": report.nodeid, "outcome": report.outcome, "text": report.longreprtext}
            if report.skipped and isinstance(report.longrepr, tuple):
                entry["text"] = report.longrepr[2]
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")


def main(arguments: list[str]) -> int:
    """Run the tests and return pytest's exit code."""
    if importlib.util.find_spec("pytest") is None:
        sys.stderr.write("These tests need pytest in Slicer's Python: slicer.util.pip_install('pytest')\n")
        return WITHOUT_PYTEST
    import pytest

    sys.path[:0] = [str(FOLDER), str(HOST)]
    names = [one for one in arguments if one.startswith("test_")] or list(FILES)
    options = ["-s", "-v", "-p", "no:cacheprovider", *(one for one in arguments if one.startswith("--basetemp"))]
    recorders = [Recorder(Path(one)) for one in arguments if one.endswith(".jsonl")]
    return int(pytest.main([*options, *(str(HOST / name) for name in names)], plugins=recorders))


slicer.util.exit(main(sys.argv[1:]))
