"""The text of the repository is for everyone: no place that exists on one machine only."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Put together from parts, so that this file does not find itself.
PATHS = re.compile(r"(?<![\w.\-*}])/(?:" + "|".join(("work", "root", "home", "Users")) + r")/\w")
HOSTS = re.compile(
    "|".join(("pypi" + r"\.org", "python" + r"hosted\.org", "download" + r"\.pytorch\.org", "--" + "index-url"))
)


def text_files() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return []
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return sorted(path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096])


def breaches(text: str) -> list[str]:
    return [match.group() for pattern in (PATHS, HOSTS) for match in pattern.finditer(text)]


def test_no_file_names_a_machine_or_a_registry() -> None:
    if not (files := text_files()):
        pytest.skip("needs a git checkout to know which files are ours")
    found = {path.relative_to(ROOT).as_posix(): breaches(path.read_text(encoding="utf-8")) for path in files}
    assert {name: words for name, words in found.items() if words} == {}


def test_the_rule_tells_a_machine_from_an_address() -> None:
    assert breaches("see /" + "work/data") == ["/" + "work/d"]
    assert breaches("https://example.org/" + "home/page and Resources/Labels and/or work") == []
