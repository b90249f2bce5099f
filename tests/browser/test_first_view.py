"""What the first view costs, counted at a server: an automated browser hides its icon's request."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests.harness.browser import ARGUMENTS, program
from tests.harness.portal import Portal, asked_for

REQUESTS: Final = 3
WEIGHT_BYTES: Final = 60 * 1024
TIMEOUT_S: Final = 90
"""Bounds a hang."""
LOADED_MS: Final = 3_000
"""Of the browser's own clock, which does not wait: for whatever it asks for behind the page."""


@contextmanager
def before(portal: Portal, asked: dict[str, int]) -> Iterator[str]:
    """A server in front of ``portal``. Notes what was asked for, with the bytes of the answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            encoding = {"Accept-Encoding": self.headers.get("Accept-Encoding", "")}
            answer = asked_for(portal, self.path, headers=encoding)
            head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            asked[self.path] = len(head) + len(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_three_requests_and_sixty_kilobytes(portal: Portal, tmp_path: Path) -> None:
    asked: dict[str, int] = {}
    with before(portal, asked) as url:
        seen = subprocess.run(
            [
                program(),
                "--headless=new",
                *ARGUMENTS,
                f"--user-data-dir={tmp_path}",
                f"--virtual-time-budget={LOADED_MS}",
                "--dump-dom",
                f"{url}/",
            ],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        ).stdout
    assert b"<main" in seen
    assert any(path.endswith(".css") for path in asked), "its looks came too"
    assert any(path.endswith(".js") for path in asked)
    assert len(asked) <= REQUESTS, asked
    assert sum(asked.values()) <= WEIGHT_BYTES, asked
