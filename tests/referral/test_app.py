"""The process: its settings, its schema, its start, and what it writes down."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand.referral.v1 import referral_pb2, referral_pb2_grpc
from safehand_core import logs, process
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_referral_service import app, main
from safehand_referral_service.settings import ReferralSettings
from safehand_referral_service.tables import METADATA
from safehand_rpc.dial import connect
from safehand_store.engine import open_engine

from tests.harness.database import sqlite_alone
from tests.referral.world import World


def environment(world: World) -> dict[str, str]:
    """The settings of ``world`` as a process gets them, for a second instance of its own."""
    values = {
        "DATA_DIR": world.root / "own-data",
        "KEYS_DIR": world.root / "own-keys",
        "TLS_CERT": world.settings.tls.cert,
        "TLS_KEY": world.settings.tls.key,
        "TLS_CA": world.settings.tls.ca,
        "CONSENT_ADDRESS_FILE": world.root / "consent.address",
        "CONSENT_VKEY_FILE": world.root / "vkey",
        "TOKEN_KEY_FILE": world.root / "token.hex",
        "PROFILE": "test",
    }
    return {f"SAFEHAND_REFERRAL_{name}": str(value) for name, value in values.items()}


def schema(path: Path) -> dict[str, str]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
        ).fetchall()
    connection.close()
    return {name: " ".join(sql.split()) for name, sql in rows}


@sqlite_alone
def test_the_migrations_make_exactly_the_tables_of_the_code(world: World, tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "fresh.sqlite3")
    with engine.begin() as connection:
        METADATA.create_all(connection)
    engine.dispose()
    assert schema(world.root / "data" / "referral.sqlite3") == schema(tmp_path / "fresh.sqlite3")


@sqlite_alone
def test_every_table_is_strict(world: World) -> None:
    loose = [
        name
        for name, sql in schema(world.root / "data" / "referral.sqlite3").items()
        if sql.startswith("CREATE TABLE") and "STRICT" not in sql
    ]
    assert loose == []


def test_its_files_are_closed_to_others(world: World) -> None:
    for folder in (world.settings.data_dir, world.settings.keys_dir):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for path in folder.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


def test_the_port_is_written_down(world: World) -> None:
    assert int(world.settings.port_file.read_text()) == world.port


def test_page_tokens_outlive_a_restart(empty: World) -> None:
    world = empty
    world.set_up()
    for _ in range(2):
        world.create(world.draft(("CARD",)))
    first = world.a.referral.ListReferrals(referral_pb2.ListReferralsRequest(page_size=1))
    world.restart()
    second = world.a.referral.ListReferrals(
        referral_pb2.ListReferralsRequest(page_size=1, page_token=first.next_page_token)
    )
    assert len(second.referrals) == 1
    assert second.referrals[0].referral != first.referrals[0].referral


@pytest.mark.parametrize("broken", ["consent_vkey_file", "token_key_file", "tls_cert_file"])
def test_a_missing_or_wrong_file_stops_the_start(world: World, tmp_path: Path, broken: str) -> None:
    from safehand_core.clock import ManualClock
    from safehand_core.entropy import SeededEntropy

    bad = tmp_path / "bad"
    changes = {broken: bad, "data_dir": tmp_path / "data", "keys_dir": tmp_path / "keys"}
    settings = world.settings.model_copy(update=changes)
    for content in (None, "nonsense"):
        if content is not None:
            bad.write_text(content)
        with pytest.raises(SafehandError) as caught:
            app.build(settings, clock=ManualClock(), entropy=SeededEntropy())
        assert caught.value.reason is Reason.CONFIG_INVALID


def test_an_unknown_setting_is_refused(world: World) -> None:
    environ = environment(world) | {"SAFEHAND_REFERRAL_COLOUR": "blue"}
    with pytest.raises(SafehandError) as caught:
        ReferralSettings.load(environ)
    assert caught.value.metadata["settings"] == "SAFEHAND_REFERRAL_COLOUR"


@pytest.fixture
def own_logs() -> Iterator[None]:
    """``main`` configures logging; afterwards it is as it was."""
    yield
    logs.configure("referral", stream=io.StringIO(), strict=True)


@pytest.mark.usefixtures("own_logs")
def test_the_worker_needs_a_bus_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(world).items():
        monkeypatch.setenv(name, value)
    assert main.main(["worker"]) == process.EXIT_CONFIG
    assert "SAFEHAND_REFERRAL_NATS_URL" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["serve"], ["api", "worker"]])
def test_an_unknown_process_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(arguments) == process.EXIT_USAGE
    assert "api|worker|migrate" in capsys.readouterr().err


def test_the_api_process_serves_says_where_and_drains_on_sigterm(world: World) -> None:
    environ = {**os.environ, **environment(world)}
    command = [sys.executable, "-m", "safehand_referral_service"]
    subprocess.run([*command, "migrate"], env=environ, check=True, timeout=60)
    process = subprocess.Popen(
        [*command, "api"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["event"] == "serving"
        assert int((world.root / "own-data" / "referral.port").read_text()) == said["port"]
        with connect(f"127.0.0.1:{said['port']}", world.a.tls, "referral") as channel:
            stub = referral_pb2_grpc.ReferralServiceStub(channel)
            assert not stub.ListReferrals(referral_pb2.ListReferralsRequest()).referrals
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert all(json.loads(line)["service"] == "referral" for line in errors.splitlines())
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
