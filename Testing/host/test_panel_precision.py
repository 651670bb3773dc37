"""The precision that the panel asks for is the one of the engine it starts."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_the_chosen_precision_starts_another_engine_and_one_that_is_not_there_is_said(spine_alone: Any) -> None:
    user, selector = spine_alone, spine_alone.host.ui.precisionSelector
    assert [selector.itemText(n) for n in range(selector.count)] == ["auto", "float32", "bfloat16", "float16"]
    user.state.device = "cpu"
    selector.setCurrentText("bfloat16")
    assert user.state.precision == "bfloat16"
    user.choose("L3")
    user.click("L3")
    user.settle()
    assert user.dice("L3") > 0.7
    selector.setCurrentText("float16")
    user.click("L4", key="N")
    user.settle()
    assert "float16 needs a CUDA device" in user.host.status()
    selector.setCurrentText("float32")
    user.choose("L4")
    user.click("L4")
    user.settle()
    assert user.dice("L4") > 0.7
    assert user.dice("L3") > 0.7
