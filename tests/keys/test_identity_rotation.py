"""An agency's identity key replaced whole, in a running system: consent, directory, peers."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import ledger_pb2
from safehand.referral.v1 import directory_pb2
from safehand_cli.story import PURPOSE
from safehand_client import AgencyClient, Party, agreement
from safehand_client._internal.identity_life import PENDING
from safehand_core import ids
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, PURPOSES
from safehand_formats import sealing
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.release_request import SignedReleaseRequest
from safehand_formats.signing import identity_key_id, public_bytes

from tests.cli.test_commands import ok, run
from tests.harness.world import WORKER, World, eventually, running

STEPS = ("begun", "admitted", "listed", "remembered", "switched", "published")
OVERLAP_S = 20
"""Long enough for a rotation on a busy machine; then the test waits for its end."""
DAY_S = 24 * 3600
DRIVER = """
import os, signal, sys
from pathlib import Path
from safehand_client import AgencyClient, Party

def step(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

AgencyClient(Party.open(Path(sys.argv[1]))).rotate_identity(step=step)
"""


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox of its own: these tests replace identity keys."""
    with running(tmp_path_factory.mktemp("identity") / "sandbox") as found:
        yield found


def refused(action: Any) -> Reason:
    with pytest.raises(SafehandError) as caught:
        action()
    return caught.value.reason


class Load(threading.Thread):
    """Referrals from A to B, one after the other: sealed, sent, fetched, accepted, opened.

    Both clients are old: made before the keys change, as a running agency system is.
    """

    def __init__(self, world: World) -> None:
        super().__init__(name="load")
        self.world = world
        self.done = 0
        self.failures: list[str] = []
        self._stopping = threading.Event()

    def run(self) -> None:
        grant = self.world.grant(self.world.person())
        while not self._stopping.is_set():
            try:
                fetched = self.world.accepted(grant)
                self.world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
            except Exception as error:
                self.failures.append(repr(error))
                return
            self.done += 1

    def some_more(self) -> None:
        """Return when at least two more have gone the whole way, all of it after this call."""
        wanted = self.done + 3
        eventually(
            lambda: self.done >= wanted or bool(self.failures), "referrals go on", within_s=60
        )
        assert not self.failures

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        assert not self.failures


@contextmanager
def load(world: World) -> Iterator[Load]:
    made = Load(world)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def key_record(client: AgencyClient, identity: Ed25519PrivateKey) -> SignedKeyRecord:
    """A recipient key in the agency's name, whoever makes it."""
    _, public = sealing.generate_recipient_key(SystemEntropy())
    now = client._clock.wall()
    return SignedKeyRecord.sign(
        KeyRecord(client.agency, client._next_sequence(), public, now, now + 30 * DAY_S), identity
    )


def append(client: AgencyClient, signed: SignedKeyRecord) -> ledger_pb2.Receipt:
    return client.stubs.ledger.AppendKey(
        ledger_pb2.AppendKeyRequest(
            request_id=ids.new_request_id(SystemEntropy()),
            record=signed.record_bytes,
            signature=signed.signature,
        )
    ).receipt


def publish(client: AgencyClient, signed: SignedKeyRecord, receipt: ledger_pb2.Receipt) -> None:
    client.stubs.directory.PublishKey(
        directory_pb2.PublishKeyRequest(
            request_id=ids.new_request_id(SystemEntropy()),
            record=signed.record_bytes,
            signature=signed.signature,
            receipt=receipt,
        )
    )


class Liar:
    """A directory that serves this record, with a receipt that proves another one's entry."""

    def __init__(self, honest: Any, signed: SignedKeyRecord) -> None:
        self._honest = honest
        self._signed = signed

    def GetKey(self, request: Any, timeout: float) -> Any:  # noqa: N802  the method's own name
        answer = self._honest.GetKey(request, timeout=timeout)
        answer.record, answer.signature = self._signed.record_bytes, self._signed.signature
        return answer


def refused_everywhere(world: World, client: AgencyClient, key: Ed25519PrivateKey) -> None:
    """Consent, directory and the peer refuse what ``key`` signs in the agency's name now."""
    signed = key_record(client, key)
    assert refused(lambda: append(client, signed)) is Reason.SIGNATURE_INVALID
    # Proof or not: the directory looks at the signature before it looks at the receipt.
    receipt = client.stubs.directory.GetKey(
        directory_pb2.GetKeyRequest(agency=client.agency)
    ).receipt
    assert refused(lambda: publish(client, signed, receipt)) is Reason.SIGNATURE_INVALID
    # A directory that carries it all the same, to a peer that has just started.
    peer = world.agency_a if client.agency == "agency-b" else world.agency_b
    party = world.party(peer.agency)
    lying: Any = Liar(peer.stubs.directory, signed)
    stubs = replace(peer.stubs, directory=lying, channels=())
    fresh = AgencyClient(party, stubs=stubs)
    in_a_week = fresh._clock.wall() + 7 * DAY_S
    reason = refused(lambda: fresh.recipient_key(client.agency, in_a_week))
    assert reason in (Reason.SIGNATURE_INVALID, Reason.PROTOCOL_MISSING)
    fresh.close()


def files_are_private(world: World, agency: str) -> None:
    """After a rotation: nobody else on the machine reads keys, known keys or what is remembered."""
    party = Party.open(world.sandbox.party_dir(agency))
    for folder in (party.root / "keys", party.trust / "peers", party.state / "identity"):
        assert folder.stat().st_mode & 0o077 == 0
        assert list(folder.iterdir())
        for path in folder.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path.name


@pytest.mark.slow
def test_killed_at_every_step_and_said_again(shaken: World, tmp_path: Path) -> None:
    """The sender's key. After every kill the old state or the next one holds, never neither."""
    folder = shaken.sandbox.party_dir("agency-a")
    old = shaken.agency_a.fingerprint
    with load(shaken) as running_load:
        for step in STEPS:
            died = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", DRIVER, str(folder), step],
                timeout=60,
                check=False,
            )
            assert died.returncode == -signal.SIGKILL, step
            running_load.some_more()
            if step == "begun":
                file = tmp_path / "next"
                found = ok(shaken, "agency-a", "keys", "identity", "rotate", "--out", str(file))
                assert found["waits_for"] == "consent"
                assert found["old"] == old
                words = ["keys", "identity", "admit", str(file), "--fingerprint"]
                assert run(shaken, "consent", *words, old).exit_code == 3
                for _ in range(2):  # the operator's command too may be said again
                    ok(shaken, "consent", *words, found["fingerprint"])
        done = ok(shaken, "agency-a", "keys", "identity", "rotate", "--out", str(file))
        assert done["waits_for"] == ""
        assert done["fingerprint"] == found["fingerprint"]
        running_load.some_more()
    assert shaken.agency_a.fingerprint == found["fingerprint"] != old
    assert not (shaken.party("agency-a").state / "pending" / f"{PENDING}.json").exists()
    known = ok(shaken, "agency-b", "keys", "identity", "list", "agency-a")["keys"]
    assert [key["fingerprint"] for key in known] == [found["fingerprint"], old]
    # The private half of the old one stays as long as it holds.
    assert ok(shaken, "agency-a", "keys", "identity", "retire") == {"retired": [], "kept": [old]}
    files_are_private(shaken, "agency-a")


