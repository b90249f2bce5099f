"""An agency's recipient keys: rotated under open referrals, retired when nothing needs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import keys_pb2, keys_pb2_grpc
from safehand_cli import context as cli_context
from safehand_cli.main import app as cli
from safehand_client import AgencyClient
from safehand_consent_service.key_records import OVERLAP_S
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.ca import DevCa
from typer.testing import CliRunner

from tests.consent.release.world import DAY_S, A, B
from tests.consent.release.world import World as Consent
from tests.consent.release.world import refused as is_refused
from tests.harness.world import WORKER, World, running


class Later:
    """The machine's clock, some time on."""

    def __init__(self, by_s: int) -> None:
        self._clock = SystemClock()
        self._by_s = by_s

    def wall(self) -> int:
        return self._clock.wall() + self._by_s

    def monotonic(self) -> float:
        return self._clock.monotonic()


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox of its own: these tests delete keys and replace certificates."""
    with running(tmp_path_factory.mktemp("keys") / "sandbox") as found:
        yield found


def refused(action: Any) -> SafehandError:
    with pytest.raises(SafehandError) as caught:
        action()
    return caught.value


def invoke(world: World, *arguments: str) -> Any:
    runner = CliRunner()
    root = ["--json", "--dir", str(world.sandbox.root)]
    result = runner.invoke(cli, [*root, *arguments])
    cli_context.CURRENT.json = False
    return result


# --- the client, in a running system --------------------------------------------------------------


@pytest.mark.slow
def test_a_rotation_under_open_referrals(shaken: World) -> None:
    """What was sealed before opens after; senders take the new key; the old one is not retired."""
    b = shaken.agency_b
    grant = shaken.grant(shaken.person())
    before = shaken.accepted(grant)
    old = before.manifest.header.recipient_key
    fresh = b.rotate_key().record
    shaken.agency_a.forget_recipient_key("agency-b")
    after = shaken.accepted(grant)
    assert after.manifest.header.recipient_key == fresh.kid
    for fetched in (before, after):
        assert b.open(fetched, "NAME", worker_ref=WORKER).form.preferred_name
    newest, *others = b.own_keys()
    assert (newest.kid, newest.newest) == (fresh.kid, True)
    (kept,) = [key for key in others if key.kid == old]
    assert kept.open_manifests >= 1
    assert kept.until is not None
    assert kept.sealed_until is not None

    for kid in (old, fresh.kid):
        error = refused(lambda kid=kid: b.retire_key(kid))
        assert error.reason is Reason.STATE_CONFLICT
    error = refused(lambda: b.retire_key(old))
    assert error.metadata["open"] == str(kept.open_manifests)
    assert int(error.metadata["until"]) == max(kept.until, kept.sealed_until)
    assert b.retire_keys()[0] == []
    assert b.open(before, "CONTACT", worker_ref=WORKER).category == "CONTACT"


def test_a_key_that_nothing_needs_is_deleted(shaken: World) -> None:
    """Every referral that names it is closed, and senders no longer seal to it."""
    b = shaken.agency_b
    fetched = shaken.accepted(shaken.grant(shaken.person()))
    old = fetched.manifest.header.recipient_key
    b.rotate_key()
    shaken.agency_a.forget_recipient_key("agency-b")
    week_on = AgencyClient(shaken.party("agency-b"), clock=Later(OVERLAP_S + 60))
    try:
        assert refused(lambda: week_on.retire_key(old)).reason is Reason.STATE_CONFLICT
        # A year on every manifest has ended, by our clock; by consent's it has not.
        year_on = AgencyClient(shaken.party("agency-b"), clock=Later(365 * DAY_S))
        try:
            assert refused(lambda: year_on.retire_key(old)).reason is Reason.STATE_CONFLICT
        finally:
            year_on.close()
        for state in b.referrals():
            if state.recipient == "agency-b":
                _close(shaken, state.referral)
        gone, kept = week_on.retire_keys()
    finally:
        week_on.close()
    assert old in gone
    assert [key.newest for key in kept] == [True]
    assert not b._keys.list().count(f"recipient-{old}")
    error = refused(lambda: b.retire_key(old))
    assert error.reason is Reason.NOT_FOUND


def _close(world: World, referral: str) -> None:
    with suppress(SafehandError):  # closed already
        world.agency_b.decline(referral, "no_capacity")


def test_a_lost_key(shaken: World) -> None:
    """What was sealed to it is named with its sender; what comes next opens."""
    b = shaken.agency_b
    grant = shaken.grant(shaken.person())
    fetched = shaken.accepted(grant)
    lost = fetched.manifest.header.recipient_key
    b._keys.destroy(f"recipient-{lost}")
    answer = invoke(shaken, "--as", "agency-b", "keys", "lost")
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.stdout)
    assert {"referral": fetched.referral, "sender": "agency-a", "kid": lost} in said["unopenable"]
    shaken.agency_a.forget_recipient_key("agency-b")
    again = shaken.accepted(grant)
    assert again.manifest.header.recipient_key == said["kid"]
    assert b.open(again, "NAME", worker_ref=WORKER).form.preferred_name


def test_the_commands(shaken: World) -> None:
    fetched = shaken.accepted(shaken.grant(shaken.person()))
    old = fetched.manifest.header.recipient_key
    rotated = json.loads(invoke(shaken, "--as", "agency-b", "keys", "rotate").stdout)
    listed = json.loads(invoke(shaken, "--as", "agency-b", "keys", "list").stdout)["keys"]
    assert listed[0]["kid"] == rotated["kid"]
    assert listed[0]["newest"]
    kept = json.loads(invoke(shaken, "--as", "agency-b", "keys", "retire").stdout)
    assert old in {key["kid"] for key in kept["kept"]}
    refusal = invoke(shaken, "--as", "agency-b", "keys", "retire", "--key", old)
    assert refusal.exit_code == cli_context.EXIT_DENIED
    assert int(json.loads(refusal.stderr)["metadata"]["open"]) >= 1
    token = invoke(shaken, "--as", "consent", "keys", "rotate-token")
    assert len(json.loads(token.stdout)["kid"]) == 8
    shaken.agency_a.forget_recipient_key("agency-b")


def test_a_certificate_that_changes_between_authorise_and_create(
    shaken: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is bound to a certificate: the client authorises the same manifest once more."""
    a = shaken.agency_a
    stub = a.stubs.consent
    indexes: list[int] = []
    authorise = stub.AuthorizeReferral

    def then_replace(request: Any, timeout: float) -> Any:
        answer = authorise(request, timeout=timeout)
        if not indexes:
            _new_certificate(shaken, "agency-a")
        indexes.append(answer.receipt.index)
        return answer

    monkeypatch.setattr(stub, "AuthorizeReferral", then_replace)
    sent = shaken.send(shaken.grant(shaken.person()))
    assert len(indexes) == 2
    assert len(set(indexes)) == 1
    assert shaken.agency_b.fetch(sent.referral).referral == sent.referral


