"""The embedded server: nobody without a key, nobody beyond their own subjects."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import nats.errors
import pytest
from safehand_bus import auth, provision, topology
from safehand_bus.connection import Connection, Counters, connect
from safehand_bus.link import NatsLink
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
            asyncio.run(_try(NatsLink(bus.server.url, "consent", seed, bus.tls["consent"])))
    asyncio.run(_try(bus.link("consent")))


def test_the_server_listens_on_loopback_and_keeps_its_directory_private(bus: Bus) -> None:
    configuration = (bus.server.directory / "nats.conf").read_text()
    assert '"host": "127.0.0.1"' in configuration
    assert '"sync_interval": "always"' in configuration
    assert not re.search(r"\bSU[A-Z2-7]{50,}", configuration)  # public keys only
    for directory in (bus.server.directory, bus.server.store):
        assert directory.stat().st_mode & 0o077 == 0
    assert Path(f"/proc/{bus.server.pid}/exe").readlink().name == "nats-server"


OTHERS = {"consent": "referral", "referral": "consent", "notify": "consent", "provision": "consent"}
"""Somebody else, for each user."""
NOBODY_MAY = (
    "$JS.API.STREAM.CREATE.OTHER",
    "$JS.API.STREAM.DELETE.CONSENT",
    "$JS.API.STREAM.PURGE.CONSENT",
    "$JS.API.STREAM.MSG.DELETE.CONSENT",
    "$JS.API.STREAM.SNAPSHOT.CONSENT",
    "$JS.API.STREAM.RESTORE.OTHER",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.CONSUMER.DELETE.CONSENT.notify",
    "$JS.API.CONSUMER.CREATE.CONSENT.spy",
    "$JS.API.CONSUMER.DURABLE.CREATE.CONSENT.spy",
    "$JS.API.CONSUMER.CREATE.CONSENT",
    "$JS.API.INFO",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.APP.CONNZ",
    "anything.else",
    "bus.STREAM.DELETE.CONSENT",
    "bus.CONSUMER.DELETE.CONSENT.notify",
    "bus.CONSUMER.CREATE.CONSENT.spy",
)
SERVICES_MAY_NOT = (
    "$JS.API.STREAM.CREATE.CONSENT",
    "$JS.API.STREAM.UPDATE.CONSENT",
    "$JS.API.CONSUMER.CREATE.CONSENT.notify",
    "$JS.API.CONSUMER.DURABLE.CREATE.CONSENT.notify",
    "$JS.API.CONSUMER.LIST.CONSENT",
    "bus.STREAM.UPDATE.CONSENT",
    "bus.CONSUMER.LIST.CONSENT",
)
REFUSED_BESIDES = (
    ("consent", "safehand.v1.referral.created"),
    ("consent", "bus.CONSUMER.MSG.NEXT.CONSENT.notify"),
    ("consent", "bus.STREAM.INFO.REFERRAL"),
    ("consent", "$JS.API.STREAM.INFO.CONSENT"),
    ("consent", "$JS.ACK.CONSENT.notify.1.1.1.1.0"),
    ("referral", "safehand.v1.consent.ended"),
    ("referral", "bus.STREAM.MSG.GET.CONSENT"),
    ("referral", "bus.CONSUMER.MSG.NEXT.CONSENT.notify"),
    ("referral", "bus.CONSUMER.MSG.NEXT.REFERRAL.notify"),
    ("notify", "safehand.v1.consent.ended"),
    ("notify", "safehand.v1.referral.created"),
    ("notify", "bus.STREAM.INFO.CONSENT"),
    ("notify", "bus.STREAM.MSG.GET.CONSENT"),
    ("notify", "bus.CONSUMER.MSG.NEXT.CONSENT.referral"),
    ("notify", "$JS.ACK.CONSENT.referral.1.1.1.1.0"),
    ("provision", "safehand.v1.consent.ended"),
    ("provision", "$JS.API.STREAM.MSG.GET.CONSENT"),
    ("provision", "$JS.API.CONSUMER.MSG.NEXT.CONSENT.notify"),
)


async def _refused(connection: Connection, counters: Counters, number: int, subject: str) -> None:
    """The server has answered, and what it said has been counted."""
    await connection.client.flush()
    for _ in range(500):
        if counters["errors"] >= number:
            break
        await asyncio.sleep(0.01)
    assert counters["errors"] == number, subject


@pytest.mark.parametrize("user", topology.USERS)
def test_nobody_may_publish_beyond_their_own(bus: Bus, user: str) -> None:
    """A refusal comes as an error on the connection; each is counted, for each subject."""
    counters = Counters()
    subjects = [*NOBODY_MAY, *(subject for who, subject in REFUSED_BESIDES if who == user)]
    subjects += [] if user == topology.PROVISIONER else SERVICES_MAY_NOT

    async def main() -> None:
        link = bus.provisioner() if user == topology.PROVISIONER else bus.link(user)
        async with connect(link, counters) as connection:
            for number, subject in enumerate(subjects, start=1):
                await connection.client.publish(subject, b"")
                await _refused(connection, counters, number, subject)

    asyncio.run(main())
    last = bus.do("consent", _last)
    assert last == 0


async def _last(connection: Connection) -> int:
    return int((await connection.js.stream_info("CONSENT")).state.last_seq)


@pytest.mark.parametrize("user", topology.USERS)
def test_nobody_may_listen_beyond_their_own_replies(bus: Bus, user: str) -> None:
    counters = Counters()
    subjects = (
        "safehand.v1.>",
        "safehand.v1.consent.ended",
        f"_INBOX_{OTHERS[user]}.>",
        "_INBOX.>",
        "$JS.API.>",
        "$JS.EVENT.ADVISORY.>",
        "$SYS.>",
        ">",
    )

    async def main() -> None:
        link = bus.provisioner() if user == topology.PROVISIONER else bus.link(user)
        async with connect(link, counters) as connection:
            for number, subject in enumerate(subjects, start=1):
                await connection.client.subscribe(subject)
                await _refused(connection, counters, number, subject)

    asyncio.run(main())


def test_the_system_account_has_no_user(bus: Bus) -> None:
    settings = json.loads((bus.server.directory / "nats.conf").read_text())
    assert settings["system_account"] == "SYS"
    assert settings["accounts"]["SYS"]["users"] == []
    accounts = settings["accounts"]
    assert set(accounts) == {"SYS", "APP", "CONSENT", "REFERRAL", "NOTIFY"}
    assert {name: len(account["users"]) for name, account in accounts.items()} == {
        "SYS": 0,
        "APP": 1,
        "CONSENT": 1,
        "REFERRAL": 1,
        "NOTIFY": 1,
    }
    assert "no_auth_user" not in settings


def test_a_user_of_one_service_is_no_other(bus: Bus) -> None:
    """Rights hang on the key, whatever name a client gives itself."""
    counters = Counters()
    link = replace(bus.link("notify"), user="consent")

    async def main() -> None:
        async with connect(link, counters) as connection:
            await connection.client.publish("safehand.v1.consent.ended", b"")
            await _refused(connection, counters, 1, "consent's own")

    asyncio.run(main())


BY_REPLY = (
    "$JS.API.STREAM.DELETE.CONSENT",
    "bus.STREAM.DELETE.CONSENT",
    "$JS.API.STREAM.PURGE.CONSENT",
    "$JS.API.CONSUMER.DELETE.CONSENT.notify",
    "safehand.v1.consent.ended",
)
"""What a request may name as the subject to answer to, though nobody might publish there."""


@pytest.mark.parametrize("target", BY_REPLY)
@pytest.mark.parametrize("user", ["referral", "notify"])
def test_no_answer_of_the_server_does_what_its_asker_may_not(
    bus: Bus, user: str, target: str
) -> None:
    """A server sends its answers with its own rights, to the subject that the asker named."""

    async def publish(connection: Connection) -> None:
        await connection.js.publish("safehand.v1.consent.ended", b"x")

    async def attack(connection: Connection) -> None:
        subject = f"{connection.api}.CONSUMER.MSG.NEXT.CONSENT.{user}"
        take = json.dumps({"batch": 5, "no_wait": True}).encode()
        for _ in range(3):  # the message, and then what is said of there being no other
            await connection.client.publish(subject, take, reply=target)
        if user == "referral":
            info = f"{connection.api}.STREAM.INFO.REFERRAL"
            await connection.client.publish(info, b"", reply=target)
        # The server answers in order: this one behind all of them.
        with contextlib.suppress(nats.errors.Error):
            await connection.client.request(subject, take, timeout=2)

    async def left(connection: Connection) -> tuple[int, int]:
        found = await connection.js.stream_info("CONSENT")
        return found.state.messages, found.state.consumer_count

    bus.do("consent", publish)
    bus.do(user, attack)
    assert bus.do("consent", left) == (1, 2)


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
