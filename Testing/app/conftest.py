"""One app and one browser for each file of tests; after each test, nothing has gone wrong in either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .appdriver import Case, Screen, Served, browsing, chromium, screen_on, serve

pytest.importorskip("trame_slicer", reason="needs the extra `app`")


@pytest.fixture(scope="module")
def a_phantom(tmp_path_factory: pytest.TempPathFactory) -> Case:
    from SAMSpineLib.io import write_volume
    from SAMSpineLib.training.synthetic.phantom import make_phantom
    from SAMSpineLib.training.synthetic.settings import PhantomSettings

    phantom = make_phantom(1, PhantomSettings.small())
    path = tmp_path_factory.mktemp("case") / "case.nii.gz"
    write_volume(path, phantom.image)
    return Case(path, phantom.labels.array, phantom.labels.grid)


@pytest.fixture(scope="module")
def app_options() -> tuple[str, ...]:
    """Give what else `samspine app` is told; files of tests have their own."""
    return ()


@pytest.fixture(scope="module")
def an_app(a_phantom: Case, app_options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("served"), str(a_phantom.path), *app_options) as served:
        yield served


@pytest.fixture(scope="module")
def a_browser() -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = chromium()
    if path is None:
        pytest.skip("needs Debian's chromium, which is not installed; name another in CHROMIUM")
    with browsing(path) as browser:
        yield browser


@pytest.fixture(scope="module")
def a_screen(a_browser: Any, an_app: Served) -> Screen:
    return screen_on(a_browser, an_app)


@pytest.fixture(autouse=True)
def _nothing_goes_wrong(request: pytest.FixtureRequest) -> Iterator[None]:
    """Look, after each test, for errors on the page and in the server's log that it did not speak of itself."""
    yield
    for screen in [one for one in request.node.funcargs.values() if isinstance(one, Screen)]:
        assert screen.take_wrong() == []
        assert screen.served.process.poll() is None, "the app has ended"
