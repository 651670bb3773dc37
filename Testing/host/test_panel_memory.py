"""A GPU that is full: the panel says so in one line, and the run ends well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def full_engine(host: Any, tmp_path: Path) -> Iterator[Any]:
    """Give address and token file of an engine whose GPU has room for one window at a time."""
    pytest.importorskip("uvicorn")
    torch = pytest.importorskip("torch")
    from slicerhost.served import serving

    from SAMSpineLib.engine.networks import Networks
    from SAMSpineLib.engine.service.hosting import Hosting
    from SAMSpineLib.models.build import build_localiser, build_promptable

    localiser = build_localiser()
    network = localiser.network.forward

    def narrow(window: Any) -> Any:
        if localiser.batch_size > 1:
            raise torch.OutOfMemoryError
        return network(window)

    localiser.network.forward = narrow
    hosting = Hosting(Networks(lambda _: build_promptable(), lambda _: localiser, device="cuda", batch_size=4))
    with serving(hosting, tmp_path) as address:
        yield address


def test_smaller_batches_are_said_in_the_status_bar_and_nothing_is_lost(spine_alone: Any, full_engine: Any) -> None:
    user = spine_alone
    user.state.serverAddress, user.state.tokenFile = full_engine
    user.choose("L3")
    user.click("L3")
    user.settle()
    before = user.voxels("L3")
    user.host.press(user.host.ui.autonomousButton)
    user.settle()
    assert user.host.ui.statusLabel.text == user.host.status()
    assert "smaller batches (1 at a time)" in user.host.status()
    assert len(user.names) >= 3
    assert (user.voxels("L3") & before).sum() > 0.5 * before.sum()
