"""What the README promises exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
# A command in a code block or between backticks; the word after it is a target or a verb.
MAKE = re.compile(r"(?:^|`)\s*\$?\s*make +([a-z][\w-]*)", re.MULTILINE)
SAMSPINE = re.compile(r"(?:^|`)\s*\$?\s*(?:\.venv/bin/)?samspine +([a-z][\w-]*)([^`\n]*)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)")


@cache
def readme() -> str:
    # A command broken over lines with backslashes is one command.
    return README.read_text(encoding="utf-8").replace("\\\n", " ")


@cache
def help_of(verb: str) -> str:
    command = [sys.executable, "-m", "SAMSpineLib", verb, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"samspine {verb}: {done.stderr}"
    return done.stdout


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_the_readme_gives_two_commands_to_start_with() -> None:
    assert {"segment", "test"} <= set(MAKE.findall(readme()))


def test_the_make_targets_it_names_exist() -> None:
    assert set(MAKE.findall(readme())) <= targets()


def test_the_verbs_and_options_it_names_exist() -> None:
    for verb, rest in SAMSPINE.findall(readme()):
        options = set(re.findall(r"(?<!\S)--[a-z][\w-]*", rest))
        missing = {option for option in options if option not in help_of(verb)}
        assert not missing, f"samspine {verb} --help does not know {missing}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_files_it_links_exist(name: str) -> None:
    links = LINK.findall((ROOT / name).read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_the_python_example_imports_what_it_uses_and_uses_what_it_imports() -> None:
    code = ast.parse("\n".join(re.findall(r"```python\n(.*?)```", readme(), re.DOTALL)))
    imports = [node for node in code.body if isinstance(node, ast.ImportFrom)]
    exec(compile(ast.Module(body=list(imports), type_ignores=[]), "README.md", "exec"), found := {})
    used = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    assert imports
    assert {alias.name for node in imports for alias in node.names} == used & set(found)


@pytest.mark.parametrize("path", [README, *sorted((ROOT / "Resources").rglob("*.md"))], ids=lambda path: path.name)
def test_no_figure_is_left_to_be_filled_in(path: Path) -> None:
    assert re.findall("@" + r"@\w+", path.read_text(encoding="utf-8")) == []


def test_a_command_is_found_wherever_it_stands() -> None:
    text = "```\nmake segment CT=a\nsamspine info a.nii.gz --json\n```\nthen `make test`, and make nothing up"
    assert MAKE.findall(text) == ["segment", "test"]
    assert SAMSPINE.findall(text) == [("info", " a.nii.gz --json")]
