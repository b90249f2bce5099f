"""A page is sent at once: no connection waits for an acknowledgement between headers and body."""

from __future__ import annotations

import socket
from contextlib import closing

from safehand_portal_service import server


def test_what_is_written_is_sent() -> None:
    with (
        closing(server._listen("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        accepted, _ = listening.accept()
        with closing(accepted):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