def test_a_certificate_that_never_fits_is_refused_after_one_more_try(
    shaken: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = shaken.agency_a
    stub = a.stubs.consent
    authorise, asked = stub.AuthorizeReferral, []

    def always_replace(request: Any, timeout: float) -> Any:
        asked.append(request)
        answer = authorise(request, timeout=timeout)
        _new_certificate(shaken, "agency-a")
        return answer

    monkeypatch.setattr(stub, "AuthorizeReferral", always_replace)
    before = set(a.drafts)
    error = refused(lambda: shaken.send(shaken.grant(shaken.person())))
    assert error.reason is Reason.TOKEN_INVALID
    assert len(asked) == 2
    monkeypatch.undo()
    (draft,) = set(a.drafts) - before
    assert a.resend(draft).referral == draft


def _new_certificate(world: World, agency: str) -> None:
    authority = DevCa.load(world.sandbox.authority)
    folder: Path = world.sandbox.party_dir(agency) / "tls"
    authority.issue(folder, f"spiffe://safehand.example/agency/{agency}")


# --- consent's part -------------------------------------------------------------------------------


def use(consent: Consent, kid: str, caller: str = B) -> keys_pb2.GetKeyUseResponse:
    stub = keys_pb2_grpc.KeyServiceStub(consent.channel("agency", caller))
    return stub.GetKeyUse(keys_pb2.GetKeyUseRequest(kid=kid))


def test_what_counts_as_use(consent: Consent) -> None:
    session = consent.session()
    kid = consent.agencies[B].records[-1].record.kid
    assert use(consent, kid).open_manifests == 0
    grant, other, third = (consent.grant(session) for _ in range(3))
    sent, declined = consent.send(grant), consent.send(grant)
    stopped, destroyed = consent.send(other), consent.send(third)
    assert use(consent, kid).open_manifests == 4
    consent.decline(declined)
    consent.stop_grant(session, other)
    consent.stop_grant(session, third, pb.STOP_MODE_DESTROY_NOW)
    found = use(consent, kid)
    assert found.open_manifests == 2, "what is stopped may be resumed; what is final may not"
    assert found.until.seconds == sent.sealed.manifest.header.not_after
    assert not found.HasField("sealed_until")
    consent.clock.advance(30 * DAY_S)
    consent.app.context.writer.confirm_clock()
    assert use(consent, kid).open_manifests == 0
    assert stopped.sealed.manifest.header.recipient_key == kid
    assert destroyed.sealed.manifest.header.recipient_key == kid


def test_nobody_asks_about_the_key_of_another(consent: Consent) -> None:
    kid = consent.agencies[B].records[-1].record.kid
    with is_refused(Reason.KEY_UNKNOWN):
        use(consent, kid, caller=A)
    with is_refused(Reason.KEY_UNKNOWN):
        use(consent, "0" * 64)


def test_a_replaced_key_is_sealed_to_for_a_week_and_no_longer(consent: Consent) -> None:
    grant = consent.grant(consent.session())
    old = consent.agencies[B].records[-1]
    sent = consent.send(grant)
    late = consent.seal(grant, record=old, recipient_key=old.record.kid)
    later = consent.seal(grant, record=old, recipient_key=old.record.kid)
    consent.append_key(consent.key_record(B))
    assert use(consent, old.record.kid).sealed_until.seconds == consent.now + OVERLAP_S
    consent.clock.advance(OVERLAP_S - 1)
    consent.authorise(late)
    consent.clock.advance(1)
    with is_refused(Reason.KEY_UNKNOWN, by=consent):
        consent.authorise(later)
    again = consent.authorise(sent.sealed)
    assert again.receipt.index == sent.receipt.index
    consent.authorise(consent.seal(grant))
