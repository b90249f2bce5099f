"""The embedded server: nobody without a key, nobody beyond their own subjects."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import nats.errors
import pytest
from safehand_bus import auth, provision, topology
from safehand_bus.connection import Connection, Counters, NatsLink, connect
from safehand_bus.server import NatsServer
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.bus.world import Bus


async def _try(link: NatsLink) -> None:
    async with connect(link, Counters()) as connection:
        await connection.client.flush()


def test_a_stranger_is_refused(bus: Bus, tmp_path: Path) -> None:
    other = tmp_path / "other.seed"
    auth.ensure_seed(other)
    for seed in (None, other):
        with pytest.raises(nats.errors.Error):
            asyncio.run(_try(NatsLink(bus.server.url, "consent", seed)))
    asyncio.run(_try(bus.link("consent")))


def test_the_server_listens_on_loopback_and_keeps_its_directory_private(bus: Bus) -> None:
    configuration = (bus.server.directory / "nats.conf").read_text()
    assert '"host": "127.0.0.1"' in configuration
    assert '"sync_interval": "always"' in configuration
    assert not re.search(r"\bSU[A-Z2-7]{50,}", configuration)  # public keys only
    for directory in (bus.server.directory, bus.server.store):
        assert directory.stat().st_mode & 0o077 == 0
    assert bus.server.executable.name == "nats-server"
    assert Path(f"/proc/{bus.server.pid}/exe").resolve() == bus.server.executable


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("consent", "safehand.v1.referral.created"),
        ("referral", "safehand.v1.consent.ended"),
        ("notify", "safehand.v1.consent.ended"),
        ("notify", "$JS.API.CONSUMER.MSG.NEXT.CONSENT.referral"),
        ("notify", "$JS.API.STREAM.DELETE.CONSENT"),
        ("consent", "$JS.API.STREAM.DELETE.CONSENT"),
        ("consent", "$JS.API.STREAM.CREATE.OTHER"),
        ("consent", "$JS.API.CONSUMER.MSG.NEXT.CONSENT.notify"),
    ],
)
def test_a_service_may_not_publish_beyond_its_own(bus: Bus, user: str, subject: str) -> None:
    counters = Counters()

    async def main() -> None:
        async with connect(bus.link(user), counters) as connection:
            with pytest.raises(nats.errors.TimeoutError):
                await connection.client.request(subject, b"", timeout=0.2)

    asyncio.run(main())
    assert counters["errors"] == 1  # the refusal itself is seen, not only its silence


def test_a_service_may_not_listen_to_another(bus: Bus) -> None:
    counters = Counters()

    async def main() -> None:
        async with connect(bus.link("referral"), counters) as connection:
            for subject in ("safehand.v1.>", "_INBOX_notify.>", ">"):
                await connection.client.subscribe(subject)
            await connection.client.flush()
            await asyncio.sleep(0.2)  # refusals come on their own

    asyncio.run(main())
    assert counters["errors"] == 3


async def _shape(connection: Connection) -> dict[str, list[str]]:
    found = {}
    for stream in topology.STREAMS:
        info = await connection.js.stream_info(stream.name)
        assert info.config.deny_purge
        assert info.config.deny_delete
        consumers = await connection.js.consumers_info(stream.name)
        found[stream.name] = sorted(consumer.name for consumer in consumers)
    return found


def test_provisioning_makes_all_and_repeats_harmlessly(bus: Bus) -> None:
    expected = {"CONSENT": ["notify", "referral"], "REFERRAL": ["notify"]}
    assert bus.do("provision", _shape) == expected
    provision.ensure_blocking(bus.provisioner())
    assert bus.do("provision", _shape) == expected


def test_a_seed_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "consent.seed"
    public = auth.ensure_seed(path)
    assert public == auth.ensure_seed(path)
    assert public.startswith("U")
    path.chmod(0o644)
    with pytest.raises(SafehandError) as refused:
        auth.read_seed(path)
    assert refused.value.reason is Reason.CONFIG_INVALID


def test_a_server_that_cannot_start_says_so(bus: Bus, tmp_path: Path) -> None:
    second = NatsServer(tmp_path / "second", port=bus.server.port)
    with pytest.raises(SafehandError) as refused:
        second.start()
    assert refused.value.reason is Reason.UNAVAILABLE
    assert not second.alive()


def test_an_orderly_stop_ends_the_process(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    server.start()
    pid = server.pid
    server.stop()
    assert not server.alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
