"""Downloads from a server that stalls, truncates, forgets, changes its mind and lies."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from SAMSpineLib.errors import Cancelled, ModelError, OutputError
from SAMSpineLib.models.store import fetching
from SAMSpineLib.models.store.fetching import Wanted, fetch

from .conftest import HASTE, Asked, FileServer

HALF = 100_000


@pytest.fixture
def wanted(server: FileServer, tmp_path: Path) -> Wanted:
    """Give the server's file as it should be."""
    return Wanted(server.address, tmp_path / "file.pth", len(server.content), server.sha256)


def stalls(asked: Asked) -> None:
    asked.right(upto=HALF)
    asked.server.gone.wait(20)


def trickles(asked: Asked) -> None:
    """Send 20 bytes a second, then all the rest to whoever has put up with that for two seconds."""
    asked.head(200, Content_Length=len(asked.server.content))
    for at in range(40):
        if asked.server.gone.wait(0.05):
            return
        asked.body(asked.server.content[at : at + 1])
    asked.body(asked.server.content[40:])


def truncates(asked: Asked) -> None:
    asked.right(upto=HALF)


def ignores_the_range(asked: Asked) -> None:
    asked.head(200, Content_Length=len(asked.server.content))
    asked.body(asked.server.content)


def answers(code: int, **headers: object) -> Any:
    return lambda asked: asked.head(code, **headers)


def is_busy(asked: Asked) -> None:
    asked.head(503, Retry_After=0)


def arrived(wanted: Wanted, server: FileServer) -> bool:
    return wanted.target.read_bytes() == server.content and [wanted.target] == list(wanted.target.parent.iterdir())


def test_a_good_server_is_asked_once(server: FileServer, wanted: Wanted) -> None:
    assert fetch(wanted, None, HASTE) == server.sha256
    assert arrived(wanted, server)
    assert [asked.range for asked in server.asked] == [None]


@pytest.mark.parametrize("mood", [stalls, truncates])
def test_what_stalls_or_ends_early_is_gone_on_with_where_it_stopped(
    server: FileServer, wanted: Wanted, mood: Any
) -> None:
    server.moods = [mood]
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)
    assert [asked.range for asked in server.asked] == [None, f"bytes={HALF}-"]


def test_a_trickle_counts_as_a_stall(server: FileServer, wanted: Wanted) -> None:
    server.moods = [trickles]
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)
    assert len(server.asked) == 2


def test_a_server_that_never_gets_further_is_given_up_and_what_came_is_kept(server: FileServer, wanted: Wanted) -> None:
    server.moods = [truncates] * 9
    with pytest.raises(ModelError, match=rf"ended after {HALF} of 200000 bytes; tried 3 times.*goes on from there"):
        fetch(wanted, None, HASTE)
    assert not wanted.target.exists()
    server.moods = []
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)
    assert server.asked[-1].range == f"bytes={HALF}-"


def test_a_server_that_gets_a_little_further_each_time_is_not_given_up(server: FileServer, wanted: Wanted) -> None:
    server.moods = [lambda asked, upto=upto: asked.right(upto=upto) for upto in range(20_000, 200_000, 20_000)]
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)
    assert len(server.asked) == 10 > HASTE.attempts


def test_a_server_that_ignores_the_range_is_taken_from_the_beginning(server: FileServer, wanted: Wanted) -> None:
    server.moods = [truncates, ignores_the_range]
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)


def test_a_file_that_has_changed_between_two_attempts_is_not_put_together_from_both(
    server: FileServer, wanted: Wanted
) -> None:
    def changes(asked: Asked) -> None:
        asked.right(upto=HALF)
        server.content, server.tag = server.content[::-1], '"two"'

    server.moods = [changes]
    fetch(replace(wanted, sha256=hashlib.sha256(server.content[::-1]).hexdigest()), None, HASTE)
    assert arrived(wanted, server)
    assert [asked.start for asked in server.asked] == [0, 0]


def test_a_change_that_the_server_conceals_is_found_by_the_checksum_and_mended(
    server: FileServer, wanted: Wanted
) -> None:
    server.moods = [truncates] * 9
    with pytest.raises(ModelError, match="goes on from there"):
        fetch(wanted, None, HASTE)
    server.content, server.moods = server.content[::-1], []
    fetch(replace(wanted, sha256=server.sha256), None, HASTE)
    assert arrived(wanted, server)
    assert [asked.range for asked in server.asked[-2:]] == [f"bytes={HALF}-", None]