@pytest.mark.slow  # it lets the overlap of two keys pass
def test_the_old_key_is_retired_and_then_refused(shaken: World, tmp_path: Path) -> None:
    """The recipient's key, under load, and the peer never types anything."""
    b, file = shaken.agency_b, tmp_path / "next"
    before, old_key = b.fingerprint, b.identity
    earlier = shaken.accepted(shaken.grant(shaken.person()))
    rotate = ["keys", "identity", "rotate", "--out", str(file)]
    with load(shaken) as running_load:
        running_load.some_more()
        days = str(OVERLAP_S / DAY_S)
        found = ok(shaken, "agency-b", *rotate, "--overlap-days", days)
        fresh = found["fingerprint"]
        ok(shaken, "consent", "keys", "identity", "admit", str(file), "--fingerprint", fresh)
        done = ok(shaken, "agency-b", *rotate)
        assert (done["waits_for"], done["fingerprint"]) == ("", fresh)
        running_load.some_more()

        ends = [
            key.not_after.seconds
            for key in shaken.consent_operator.list_agency_keys("agency-b")
            if key.identity_key == public_bytes(old_key)
        ]
        assert ends == [done["old_until"]]
        eventually(lambda: b._clock.wall() > ends[0], "the overlap ends", within_s=60)
        # No protocol was signed again, and no fingerprint typed: A followed the signature.
        running_load.some_more()
    refused_everywhere(shaken, b, old_key)
    with_old = replace(
        prepared := b.prepare_look(earlier, "NAME", worker_ref=WORKER),
        signed=SignedReleaseRequest.sign(prepared.request, old_key),
    )
    assert refused(lambda: b.finish_look(with_old)) is Reason.SIGNATURE_INVALID
    assert b.open(earlier, "NAME", worker_ref=WORKER).form.preferred_name
    assert ok(shaken, "agency-b", "keys", "identity", "retire")["retired"] == [before]
    assert refused(lambda: b._identities.of(before)) is Reason.KEY_UNKNOWN
    files_are_private(shaken, "agency-b")


