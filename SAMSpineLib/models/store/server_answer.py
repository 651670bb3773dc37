"""What a server of files says before it sends one (RFC 9110), and what of it can be believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.error import HTTPError

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.store.partial_file import Origin

LONGEST_WAIT = 60.0
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class Interrupted(Exception):  # noqa: N818 - nothing is wrong that another attempt may not mend
    """A connection that has failed, stalled or ended early; `wait` is how long the server asks to stay away (s)."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        """Say why."""
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Answer:
    """What is about to arrive: bytes from `start` on, of a file that `origin` describes."""

    start: int
    origin: Origin


def read_answer(response: HTTPResponse, address: str, known: Origin | None, have: int) -> Answer:
    """Return what a server is about to send.

    Args:
        response: its answer to a request for the bytes from `have` on, if `known` still holds; else for all.
        address: what was asked for.
        known: where the bytes that are here come from; None if there are none.
        have: how many are here.

    Raises:
        Interrupted: if it sends a part that nobody asked for.
        ModelError: if it sends a page for people.
    """
    if (response.headers.get_content_type() == "text/html") and response.status == 200:
        msg = f"{address} answers with a page for people and not with a file: a login, or a proxy, stands before it"
        raise ModelError(msg)
    if response.status != 206:
        return Answer(0, Origin(address, validator_of(response), _number(response.headers["Content-Length"])))
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers["Content-Range"] or "")
    if known is None or found is None or int(found[1]) != have:
        msg = f"the server sent another part of the file than it was asked for ({response.headers['Content-Range']})"
        raise Interrupted(msg)
    total = _number(found[3])
    if known.bytes is not None and total is not None and total != known.bytes:
        msg = f"the file on the server has changed: it had {known.bytes} bytes, now it has {total}"
        raise Interrupted(msg)
    return Answer(have, known)


def refused(error: HTTPError, address: str) -> Interrupted:
    """Return the error that is worth another attempt.

    Raises:
        ModelError: if none is.
    """
    with error:
        if error.code in _PASSING:
            wait = _number(error.headers["Retry-After"]) or 0
            return Interrupted(f"the server answered {error.code} {error.reason}", min(float(wait), LONGEST_WAIT))
    remedy = "see whether the address has moved, name a mirror, or get the file elsewhere and `samspine models add` it"
    msg = f"{address} cannot be had: the server answered {error.code} {error.reason}; {remedy}"
    raise ModelError(msg)


def validator_of(response: HTTPResponse) -> str:
    """Return what tells one version of a file from another: a strong ETag, else its date, else nothing."""
    tag = response.headers["ETag"] or ""
    return tag if tag.startswith('"') else response.headers["Last-Modified"] or ""


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