def test_a_change_of_length_that_the_server_conceals_is_noticed_without_a_checksum(
    server: FileServer, wanted: Wanted
) -> None:
    unchecked = replace(wanted, bytes=None, sha256=None)
    server.moods = [truncates] * 9
    with pytest.raises(ModelError, match="goes on from there"):
        fetch(unchecked, None, HASTE)
    server.content, server.moods = server.content[::-1] + b"more", []
    assert fetch(unchecked, None, HASTE) == server.sha256
    assert arrived(wanted, server)
    assert [asked.range for asked in server.asked[4:]] == [f"bytes={HALF}-", None]


def test_what_came_from_one_address_is_not_gone_on_with_from_another(server: FileServer, wanted: Wanted) -> None:
    server.moods = [truncates] * 9
    with pytest.raises(ModelError, match="goes on from there"):
        fetch(wanted, None, HASTE)
    server.content, server.moods = server.content[::-1], []
    elsewhere = replace(wanted, address=f"{wanted.address}?mirror", sha256=server.sha256)
    fetch(elsewhere, None, HASTE)
    assert [asked.range for asked in server.asked[4:]] == [None]


def test_a_file_that_has_become_shorter_is_fetched_anew(server: FileServer, wanted: Wanted) -> None:
    server.moods = [truncates] * 9
    with pytest.raises(ModelError, match="goes on from there"):
        fetch(wanted, None, HASTE)
    server.content, server.moods = server.content[:HALF], []
    fetch(replace(wanted, bytes=HALF, sha256=server.sha256), None, HASTE)
    assert arrived(wanted, server)


def test_without_a_version_to_ask_for_nothing_is_resumed(server: FileServer, wanted: Wanted) -> None:
    server.tag, server.moods = None, [truncates]
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)
    assert [asked.range for asked in server.asked] == [None, None]


def test_a_weak_tag_does_not_count_as_a_version(server: FileServer, wanted: Wanted) -> None:
    server.tag, server.moods = 'W/"one"', [truncates]
    fetch(wanted, None, HASTE)
    assert [asked.range for asked in server.asked] == [None, None]


@pytest.mark.parametrize("claimed", [HALF, 250_000])
def test_a_wrong_length_of_a_known_file_is_refused_before_it_is_downloaded(
    server: FileServer, wanted: Wanted, claimed: int
) -> None:
    server.moods = [answers(200, Content_Length=claimed)]
    with pytest.raises(ModelError, match=f"offers {claimed} bytes, expected 200000"):
        fetch(wanted, None, HASTE)
    assert not list(wanted.target.parent.iterdir())


def test_a_length_that_is_promised_but_never_comes_is_given_up(server: FileServer, wanted: Wanted) -> None:
    def promises_too_much(asked: Asked) -> None:
        asked.head(200, Content_Length=250_000)
        asked.body(server.content)

    server.tag, server.moods = None, [promises_too_much] * 9
    with pytest.raises(ModelError, match="ended after 200000 of 250000 bytes"):
        fetch(replace(wanted, bytes=None, sha256=None), None, HASTE)
    assert not wanted.target.exists()


def test_a_server_that_says_no_length_and_sends_too_much_is_stopped(server: FileServer, wanted: Wanted) -> None:
    def floods(asked: Asked) -> None:
        asked.head(200)
        asked.body(server.content * 2)

    server.moods = [floods]
    with pytest.raises(ModelError, match="not the file that was published"):
        fetch(wanted, None, HASTE)
    assert not list(wanted.target.parent.iterdir())


def test_wrong_bytes_of_the_right_length_are_deleted_and_named(server: FileServer, wanted: Wanted) -> None:
    expected, server.content = server.sha256, server.content[::-1]
    with pytest.raises(ModelError, match=f"expected SHA-256 {expected}, got {server.sha256}; it was deleted"):
        fetch(wanted, None, HASTE)
    assert not list(wanted.target.parent.iterdir())


def test_a_file_of_which_no_checksum_is_known_tells_its_own(server: FileServer, wanted: Wanted) -> None:
    assert fetch(replace(wanted, bytes=None, sha256=None), None, HASTE) == server.sha256


def test_a_busy_server_is_asked_again(server: FileServer, wanted: Wanted) -> None:
    server.moods = [is_busy, is_busy]
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)


def test_a_server_that_stays_busy_is_given_up(server: FileServer, wanted: Wanted) -> None:
    server.moods = [is_busy] * 9
    with pytest.raises(ModelError, match="answered 503 Service Unavailable; tried 3 times"):
        fetch(wanted, None, HASTE)
    assert len(server.asked) == 3


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_not_asked_for_twice(server: FileServer, wanted: Wanted, code: int) -> None:
    server.moods = [answers(code)]
    with pytest.raises(ModelError, match=f"answered {code} .*mirror"):
        fetch(wanted, None, HASTE)
    assert len(server.asked) == 1


