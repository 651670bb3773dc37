"""How the command line greets and how it ends."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from SAMSpineLib.cli import EXAMPLES, VERBS, console
from SAMSpineLib.cli.prompt_text import read_click
from SAMSpineLib.labels import spine_labels

ROOT = Path(__file__).resolve().parents[3]


def test_help_is_there_without_torch_or_any_image_library() -> None:
    code = (
        "import sys\n"
        "from SAMSpineLib.cli import run\n"
        "code = run(['--help']) + run(['segment', '--help']) + run(['train', '--help'])\n"
        "heavy = {'torch', 'monai', 'SimpleITK', 'scipy', 'rich', 'slicer'} & set(sys.modules)\n"
        "sys.exit(code or (str(heavy) if heavy else 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


MODEL_VERBS = ("models list", "models download", "models add", "models verify", "models remove")


@pytest.mark.parametrize("verb", [*VERBS, "models", *MODEL_VERBS])
def test_the_help_of_a_verb_has_an_example_of_it(verb: str, samspine: Any) -> None:
    ended = samspine(*verb.split(), "--help")
    assert ended.code == 0
    assert f" samspine {verb} " in ended.out


def test_no_verbs_summary_is_cut_off(samspine: Any) -> None:
    for words in (("--help",), ("models", "--help")):
        assert "..." not in samspine(*words).out.partition("Commands:")[2]


def test_the_first_click_of_the_help_lies_in_its_phantom(case: Any) -> None:
    click = re.search(r'--click "([^"]+)"', EXAMPLES)
    assert click is not None
    assert "--seed 1 --small" in EXAMPLES
    label, point = read_click(click[1], spine_labels())
    truth = case.phantom.labels
    assert truth.array[truth.grid.voxel_at(point.ras)] == label.value


def test_no_words_at_all_are_answered_with_help(samspine: Any) -> None:
    ended = samspine()
    assert ended.code == 0
    assert "segment" in ended.out


def test_the_version_is_told(samspine: Any) -> None:
    ended = samspine("--version")
    assert ended.code == 0
    assert ended.out.startswith("samspine ")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("SAMSpineLib.io.description.describe", fail)


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (KeyError("shape"), 1, "This is a fault of SAMSpine: KeyError"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (MemoryError(), 2, "There is not enough memory for this"),
        (OSError(errno.ENOSPC, "No space left on device", "a.csv"), 2, "a.csv cannot be used: No space left on device"),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    error: BaseException, code: int, expected: str, samspine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    ended = samspine("info", "a.nii.gz", "--json")
    assert (ended.code, ended.out) == (code, "")
    assert len(ended.err.splitlines()) == 1
    assert expected in ended.err


@pytest.mark.parametrize("words", [("--debug", "info", "a.nii.gz"), ("info", "a.nii.gz", "--debug")])
def test_debug_shows_the_traceback(words: tuple[str, ...], samspine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyError("shape"))
    assert "Traceback" in samspine(*words).err


def test_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.counting("Training") as tell:
        for step in range(1, 101):
            now[0] += 1.0
            tell(step, 100, "loss 1")
    seen = capsys.readouterr()
    assert seen.out == ""
    lines = seen.err.splitlines()
    assert lines[0] == "Training: 2/100, loss 1, about 98 s left"
    assert len(lines) == 7


def test_quick_work_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with console.working("Reading"):
        pass
    with console.counting("Training") as tell:
        tell(1, 2, "loss 1")
    assert capsys.readouterr().err == ""


def test_json_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(ValueError, match="JSON"):
        console.print_json({"dice": float("nan")})


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": [1, 2], "b": None})
    assert json.loads(capsys.readouterr().out) == {"a": [1, 2], "b": None}
