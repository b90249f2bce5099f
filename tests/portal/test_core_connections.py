"""Connections that send nothing, or half of something: closed soon, and never too many."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from safehand_portal_service import server

from tests.harness.world import eventually
from tests.portal.open_app import nobody, opened

SOON_S = 0.2
NEVER_S = 600.0
WAIT_S = 10.0
GET = b"GET /find HTTP/1.1\r\nHost: localhost\r\n"
POST = (
    b"POST /find HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\n"
)
BODY = b"need=housing"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with opened(tmp_path, nobody()) as found:
        yield found


def line(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def rest(one: socket.socket) -> bytes:
    """All that comes until the other side closes. Fails where it does not."""
    found = b""
    try:
        while more := one.recv(65536):
            found += more
    except ConnectionError:
        pass
    return found


def page(one: socket.socket) -> None:
    """Read a whole page, and leave the connection open."""
    found = b""
    while b"</html>" not in found:
        more = one.recv(65536)
        assert more, found
        found += more


@pytest.mark.parametrize("sent", [b"", b"G", GET, b"\r\n"], ids=["nothing", "byte", "half", "line"])
def test_a_head_that_does_not_come_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch, port: int, sent: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_S", SOON_S)
    monkeypatch.setattr(server, "BODY_S", NEVER_S)
    with line(port) as one:
        one.sendall(sent)
        assert rest(one) == b""


@pytest.mark.parametrize("sent", [b"G", GET, b"\r\n"], ids=["byte", "half", "line"])
def test_so_does_the_head_of_a_second_request(
    monkeypatch: pytest.MonkeyPatch, port: int, sent: bytes
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_S", NEVER_S)
    with line(port) as one:
        one.sendall(GET + b"\r\n")
        page(one)
        monkeypatch.setattr(server, "HEAD_S", SOON_S)
        one.sendall(sent)
        assert rest(one) == b""


def test_a_form_that_does_not_come_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setattr(server, "BODY_S", SOON_S)
    with line(port) as one:
        one.sendall(POST + BODY[:5])
        assert b"200 OK" not in rest(one)


def test_so_does_one_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """The address takes no form: the page that everybody gets may be sent before it is whole."""
    monkeypatch.setattr(server, "BODY_S", SOON_S)
    with line(port) as one:
        one.sendall(POST.replace(b"/find", b"/list") + BODY[:5])
        rest(one)


def test_who_sends_it_in_time_is_answered_and_kept(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    with line(port) as one:
        for _ in range(2):
            one.sendall(POST[:20])
            one.sendall(POST[20:] + BODY[:5])
            one.sendall(BODY[5:])
            page(one)
        # Nothing is due any more: the time between two presses is another one.
        monkeypatch.setattr(server, "HEAD_S", NEVER_S)
        one.sendall(GET + b"\r\n")
        page(one)


def test_no_more_connections_than_the_portal_can_hold(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)
    monkeypatch.setattr(server, "HEAD_S", NEVER_S)
    with ExitStack() as held:
        lines = [held.enter_context(line(port)) for _ in range(3)]
        for one in lines:
            one.sendall(GET + b"\r\n")
            page(one)
        with line(port) as more:
            assert rest(more) == b""
        lines.pop().close()

        def answered() -> bool:
            with line(port) as again:
                try:
                    again.sendall(GET + b"Connection: close\r\n\r\n")
                except ConnectionError:
                    return False
                return b"200 OK" in rest(again)

        eventually(answered, "a place that somebody left is free")
