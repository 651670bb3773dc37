"""The panel's tests, each run within the 3D Slicer that `SLICER` names, by real events; without one they are skipped.

`SLICER=/path/to/Slicer pytest -m slicer Testing/module` starts that Slicer once for all tests that were chosen.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slicer

FOLDER = Path(__file__).resolve().parent
HOST = FOLDER.parent / "host"
SECONDS = 3600
Results = dict[str, list[dict[str, str]]]


def shared_tests() -> list[str]:
    """Return the names of the tests that run in both, read from their source."""
    names = []
    for path in (HOST / "test_the_host_itself.py", *sorted(HOST.glob("test_panel_*.py"))):
        functions = ast.parse(path.read_text(encoding="utf-8")).body
        found = [one.name for one in functions if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")]
        names += [f"{path.name}::{name}" for name in found]
    return names


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Results:
    """Run the chosen tests in Slicer, and give what became of each."""
    program = os.environ.get("SLICER")
    if not program:
        pytest.skip("needs 3D Slicer; name the program in SLICER")
    chosen = [item.callspec.params["name"] for item in request.session.items if item.path == Path(__file__)]
    file, temporary = tmp_path_factory.mktemp("slicer") / "results.jsonl", tmp_path_factory.mktemp("inner")
    options = ["--testing", "--no-splash", "--ignore-slicerrc", "--additional-module-paths", repository / "SAMSpine"]
    script = ["--python-script", FOLDER / "inside_slicer.py", file, f"--basetemp={temporary / 'tmp'}", *chosen]
    command = [program, *options, *script]
    # On Linux Slicer gives itself, and so the engine it starts, the last place for the processor.
    awake = {**os.environ, "SLICER_BACKGROUND_THREAD_PRIORITY": "0"}
    ended = subprocess.run(command, timeout=SECONDS, capture_output=True, check=False, env=awake)
    (file.parent / "log.txt").write_bytes(ended.stdout + ended.stderr)
    found: Results = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        entry = json.loads(line)
        found.setdefault(entry["name"].rpartition("/")[2].partition("[")[0], []).append(entry)
    found[""] = [{"text": f"Slicer ended with {ended.returncode}; see {file.parent / 'log.txt'}"}]
    return found


@pytest.mark.parametrize("name", shared_tests())
def test_in_slicer(name: str, results: Results) -> None:
    entries = results.get(name, [])
    assert entries, f"It was not run to its end. {results[''][0]['text']}"
    failed = [entry for entry in entries if entry["outcome"] == "failed"]
    if failed:
        pytest.fail("\n".join(f"{entry['name']}\n{entry['text']}" for entry in failed), pytrace=False)
    if all(entry["outcome"] == "skipped" for entry in entries):
        pytest.skip(entries[0]["text"])
