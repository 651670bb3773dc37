"""Small rooms: no function and no file grows out of sight."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_OF_A_FUNCTION = 40
LINES_OF_A_FILE = 400
# A plain list of steps may be longer, up to 60 lines. Each is named here with its reason.
PLAIN_LISTS_OF_STEPS: dict[str, str] = {
    "SAMSpineLib/training/synthetic/sacrum_shape.py:sacrum_struts": "one strut after another, as the bone is built",
    "SAMSpineLib/training/synthetic/vertebra_shape.py:lumbar_struts": "one strut after another, as the bone is built",
    "SAMSpineLib/training/synthetic/vertebra_shape.py:thoracic_struts": "one strut after another, as the bone is built",
}
LINES_OF_A_PLAIN_LIST = 60


def python_files() -> list[Path]:
    folders = ("SAMSpine", "SAMSpineLib", "Benchmarks", "Testing")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count from the first statement after the docstring to the last line."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def long_functions(source: str, where: str) -> list[str]:
    """List `where:function` for each that is too long."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{where}:{node.name}"
            limit = LINES_OF_A_PLAIN_LIST if name in PLAIN_LISTS_OF_STEPS else LINES_OF_A_FUNCTION
            if body_lines(node) > limit:
                found.append(f"{name} has {body_lines(node)} lines, {limit} are allowed")
    return found


@pytest.mark.parametrize("path", python_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert long_functions(source, path.relative_to(ROOT).as_posix()) == []
    assert len(source.splitlines()) <= LINES_OF_A_FILE
    assert path.stem not in {"utils", "util", "helpers", "misc"}, "name a file after what it holds"


def test_a_function_of_41_lines_is_too_long_and_its_docstring_does_not_count() -> None:
    fits = 'def f():\n    """Say.\n\n    More.\n    """\n' + "    a = 1\n" * 40
    assert long_functions(fits, "x.py") == []
    assert long_functions(fits + "    a = 1\n", "x.py") == ["x.py:f has 41 lines, 40 are allowed"]
