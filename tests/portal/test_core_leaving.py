"""Leaving waits for nobody: not for a service that is silent, nor for all who wait for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_portal_service.app import App, build
from safehand_portal_service.settings import PortalSettings
from safehand_rpc.ca import DevCa
from safehand_rpc.identity import spiffe_id

from tests.harness.world import eventually
from tests.portal.core_world import EXIT, PHONE, Client

WAITING = 80
"""Requests that wait: twice as many as the portal has threads for pages."""


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a service that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=WAITING) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def portal(tmp_path: Path, silent: str) -> Iterator[App]:
    tls = DevCa.create(tmp_path / "ca").issue(tmp_path / "tls", spiffe_id("service", "portal"))
    values = {
        "PROFILE": "test",
        "DATA_DIR": str(tmp_path / "data"),
        "TLS_CERT": str(tls.cert),
        "TLS_KEY": str(tls.key),
        "TLS_CA": str(tls.ca),
        "CONSENT_ADDRESS": silent,
        "REFERRAL_ADDRESS": silent,
        "PHONE": PHONE,
        "ALLOW_UNREVIEWED": "true",
        "EXIT_URL": EXIT,
    }
    settings = PortalSettings.load({f"SAFEHAND_PORTAL_{k}": v for k, v in values.items()})
    app = build(settings, clock=SystemClock(), entropy=SystemEntropy())
    app.start()
    yield app
    app.stop()


@pytest.mark.slow  # it waits for what is silent
def test_she_leaves_while_everybody_else_waits_for_a_silent_service(portal: App) -> None:
    client = Client(portal.port)
    finished: list[int] = []

    def wait() -> None:
        client.get("/list", b"\x01" * 32)
        finished.append(1)

    others = [threading.Thread(target=wait) for _ in range(WAITING)]
    for one in others:
        one.start()
    eventually(
        lambda: sum("AnyIO worker" in one.name for one in threading.enumerate()) >= WAITING // 2,
        "every thread for pages waits",
    )
    answer = client.get("/x", b"\x02" * 32)
    still = WAITING - len(finished)
    assert (answer.status, answer.header("location")) == (303, EXIT)
    assert answer.header("set-cookie").startswith("__Host-s=;")
    # In one queue with them she would have waited until half of them were answered.
    assert still > WAITING * 3 // 4
    for one in others:
        one.join(60)
