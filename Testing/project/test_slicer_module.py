"""What the Extensions Index asks of a module's source: complete install lists, light imports, no broad except."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "SAMSpine"
FILES = sorted(MODULE.rglob("*.py"))
# What Slicer brings along and has loaded anyway when a module is imported.
AT_FILE_SCOPE = {*sys.stdlib_module_names, "slicer", "vtk", "vtkmodules", "qt", "ctk", "SAMSpineSlicer", "SAMSpineLib"}
ROOMS = {
    "mrml",
    "engine",
    "volume",
    "resampling",
    "prompts",
    "labels",
    "errors",
    "resources",
    "mask_update",
    "progress",
}


def imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def at_file_scope(node: ast.AST) -> list[ast.AST]:
    found = []
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found += [child, *at_file_scope(child)]
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_heavy_is_imported_with_the_module(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [name for node in at_file_scope(tree) for name in imports(node)]
    assert [name for name in names if name.partition(".")[0] not in AT_FILE_SCOPE] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_face_knows_only_nouns_engine_and_mrml(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [name.split(".") for node in ast.walk(tree) for name in imports(node)]
    assert [name for name in names if name[0] == "SAMSpineLib" and not {*name[1:2]} <= ROOMS] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_except_is_broad(path: Path) -> None:
    handlers = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ExceptHandler)
    ]
    caught = [ast.unparse(handler.type) if handler.type else "everything" for handler in handlers]
    assert {"everything", "Exception", "BaseException"} & set(caught) == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_runs_when_a_file_is_imported(path: Path) -> None:
    calls = [
        ast.unparse(node)
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Expr | ast.If | ast.For | ast.While | ast.With | ast.Try)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
    ]
    assert calls == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_signals_later_has_a_parent(path: Path) -> None:
    """PythonQt deletes what has none as soon as Python lets go of it, be it in a slot of its own: Slicer crashes.

    `QTimer.singleShot` is no way out: Slicer's own gives each timer to the application, which keeps it to the end.
    """
    made = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    assert [one for one in made if "QTimer.singleShot" in one] == []
    assert {"qt.QProcess()", "qt.QNetworkAccessManager()", "qt.QTimer()", "qt.QTcpSocket()"} & set(made) == set()


def listed_in(path: Path) -> set[str]:
    """Return the files that a CMakeLists.txt names, one a line."""
    text = path.read_text(encoding="utf-8").replace("${MODULE_NAME}", "SAMSpine")
    return set(re.findall(r"^  (\S+\.\w+)$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("folder", ["SAMSpine", "SAMSpineLib"])
def test_cmake_installs_every_file(folder: str) -> None:
    tree = {path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).rglob("*.py")}
    if folder == "SAMSpine":
        resources = (path for path in (MODULE / "Resources").rglob("*") if path.is_file())
        tree |= {path.relative_to(MODULE).as_posix() for path in resources}
    listed = listed_in(ROOT / folder / "CMakeLists.txt")
    assert sorted(tree - listed) == [], f"add these to {folder}/CMakeLists.txt: a file not listed is not installed"
    assert sorted(listed - tree) == [], f"remove these from {folder}/CMakeLists.txt"


def test_the_extension_is_described_as_the_index_reads_it() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"^project\(SAMSpine\)$", text, flags=re.MULTILINE)
    icon = re.search(r'set\s*\(EXTENSION_ICONURL\s*"([^"]+)"[ ]*\)', text)
    pictures = re.search(r'set\s*\(EXTENSION_SCREENSHOTURLS\s*"([^"]+)"\)', text)
    for url in [icon.group(1), *pictures.group(1).split()]:
        assert (ROOT / url.partition("/main/")[2]).is_file()
        assert url.endswith((".png", ".jpg"))


def test_the_module_folder_is_no_package() -> None:
    assert not (MODULE / "__init__.py").exists(), "with it, `import SAMSpine` finds the folder and not the module"
    assert len((MODULE / "SAMSpine.py").read_text(encoding="utf-8").splitlines()) <= 150
