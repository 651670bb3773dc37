"""The fixture `host`: the panel in an application that is none, driven by mouse, keys and clock."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent
# Another copy of the module is one that was built or installed.
MODULE = Path(os.environ.get("SAMSPINE_MODULE", FOLDER.parents[1] / "SAMSpine" / "SAMSpine.py"))


@pytest.fixture(autouse=True)
def _the_library_stays() -> Iterator[None]:
    """Put the library's modules back after a test that reloads them: other tests know their classes."""

    def library() -> dict[str, Any]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "SAMSpineLib"}

    before = library()
    yield
    after = library()
    if any(after.get(name) is not module for name, module in before.items()):
        for name in after:
            del sys.modules[name]
        sys.modules.update(before)


def _host_class() -> Any:
    """Return the class of what stands for Slicer, or, within Slicer, of what drives it (see Testing/module)."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    if "PythonQt" in sys.modules:
        from realslicer.host import Host
    else:
        pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
        pytest.importorskip("slicer")
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        from slicerhost.host import Host
    return Host


@pytest.fixture
def make_host(_the_library_stays: None) -> Iterator[Any]:
    """Give a function that starts hosts, and close what it started. An error in a slot or observer fails the test."""
    host_class = _host_class()
    hosts: list[Any] = []

    def make(module: Path = MODULE, *, main_window: bool = True) -> Any:
        hosts.append(host_class(module, main_window=main_window))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()
    assert [error for host in hosts for error in host.errors] == []


@pytest.fixture
def host(make_host: Any) -> Any:
    """Give a host with the panel open and three slice views."""
    host = make_host()
    host.open()
    return host


@pytest.fixture(scope="session")
def phantom() -> Any:
    """Give a small synthetic spine (L1 to L5, 2 mm) with its labels."""
    from SAMSpineLib.training.synthetic.phantom import make_phantom
    from SAMSpineLib.training.synthetic.settings import PhantomSettings

    return make_phantom(1, PhantomSettings.small())


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give address and token file of an engine that many tests share; starting one takes seconds."""
    pytest.importorskip("uvicorn")
    from SAMSpineLib.engine.service.child import EngineProcess, serve_command

    process = EngineProcess(serve_command(shutil.which("PythonSlicer") or sys.executable, device="cpu"))
    hello = process.start()
    token = tmp_path_factory.mktemp("engine") / "token"
    token.write_text(hello.token, encoding="utf-8")
    yield hello.url, str(token)
    process.stop()


@pytest.fixture
def spine_alone(host: Any, phantom: Any) -> Any:
    """Give a user with the phantom in front, the panel open, and an engine that the panel starts itself."""
    pytest.importorskip("uvicorn")
    from slicerhost.driver import Driver

    return Driver(host, phantom.image, phantom.labels.array)


@pytest.fixture
def spine(spine_alone: Any, engine: Any) -> Any:
    """Give a user with the phantom in front, the panel open, and an engine that is up already."""
    spine_alone.state.serverAddress, spine_alone.state.tokenFile = engine
    return spine_alone


@pytest.fixture
def l3(spine: Any) -> Any:
    """Give a user who has clicked on L3."""
    spine.choose("L3")
    spine.click("L3")
    spine.settle()
    return spine
