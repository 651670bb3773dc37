"""Who is let in: this machine's own pages, or whoever has the token."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from SAMSpineLib.app.guard import COOKIE, Guard, is_loopback, middleware


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert Guard().refusal(host=host, origin=None, given=None) is None
    assert Guard().refusal(host=host, origin=f"http://{host}", given=None) is None


@pytest.mark.parametrize("host", ["evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1:80", ""])
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    assert Guard().refusal(host=host, origin=None, given=None)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9999"])
def test_a_page_of_another_site_is_refused(origin: str) -> None:
    assert Guard().refusal(host="localhost:8080", origin=origin, given=None)
    assert Guard("secret").refusal(host="localhost:8080", origin=origin, given="secret")


def test_with_a_token_nothing_else_counts() -> None:
    guard = Guard("secret")
    assert guard.refusal(host="box:8080", origin="http://box:8080", given="secret") is None
    for wrong in (None, "", "secre", "söcret"):
        assert "whole address" in str(guard.refusal(host="box:8080", origin=None, given=wrong))


def test_loopback_addresses_are_known() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")


def test_the_token_moves_from_the_address_into_a_cookie() -> None:
    async def story() -> None:
        async def page(_request: web.Request) -> web.Response:
            return web.Response(text="page")

        app = web.Application(middlewares=[middleware(Guard("secret"))])
        app.router.add_get("/{name:.*}", page)
        async with TestClient(TestServer(app)) as client:
            assert (await client.get("/index.html")).status == 403
            assert (await client.get("/?token=wrong")).status == 403
            moved = await client.get("/?token=secret", allow_redirects=False)
            assert moved.status == 302
            cookie = moved.cookies[COOKIE]
            assert cookie["httponly"]
            assert cookie["samesite"] == "Strict"
            own = {"Cookie": f"{COOKIE}=secret"}
            assert (await client.get("/index.html", headers=own)).status == 200
            foreign = {**own, "Origin": "http://evil.example"}
            assert (await client.get("/index.html", headers=foreign)).status == 403

    asyncio.run(story())
