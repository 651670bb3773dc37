"""Who may import whom: the house rules of CONTRIBUTING.md, read from the source and not from a run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "SAMSpineLib"
NOUNS = {
    "volume",
    "stack",
    "resampling",
    "prompts",
    "labels",
    "errors",
    "resources",
    "mask_update",
    "safe_write",
    "file_lock",
    "progress",
    "lesson_order",
}
ROOMS = {"models", "atlas", "io", "engine", "mrml", "app", "training", "evaluation", "cli"}
MAY_IMPORT = {
    "nouns": {"nouns"},
    "models": {"nouns"},
    "atlas": {"nouns"},
    "io": {"nouns"},
    "engine": {"models", "atlas", "nouns"},
    "training": {"evaluation", "models", "atlas", "io", "nouns"},
    "evaluation": {"models", "atlas", "io", "nouns"},
    "mrml": {"engine", "nouns"},
    "app": {*ROOMS, "nouns"} - {"cli"},
    "cli": {*ROOMS, "nouns"},
}
FORBIDDEN = {"qt", "ctk"}
ONLY_IN = {"slicer": {"mrml", "app"}, "vtk": {"mrml", "app"}, "vtkmodules": {"mrml", "app"}}
HEAVY = {"torch", "torchvision", "monai"}
HEAVY_AT_FILE_SCOPE_IN = {"models", "training"}


def room_of(module: str) -> str:
    """Tell in which room `SAMSpineLib.x.y` lies; a top-level module that is no known room is a room unknown."""
    parts = module.split(".")
    first = parts[1] if len(parts) > 1 else "__init__"
    if first == "__main__":
        return "cli"
    return "nouns" if first in NOUNS | {"__init__"} else first


def imported_by(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the full dotted names that an import statement asks for."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
        module = ".".join(part for part in (base, node.module) if part)
        yield from (f"{module}.{alias.name}" for alias in node.names)


def at_file_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs when the file is imported: no function bodies, no type checker's imports."""
    for child in ast.iter_child_nodes(node):
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not deferred and not for_types:
            yield child
            yield from at_file_scope(child)


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """List what the source of `module` does against the rules."""
    tree, room = ast.parse(source), room_of(module)
    package = module if is_package else module.rpartition(".")[0]
    if room not in MAY_IMPORT:
        return [f"{module} lies in no known room: {sorted(MAY_IMPORT)}"]
    found = []
    for name in (name for node in ast.walk(tree) for name in imported_by(node, package)):
        top, target = name.split(".")[0], room_of(name)
        if top == "SAMSpineLib" and target != room and target not in MAY_IMPORT[room]:
            found.append(f"{module}: {room} imports {name}")
        if top in FORBIDDEN or room not in ONLY_IN.get(top, {room}):
            found.append(f"{module}: {room} imports {name}")
    for name in (name for node in at_file_scope(tree) for name in imported_by(node, package)):
        if name.split(".")[0] in HEAVY and room not in HEAVY_AT_FILE_SCOPE_IN:
            found.append(f"{module}: imports {name} at file scope")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"slicer.app", "slicer.mrmlScene"}:
            found.append(f"{module}: touches {ast.unparse(node)}")
    return found


def files_of_the_library() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


@pytest.mark.parametrize("path", files_of_the_library(), ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_a_file_imports_only_what_its_room_may_know(path: Path) -> None:
    parts = list(path.relative_to(LIBRARY.parent).with_suffix("").parts)
    is_package = parts[-1] == "__init__"
    module = ".".join(parts[:-1] if is_package else parts)
    assert violations(module, path.read_text(encoding="utf-8"), is_package=is_package) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("SAMSpineLib.volume", "from SAMSpineLib.engine.session import Session"),
        ("SAMSpineLib.volume", "from SAMSpineLib import engine"),
        ("SAMSpineLib.models.a", "from ..io import nifti"),
        ("SAMSpineLib.engine.a", "def f():\n    import slicer"),
        ("SAMSpineLib.engine.a", "import torch"),
        ("SAMSpineLib.engine.a", "try:\n    import torch\nexcept ImportError:\n    pass"),
        ("SAMSpineLib.mrml.a", "from SAMSpineLib.models import build"),
        ("SAMSpineLib.mrml.a", "import slicer\nslicer.mrmlScene.Clear()"),
        ("SAMSpineLib.app.a", "import qt"),
        ("SAMSpineLib.helpers", ""),
    ],
)
def test_each_rule_catches_its_breach(module: str, source: str) -> None:
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("SAMSpineLib.engine.a", "from SAMSpineLib.models import build\ndef f():\n    import torch"),
        ("SAMSpineLib.engine.a", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("SAMSpineLib.training.a", "import torch\nfrom SAMSpineLib.models.b import c"),
        ("SAMSpineLib.mrml.a", "import slicer, vtk\nfrom ..engine import session"),
        ("SAMSpineLib.models.a", "from .b import c"),
    ],
)
def test_what_the_rules_allow_passes(module: str, source: str) -> None:
    assert violations(module, source) == []
