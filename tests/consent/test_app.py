"""The process: its keys, its policy, its start and its logs."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import (
    consent_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    portal_pb2,
    portal_pb2_grpc,
)
from safehand_consent_service.main import main
from safehand_consent_service.policy import POLICY
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.process import EXIT_CONFIG, EXIT_USAGE
from safehand_core.reasons import Reason
from safehand_formats.note import NoteVerifier
from safehand_rpc.tls import TlsFiles

from tests.consent.refusals import refused
from tests.consent.world import PARTIES, PIN, World, card
from tests.harness.database import sqlite_alone

ROLES = {
    "portal": "service:portal",
    "referral": "service:referral",
    "notify": "service:notify",
    "operator": "operator:consent",
    "oversight": "oversight",
    "haven": "agency",
}
SERVICES: list[tuple[ServiceDescriptor, type]] = [
    (
        pb.DESCRIPTOR.services_by_name["ConsentService"],
        consent_pb2_grpc.ConsentServiceStub,
    ),
    (ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"], ledger_pb2_grpc.LedgerServiceStub),
    (keys_pb2.DESCRIPTOR.services_by_name["KeyService"], keys_pb2_grpc.KeyServiceStub),
    (portal_pb2.DESCRIPTOR.services_by_name["PortalService"], portal_pb2_grpc.PortalServiceStub),
]


def test_who_may_call_what_is_the_policy_table_and_nothing_else(world: World) -> None:
    """Every method as every role: refused as NOT_ALLOWED exactly where the table says so."""
    checked = 0
    for party, role in ROLES.items():
        for service, stub in SERVICES:
            made = stub(world.channel(party))
            for method in service.methods:
                allowed = role in POLICY[f"/{service.full_name}/{method.name}"]
                request = GetMessageClass(method.input_type)()
                try:
                    getattr(made, method.name)(request)
                    reason = None
                except SafehandError as error:
                    reason = error.reason
                assert (reason is not Reason.NOT_ALLOWED) == allowed, (role, method.name)
                checked += 1
    assert checked == len(ROLES) * len(POLICY)


def test_public_keys_are_left_for_others_to_copy_and_stay(bare_world: World) -> None:
    public = bare_world.settings.public_dir
    vkey = (public / "vkey").read_text()
    token = (public / "token.hex").read_text()
    assert NoteVerifier.from_vkey(vkey.strip()).name == bare_world.settings.origin
    assert re.fullmatch("[0-9a-f]{64}\n", token)
    bare_world.restart()
    assert (vkey, token) == ((public / "vkey").read_text(), (public / "token.hex").read_text())
    assert bare_world.settings.keys_dir.stat().st_mode & 0o777 == 0o700


def test_keys_lie_outside_the_data_directory(bare_world: World) -> None:
    names = {path.name for path in bare_world.settings.keys_dir.iterdir()}
    assert {"log.pem", "token.pem", "card-pepper.secret", "pin-pepper.secret"} <= names
    assert [path.name for path in bare_world.settings.release_dir.iterdir()] == ["kek-1"]
    data = {path.name for path in bare_world.settings.data_dir.iterdir()}
    assert not {name for name in data if name.endswith((".pem", ".secret")) or "kek" in name}


def test_healthy_only_while_serving(bare_world: World) -> None:
    stub = health_pb2_grpc.HealthStub(bare_world.channel("portal"))
    answer = stub.Check(health_pb2.HealthCheckRequest(service="safehand.consent.v1.ConsentService"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_port_is_written_down(bare_world: World) -> None:
    assert bare_world.settings.port_file.read_text() == f"{bare_world.port}\n"


def test_a_second_process_on_the_same_ledger_does_not_start(bare_world: World) -> None:
    second = World(bare_world.root, bare_world.tls, clock=bare_world.clock, store=bare_world.store)
    with refused(Reason.CONFIG_INVALID):
        second.start()
    second.app.server.drain(0, settle_s=0)
    second.app.close()


@sqlite_alone
def test_a_database_behind_its_anchor_does_not_start(world: World, her: bytes) -> None:
    world.stop()
    old = {p.name: p.read_bytes() for p in world.settings.data_dir.glob("consent.sqlite3*")}
    world.start()
    world.grant(her)
    world.stop()
    new = {p.name: p.read_bytes() for p in world.settings.data_dir.glob("consent.sqlite3*")}

    def put(files: dict[str, bytes]) -> None:
        for path in world.settings.data_dir.glob("consent.sqlite3*"):
            path.unlink()
        for name, data in files.items():
            (world.settings.data_dir / name).write_bytes(data)

    put(old)
    with refused(Reason.LEDGER_ROLLED_BACK):
        world.start()
    world.app.server.drain(0, settle_s=0)
    world.app.close()
    put(new)
    world.start()


def test_everything_is_still_there_after_a_restart(world: World, her: bytes) -> None:
    request_id = world.request_id()
    granted = world.grant(her, request_id)
    world.restart()
    assert world.view(her, granted.grant.grant) == granted.grant
    again = world.grant(her, request_id)
    assert again.receipt.index == granted.receipt.index
    world.stop_grant(her, granted.grant.grant)
    assert [e.sequence for e in world.events()] == [1, 2, 3, 4]


def test_nothing_of_hers_or_of_an_agency_is_logged(world: World) -> None:
    stream = io.StringIO()
    logs.configure("consent", stream=stream, strict=True)
    try:
        world.register("haven", 1, "her-at-haven")
        session = world.sign_in(1)
        with pytest.raises(SafehandError):
            world.sign_in(1, "000000")
        grant = world.grant(session).grant.grant
        world.stop_grant(session, grant)
        with pytest.raises(SafehandError):
            world.grant(session, recipient_agency="clinic")
        world.sweep()
    finally:
        logs.configure("consent")
    text = stream.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    assert len([line for line in lines if "method" in line]) >= 6
    subject = world.rows("SELECT subject_id FROM subject")[0][0]
    for word in (card(1), PIN, "her-at-haven", "haven", "legal", grant, subject, session.hex()):
        assert word not in text


def test_the_api_process_says_where_it_serves_and_drains_on_sigterm(
    tmp_path: Path, tls: dict[str, TlsFiles]
) -> None:
    world = World(tmp_path, tls)
    process = subprocess.Popen(
        [sys.executable, "-m", "safehand_consent_service", "api"],
        env={**os.environ, **world.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["event"] == "serving"
        world.port = said["port"]
        stub = world.ledger("oversight")
        assert (
            "consent.safehand.example/ledger"
            in stub.GetCheckpoint(ledger_pb2.GetCheckpointRequest()).checkpoint
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        for channel in world._channels.values():
            channel.close()


def test_a_wrong_setting_is_named_and_ends_the_process(
    tmp_path: Path,
    tls: dict[str, TlsFiles],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in World(tmp_path, tls).environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SAFEHAND_CONSENT_ANCHOR")
    assert main(["api"]) == EXIT_CONFIG
    assert "SAFEHAND_CONSENT_ANCHOR" in capsys.readouterr().err
    assert main(["no-such-process"]) == EXIT_USAGE


def test_migrate_makes_the_database_and_ends(
    tmp_path: Path, tls: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, tls)
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    assert main(["migrate"]) == 0
    assert main(["migrate"]) == 0
    assert "consent_grant" in world.store.tables()


def test_every_party_of_the_world_has_a_role_in_some_table() -> None:
    assert set(ROLES) <= set(PARTIES)
    assert set(ROLES.values()) == frozenset[str]().union(*POLICY.values())