def test_a_stolen_key_is_refused_everywhere_and_replaced(shaken: World, tmp_path: Path) -> None:
    """Whoever has it may be the agency or a thief: it vouches for nothing, a person does."""
    b, file = shaken.agency_b, tmp_path / "next"
    stolen, thief = b.fingerprint, b.identity
    fetched = shaken.accepted(shaken.grant(shaken.person()))
    words = ["keys", "identity", "revoke", "agency-b", "--fingerprint", stolen]
    for operator in ("consent", "referral"):
        for _ in range(2):
            ok(shaken, operator, *words)
    refused_everywhere(shaken, b, thief)
    look = refused(lambda: b.open(fetched, "NAME", worker_ref=WORKER))
    assert look is Reason.SIGNATURE_INVALID
    # The thief signs for a key of his own: nobody follows.
    shaken.agency_a.look_at_peer("agency-b")
    assert shaken.agency_a.trust.known.of("agency-b")[-1].revoked_at is not None

    rotate = ["keys", "identity", "rotate", "--stolen", "--out", str(file)]
    found = ok(shaken, "agency-b", *rotate)
    fresh = found["fingerprint"]
    assert (found["waits_for"], found["old_until"]) == ("consent", None)
    admit = ["keys", "identity", "admit", str(file), "--fingerprint", fresh]
    assert run(shaken, "consent", *admit).exit_code == 2
    ok(shaken, "consent", *admit, "--vouch")
    assert ok(shaken, "agency-b", *rotate)["waits_for"] == "referral"
    ok(shaken, "referral", *admit, "--vouch")
    assert ok(shaken, "agency-b", *rotate)["waits_for"] == ""
    shaken.disconnect()
    shaken.connect()
    a, b = shaken.agency_a, shaken.agency_b
    assert b.fingerprint == fresh
    # The peer believes it when a person has typed it, and both have signed again.
    in_a_week = a._clock.wall() + 7 * DAY_S
    assert refused(lambda: a.recipient_key("agency-b", in_a_week)) in (
        Reason.SIGNATURE_INVALID,
        Reason.PROTOCOL_MISSING,
    )
    typed = ["keys", "identity", "pin", "agency-b", "--fingerprint"]
    assert run(shaken, "agency-a", *typed, stolen).exit_code == 3
    ok(shaken, "agency-a", *typed, fresh)
    proposal = agreement.propose(
        a,
        peer="agency-b",
        peer_fingerprint=fresh,
        purposes=tuple(PURPOSES),
        categories=tuple(CATEGORIES),
        focal_point="TEST desk",
        peer_focal_point="TEST desk",
    )
    agreement.countersign(b, proposal, peer_fingerprint=a.fingerprint)
    agreement.collect(a)
    after = shaken.accepted(shaken.grant(shaken.person()))
    assert b.open(after, "NAME", worker_ref=WORKER).form.preferred_name
    assert after.manifest.header.purpose == PURPOSE
    assert public_bytes(thief) not in {
        key.key for key in a.trust.known.of("agency-b") if key.revoked_at is None
    }
    assert identity_key_id(public_bytes(thief)) == stolen