def test_a_page_for_people_is_no_file(server: FileServer, wanted: Wanted) -> None:
    server.moods = [answers(200, Content_Type="text/html; charset=utf-8")]
    with pytest.raises(ModelError, match="a page for people"):
        fetch(replace(wanted, bytes=None, sha256=None), None, HASTE)


def test_a_part_that_nobody_asked_for_is_not_appended(server: FileServer, wanted: Wanted) -> None:
    def sends_another_part(asked: Asked) -> None:
        asked.head(206, Content_Length=10, Content_Range="bytes 5-14/200000")
        asked.body(b"0123456789")

    server.moods = [truncates, sends_another_part]
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)


def test_a_server_that_is_not_there_is_an_error_of_one_sentence(tmp_path: Path, server: FileServer) -> None:
    nobody = Wanted("http://127.0.0.1:9/file", tmp_path / "file")
    with pytest.raises(ModelError, match=r"cannot be had now: .*refused.* tried 3 times"):
        fetch(nobody, None, HASTE)


def test_an_encrypted_address_does_not_lead_to_one_that_is_not(server: FileServer, wanted: Wanted) -> None:
    from urllib.request import Request

    redirects = fetching._SafeRedirects()
    with pytest.raises(ModelError, match="not encrypted"):
        redirects.redirect_request(Request("https://a.example/f"), None, 302, "", {}, "http://b.example/f")
    server.moods = [answers(302, Location=server.address)]
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)


def test_a_server_that_nobody_vouches_for_is_not_trusted_and_not_asked_twice(
    server: FileServer, tmp_path: Path
) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out",
         tmp_path / "cert", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("needs openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        listening.handle_error = lambda *_: None
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        wanted = Wanted(f"https://127.0.0.1:{listening.server_address[1]}/f", tmp_path / "f")
        with pytest.raises(ModelError, match="cannot be trusted: self.signed certificate"):
            fetch(wanted, None, HASTE)
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://example.org/f", "sam.pth", "https://"])
def test_what_is_no_address_of_a_file_server_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ModelError, match="no address to download from"):
        Wanted(address, tmp_path / "file")


def test_a_disk_without_room_is_named_before_anything_is_written(
    server: FileServer, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(wanted.target.parent)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage._replace(free=300_000))
    with pytest.raises(OutputError, match=r"has room for 0 MB, 0 MB are needed.*SAMSPINE_MODELS"):
        fetch(replace(wanted, room=1.0), None, HASTE)
    assert not list(wanted.target.parent.iterdir())
    fetch(replace(wanted, room=0.4), None, HASTE)


def test_a_disk_that_becomes_full_is_named_and_what_came_is_kept(
    server: FileServer, wanted: Wanted, no_file_above: Any
) -> None:
    server.moods = [truncates]
    with no_file_above(150_000), pytest.raises(OutputError, match="cannot be written: File too large"):
        fetch(wanted, None, HASTE)
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)


def test_progress_counts_to_the_end_and_can_end_it(server: FileServer, wanted: Wanted) -> None:
    server.content = b"x" * 3_000_000
    whole = replace(wanted, bytes=len(server.content), sha256=server.sha256)
    told: list[tuple[int, int, str]] = []
    fetch(whole, lambda *count: told.append(count), HASTE)
    assert told[-1] == (3, 3, "3.0 of 3.0 MB")
    whole.target.unlink()

    def stop(*_: object) -> None:
        msg = "enough"
        raise Cancelled(msg)

    with pytest.raises(Cancelled):
        fetch(whole, stop, HASTE)
    assert whole.part.size > 0
    fetch(whole, None, HASTE)
    assert arrived(whole, server)
    assert server.asked[-1].range is not None


def test_a_download_that_was_ended_at_its_last_byte_asks_for_nothing_more(server: FileServer, wanted: Wanted) -> None:
    def stop_at_the_end(*_: object) -> None:
        if wanted.part.size == len(server.content):
            msg = "enough"
            raise Cancelled(msg)

    with pytest.raises(Cancelled):
        fetch(wanted, stop_at_the_end, HASTE)
    fetch(wanted, None, HASTE)
    assert arrived(wanted, server)
    assert len(server.asked) == 1


def test_a_file_that_arrived_whole_before_is_not_asked_for_again(server: FileServer, wanted: Wanted) -> None:
    fetch(wanted, None, HASTE)
    fetch(wanted, None, HASTE)
    assert len(server.asked) == 1
