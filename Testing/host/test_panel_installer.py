"""Installing: asked for once, through Slicer's own means, and never SimpleITK."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest


@pytest.fixture
def installer(host: Any) -> Any:
    return host.widget.panel.installer


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that hides packages, or shows stand-ins of them."""
    import importlib.util

    found = importlib.util.find_spec
    hidden: set[str] = set()
    shown: set[str] = set()

    def find(name: str, package: Any = None) -> Any:
        if name in shown:
            return True
        return None if name in hidden else found(name, package)

    monkeypatch.setattr("importlib.util.find_spec", find)
    return types.SimpleNamespace(
        hide=hidden.update, show=lambda names: (hidden.difference_update(names), shown.update(names))
    )


def test_where_everything_is_there_nothing_is_offered(host: Any, installer: Any) -> None:
    assert not installer.isNeeded
    assert not host.ui.installButton.visible


def test_a_click_without_an_engine_says_what_to_press(spine_alone: Any) -> None:
    spine_alone.panel.installer.isNeeded = True
    spine_alone.choose("L3")
    spine_alone.tool("P")
    spine_alone.host.click("Red", spine_alone.place("L3"))
    assert "Install" in spine_alone.host.ui.statusLabel.text
    assert spine_alone.panel.connection is None


def test_torch_comes_from_its_extension_and_the_rest_without_what_slicer_has(
    host: Any, installer: Any, without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    without.hide({"torch", "fastapi", "uvicorn"})
    calls: list[Any] = []

    class Torch:
        def installTorch(self, **options: Any) -> Any:
            calls.append(("torch", options))
            without.show({"torch"})
            return self

    packaging = types.ModuleType("slicer.packaging")
    packaging.load_requirements = lambda path: [path]  # type: ignore[attr-defined]

    def pip_install(wanted: Any, **options: Any) -> None:
        calls.append(("rest", options))
        without.show({"fastapi", "uvicorn"})

    packaging.pip_install = pip_install  # type: ignore[attr-defined]
    without.show({"PyTorchUtils", "slicer.packaging"})
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=Torch))
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer, "packaging", packaging, raising=False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_a, **_o: True)
    installer.install()
    assert [name for name, _ in calls] == ["torch", "rest"]
    assert {"SimpleITK", "torch", "numpy"} <= set(calls[1][1]["skip_packages"])
    assert host.ui.statusLabel.text == "Everything is installed"
    assert not installer.isNeeded


def test_whoever_says_no_gets_nothing(host: Any, installer: Any, without: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    without.hide({"torch", "PyTorchUtils"})
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_a, **_o: False)
    installer.install()
    assert installer.isNeeded
    assert "missing" in host.ui.statusLabel.text


def test_without_the_pytorch_extension_it_says_where_to_get_it(
    host: Any, installer: Any, without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    without.hide({"torch", "PyTorchUtils"})
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_a, **_o: True)
    installer.install()
    assert "Extensions Manager" in host.ui.statusLabel.text


def test_on_slicer_5_10_each_package_is_installed_and_nothing_drags_simpleitk_in(
    installer: Any, without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    asked: list[str] = []
    without.hide({"slicer.packaging", "monai", "sam2", "uvicorn"})
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_a, **_o: True)
    monkeypatch.setattr(slicer.util, "pip_install", asked.append, raising=False)
    installer.install()
    assert asked == ["--no-deps monai", "--no-build-isolation sam2", "uvicorn"]


def test_the_requirements_are_those_of_the_library(installer: Any, repository: Any) -> None:
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    plain = {one.partition(">")[0].partition("[")[0] for one in (*extras["sam"], *extras["server"])}
    ours = {"numpy", "scipy", "SimpleITK", "requests", "torch", "torchvision"}
    needed = (plain | set(project["dependencies"])) - ours
    from SAMSpineSlicer.Installer import requirements

    assert {one.partition(">")[0].partition("[")[0] for one in requirements()} == needed
