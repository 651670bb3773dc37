"""Who may talk to the app: this machine's own pages, or whoever has the token.

A page of another site can send requests to a loopback address, and a name of its own can point there. So the host that
a request names must be one of ours, and a page that sends one must come from the app itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

COOKIE = "samspine_token"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    return host in (*LOOPBACK, "::1")


@dataclass(frozen=True)
class Guard:
    """The rules: with a `token`, it must be in the address or the cookie; without one, only this machine's names."""

    token: str | None = None

    def refusal(self, *, host: str, origin: str | None, given: str | None) -> str | None:
        """Return why a request is refused, or None.

        Args:
            host: that the request names, with or without a port.
            origin: of the page that sends it, None if it names none.
            given: the token in address or cookie.
        """
        if origin is not None and urlsplit(origin).netloc != host:
            return "This page may not talk to SAMSpine"
        if self.token is None:
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            return None if name in LOOPBACK else "SAMSpine answers under the name of this machine only"
        if given is None or not secrets.compare_digest(given.encode(), self.token.encode()):
            return "Open SAMSpine with the whole address that it has printed, token included"
        return None


def middleware(guard: Guard) -> Callable[[web.Request, _Handler], Awaitable[web.StreamResponse]]:
    """Return the guard as aiohttp wants it; a token in the address moves into a cookie, so that it is shown once."""

    @web.middleware
    async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
        given = request.query.get("token", request.cookies.get(COOKIE))
        refused = guard.refusal(host=request.host, origin=request.headers.get("Origin"), given=given)
        if refused is not None:
            return web.Response(status=403, text=refused)
        if guard.token is not None and "token" in request.query:
            moved = web.HTTPFound("index.html")
            moved.set_cookie(COOKIE, guard.token, httponly=True, samesite="Strict")
            raise moved
        return await handler(request)

    return guarded
