"""The page has the keys of the Slicer panel."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from SAMSpineLib.app.keys import KEYS, key_of

PANEL = Path(__file__).resolve().parents[2] / "SAMSpine" / "SAMSpineSlicer" / "Keys.py"


def test_every_key_does_the_same_in_slicer() -> None:
    panel = runpy.run_path(str(PANEL))["KEYS"]
    assert {(key.sequence, key.description) for key in KEYS} == {(key.sequence, key.description) for key in panel}
    assert {f"{key.action}Button" for key in KEYS} - {"positivePointButton"} <= {key.button for key in panel}


def test_a_button_names_its_key() -> None:
    assert key_of("undo") == "Ctrl+Z"
