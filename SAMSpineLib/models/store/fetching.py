"""Download one file: go on where it stopped, try again, believe nothing but the checksum."""

from __future__ import annotations

import shutil
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from SAMSpineLib.errors import ModelError, OutputError
from SAMSpineLib.models.registry import checksum
from SAMSpineLib.models.store.partial_file import PartialFile
from SAMSpineLib.models.store.server_answer import Interrupted, read_answer, refused
from SAMSpineLib.progress import Counted

BLOCK = 1 << 20
MB = 10**6


@dataclass(frozen=True)
class Patience:
    """When an attempt is given up, and when all of it is.

    Attributes:
        stall: seconds; less than `trickle` bytes within them is a connection that has stalled.
        trickle: bytes.
        attempts: how many in a row may bring nothing new.
        pause: seconds before the second attempt; doubles with each that brings nothing.
    """

    stall: float = 30.0
    trickle: int = 1024
    attempts: int = 4
    pause: float = 1.0


@dataclass(frozen=True)
class Wanted:
    """A file that is to be had.

    Attributes:
        address: where, http or https.
        target: what it shall be called here.
        bytes: its size, if that is known for certain.
        sha256: its checksum, if that is.
        room: how much more space (bytes for each of its bytes) is needed for what is made of it.
    """

    address: str
    target: Path
    bytes: int | None = None
    sha256: str | None = None
    room: float = 0.0
    part: PartialFile = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what is no address of a file server."""
        object.__setattr__(self, "part", PartialFile(self.target))
        if urlsplit(self.address).scheme not in {"http", "https"} or not urlsplit(self.address).hostname:
            msg = f"'{self.address}' is no address to download from; it begins with https:// or http://"
            raise ModelError(msg)


def fetch(wanted: Wanted, progress: Counted | None = None, patience: Patience | None = None) -> str:
    """Download a file to its target and return its SHA-256.

    What has arrived stays when this fails or is interrupted, and the next call goes on from there, if the server says
    that its file is the same. The target exists once its checksum is right, and not before.

    Args:
        wanted: what, from where.
        progress: called with megabytes; what it raises ends the download.
        patience: how often to try again.

    Raises:
        ModelError: if the server cannot be reached, has no such file, or has another than expected.
        OutputError: if there is no room for it, or it cannot be written.
    """
    if wanted.sha256 is not None and wanted.target.is_file() and checksum(wanted.target) == wanted.sha256:
        return wanted.sha256
    again = wanted.part.size > 0
    while True:
        _complete(wanted, progress, patience or Patience())
        found = checksum(wanted.part.path)
        if wanted.sha256 in {None, found}:
            wanted.part.finish()
            return found
        wanted.part.discard()
        if not again:
            break
        again = False  # put together from two different files, perhaps: once more, from the beginning
    msg = (
        f"{wanted.address} is not the file that was published: expected SHA-256 {wanted.sha256}, got {found}; it was "
        "deleted. Try again, or another mirror"
    )
    raise ModelError(msg)


def _complete(wanted: Wanted, progress: Counted | None, patience: Patience) -> None:
    """Try until all of the file has arrived."""
    best, fruitless = wanted.part.size, 0
    while True:
        try:
            return _receive(wanted, progress, patience)
        except Interrupted as interrupted:
            fruitless = 0 if wanted.part.size > best else fruitless + 1
            best = max(best, wanted.part.size)
            if fruitless >= patience.attempts:
                msg = (
                    f"{wanted.address} cannot be had now: {interrupted}; tried {fruitless} times. What has arrived "
                    f"({best} bytes) is kept: the same command goes on from there"
                )
                raise ModelError(msg) from interrupted
            time.sleep(max(interrupted.wait, patience.pause * 2 ** max(fruitless - 1, 0)))


def _receive(wanted: Wanted, progress: Counted | None, patience: Patience) -> None:
    """Ask once for what is missing and keep what comes."""
    part = wanted.part
    known = part.origin(wanted.address)
    have = part.size if known is not None else 0
    if known is not None and have == known.bytes:
        return
    headers = {"User-Agent": "SAMSpine", "Accept-Encoding": "identity"}
    if known is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator}
    with _opened(Request(wanted.address, headers=headers), wanted, patience) as response:
        try:
            answer = read_answer(response, wanted.address, known, have)
        except Interrupted:
            part.discard()
            raise
        total = answer.origin.bytes or wanted.bytes
        _check_size(wanted, total)
        _check_room(wanted, answer.start, total)
        if answer.start == 0:
            part.begin(answer.origin)
        for block in _blocks(response, patience):
            part.append(block)
            if total is not None and part.size > total:
                _check_size(wanted, part.size)
            if progress is not None and total:
                progress(min(part.size, total) // MB, -(-total // MB), f"{part.size / MB:.1f} of {total / MB:.1f} MB")
    if total is not None and part.size != total:
        msg = f"the connection ended after {part.size} of {total} bytes"
        raise Interrupted(msg)


def _opened(request: Request, wanted: Wanted, patience: Patience) -> HTTPResponse:
    """Return the server's answer, before the file itself."""
    try:
        response: HTTPResponse = build_opener(_SafeRedirects).open(request, timeout=patience.stall)
    except HTTPError as error:
        if error.code == 416:  # more has arrived than the file has now
            wanted.part.discard()
            msg = "the file on the server has changed"
            raise Interrupted(msg) from error
        raise refused(error, wanted.address) from error
    except (URLError, OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            msg = f"{wanted.address} cannot be trusted: {reason.verify_message}; check the clock and the proxy"
            raise ModelError(msg) from error
        raise Interrupted(str(reason) or type(reason).__name__) from error
    return response


def _blocks(response: HTTPResponse, patience: Patience) -> Iterator[bytes]:
    """Yield what arrives, until the server ends or stalls."""
    began, arrived = time.monotonic(), 0
    while True:
        try:
            block = response.read1(BLOCK)
        except TimeoutError as error:
            msg = f"nothing has arrived for {patience.stall:g} s"
            raise Interrupted(msg) from error
        except (OSError, HTTPException) as error:
            raise Interrupted(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block
        arrived += len(block)
        if time.monotonic() - began > patience.stall:
            if arrived < patience.trickle:
                msg = f"only {arrived} bytes have arrived in {patience.stall:g} s"
                raise Interrupted(msg)
            began, arrived = time.monotonic(), 0


def _check_size(wanted: Wanted, total: int | None) -> None:
    """Refuse another file before it is downloaded."""
    if wanted.bytes is not None and total is not None and total != wanted.bytes:
        wanted.part.discard()
        msg = (
            f"{wanted.address} is not the file that was published: the server offers {total} bytes, expected "
            f"{wanted.bytes}; try again, or another mirror"
        )
        raise ModelError(msg)


def _check_room(wanted: Wanted, start: int, total: int | None) -> None:
    """Refuse to begin what cannot be finished."""
    check_room(wanted.target.parent, int(((total or 0) - start) + wanted.room * (total or 0)))


def check_room(folder: Path, needed: int) -> None:
    """Make sure that a folder, made already or not, has room for so many bytes.

    Raises:
        OutputError: if it has not.
    """
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        msg = f"{folder} has room for {free / MB:.0f} MB, {needed / MB:.0f} MB are needed: make room, or name another "
        raise OutputError(msg + "folder in SAMSPINE_MODELS")


class _SafeRedirects(HTTPRedirectHandler):
    """Follow a server that sends elsewhere, but never from an encrypted connection to one that is not."""

    def redirect_request(  # noqa: PLR0913 - the base class's
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Refuse to leave https."""
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            text = f"{req.full_url} sends on to {newurl}, which is not encrypted; name a mirror that is"
            raise ModelError(text)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
