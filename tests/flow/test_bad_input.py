"""Bad input to every method of every running service: one clear refusal, and nothing changes.

What each use case refuses for its own reasons is tested beside it; here is what holds for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import protovalidate
import pytest
from cryptography import x509
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status
from safehand.consent.v1 import consent_pb2
from safehand.events.v1 import events_pb2
from safehand_cli.sandbox import SERVICES
from safehand_cli.story import PURPOSE, SERVICE, TEST_FORM
from safehand_client import Fetched, SurvivorClient
from safehand_core import ids
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason
from safehand_formats.answer import Answer, SignedAnswer
from safehand_rpc.ca import DevCa, service_dns_name
from safehand_rpc.identity import ROLES, TRUST_DOMAIN
from safehand_rpc.status import DOMAIN
from safehand_rpc.tls import TlsFiles, channel_credentials, read_material

from tests.flow import liars
from tests.flow.following import everything
from tests.flow.shapes import METHODS, Method, sample, wrong
from tests.harness.world import WORKER, World, eventually

pytestmark = pytest.mark.slow  # every field of every method, wrong in every way

GARBAGE: Final = b"\xff\xff\xff\xff"
UNKNOWN_FIELD: Final = b"\xfa\x3e\x01x"
"""Field 999, one byte."""
SUCCEEDS: Final = {
    "EnrolAgency",
    "RegisterAgency",
    "RollKeys",
    "RotateTokenKey",
    "ConfirmClock",
    "CloseSession",
    "CloseGuardianSession",
    "LockSession",
    "GetCheckpoint",
    "GetConsistencyProof",
}
"""Methods that take the sample, though it names nothing that exists."""
NOTHING_FOUND: Final = {
    "Explain",
    "ListAgencyGrants",
    "ListAsks",
    "ListReferrals",
    "ListProtocols",
    "ListDeliveries",
    "ListDeadLetters",
    "GetWaitingStops",
    "Follow",
    "ListEvents",
    "ListLeaves",
    "ListTokenKeys",
    "SearchServices",
}
"""Methods that answer the sample with what there is for the caller."""
QUIET_S: Final = 0.5
"""Seconds in which a row that is on its way would have been written."""
DEADLINE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as it came over the wire."""

    code: grpc.StatusCode
    reason: Reason
    metadata: Mapping[str, str]


def party_tls(world: World, role: str) -> TlsFiles:
    """The certificate of somebody with ``role``."""
    kind, _, name = role.partition(":")
    if kind == "service":
        if name == "portal":
            return world.party("her").tls
        return TlsFiles.in_dir(world.sandbox.service_tls(name))
    return world.party({"operator": name, "agency": "agency-a"}.get(kind, kind)).tls


class Wire:
    """Bytes to methods as any party, with gRPC's own channels."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._channels: dict[tuple[str, str], grpc.Channel] = {}

    def channel(self, service: str, role: str) -> grpc.Channel:
        key = (service, role)
        if key not in self._channels:
            self._channels[key] = self.open(service, party_tls(self._world, role))
        return self._channels[key]

    def open(self, service: str, tls: TlsFiles) -> grpc.Channel:
        return self.open_with(service, channel_credentials(read_material(tls)))

    def open_with(self, service: str, credentials: grpc.ChannelCredentials) -> grpc.Channel:
        options = [
            ("grpc.ssl_target_name_override", service_dns_name(service)),
            ("grpc.enable_retries", 0),
        ]
        address = getattr(self._world.system.addresses, service)
        return grpc.secure_channel(address, credentials, options)

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def ask(
        self, method: Method, role: str, data: bytes, timeout: float | None = DEADLINE_S
    ) -> Refusal | bytes:
        """The answer, or the refusal; of a stream what comes first."""
        return call(self.channel(method.service, role), method, data, timeout)


def call(
    channel: grpc.Channel, method: Method, data: bytes, timeout: float | None = DEADLINE_S
) -> Refusal | bytes:
    stub: Any = (channel.unary_stream if method.streams else channel.unary_unary)(method.path)
    try:
        answer = stub(data, timeout=timeout)
        return next(answer, b"") if method.streams else bytes(answer)
    except grpc.RpcError as error:
        return refusal(error)


def refusal(error: Any) -> Refusal:
    """Taken apart: a status of ours with exactly one ErrorInfo, and its every part as it must."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no google.rpc.Status: {error.code()} {error.details()}"
    infos = [d for d in status.details if d.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1
    info = error_details_pb2.ErrorInfo()
    infos[0].Unpack(info)
    assert info.domain == DOMAIN
    reason = Reason[info.reason]
    expected = TABLE[reason]
    assert error.code().name == expected.status
    assert status.code == code_pb2.Code.Value(expected.status)
    assert status.message.startswith(expected.message)
    assert info.metadata["fix"] == expected.fix
    assert "\n" not in info.metadata["fix"]
    assert reason is not Reason.INTERNAL
    return Refusal(error.code(), reason, dict(info.metadata))


def counts(world: World) -> dict[str, int]:
    """Rows of every table of every service, the ledger's among them.

    Three tables are there to say who came, refused or not: tries with a card, refused looks, and
    when an agency was last heard of. So are notes about nobody: whom a wish named who is not there.
    """
    found = {}
    for service in SERVICES:
        store = world.stores[service]
        if service not in _COUNTING:
            _COUNTING[service] = " UNION ALL ".join(
                f"SELECT '{service}.{name}', count(*) FROM \"{name}\"" for name in store.tables()
            )
        found.update(dict(store.rows(_COUNTING[service])))
    for name in ("refused_look", "throttle", "agency_heard"):
        del found[f"consent.{name}"]
    about_her = "SELECT count(*) FROM stop_note WHERE subject_id IS NOT NULL"
    found["consent.stop_note"] = world.stores["consent"].rows(about_her)[0][0]
    return found


def relayed(world: World) -> bool:
    """Every outbox is published, and its relay has stored that: it does so some time later."""
    stores = [world.stores[service] for service in SERVICES]
    return all(
        store.rows("SELECT max(sequence) FROM outbox_head")
        == store.rows("SELECT max(sequence) FROM outbox_cursor")
        for store in stores
        if "outbox_head" in store.tables()
    )


_COUNTING: Final[dict[str, str]] = {}
"""For each service one statement that counts the rows of all its tables."""


@dataclass
class Course:
    """What is there, and could be changed by what must not change it."""

    her: SurvivorClient
    grant: str
    """CARD and NAME for legal help, to agency B."""
    sent: Fetched
    accepted: Fetched
    declined: Fetched


@pytest.fixture(scope="module")
def course(world: World) -> Iterator[Course]:
    person = world.person()
    grant = world.grant(person, ("CARD", "NAME"))
    b = world.agency_b
    sent, accepted, declined = (
        b.fetch(world.send(grant, categories=("CARD", "NAME")).referral) for _ in range(3)
    )
    b.decline(declined, "no_capacity")
    b.accept(accepted)
    told = (events_pb2.EVENT_TYPE_REFERRAL_ACCEPTED, f"referrals/{accepted.referral}")
    eventually(
        lambda: told in [(d.event.type, d.event.resource) for d in everything(world.agency_a)],
        "the sender heard of the acceptance",
    )
    seen: list[dict[str, int]] = []

    def quiet() -> bool:
        time.sleep(QUIET_S)
        seen.append(counts(world))
        return relayed(world) and len(seen) > 1 and seen[-1] == seen[-2]

    eventually(quiet, "nothing is on its way any more")
    with world.session(person) as her:
        yield Course(her, grant, sent, accepted, declined)


@pytest.fixture(scope="module")
def wire(world: World, course: Course) -> Iterator[Wire]:
    found = Wire(world)
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _nothing_changes(world: World, wire: Wire, request: pytest.FixtureRequest) -> Iterator[None]:
    before = counts(world)
    assert before["consent.ledger_leaf"] > 0
    yield
    assert counts(world) == before


def every(methods: list[Method]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", methods, ids=[m.path[10:] for m in methods])


@every(METHODS)
def test_every_role(wire: Wire, method: Method) -> None:
    """Who may call hears that the bytes are no message; everybody else nothing about them."""
    for role in sorted(ROLES):
        found = wire.ask(method, role, GARBAGE)
        assert isinstance(found, Refusal)
        if role in method.allowed:
            assert (found.reason, found.code.name) == (Reason.MALFORMED, "INVALID_ARGUMENT"), role
        else:
            assert (found.reason, found.code.name) == (Reason.NOT_ALLOWED, "PERMISSION_DENIED"), (
                role
            )
            assert found.metadata.keys() == {"fix"}, "no word about what was asked"


@every(METHODS)
def test_a_field_of_a_wrong_shape_is_named(wire: Wire, method: Method) -> None:
    tried = 0
    for path, message in wrong(method.request):
        data = message.SerializeToString()
        if len(data) > method.limit:
            continue
        found = wire.ask(method, method.role, data)
        assert isinstance(found, Refusal), path
        assert found.reason is Reason.MALFORMED, path
        named = found.metadata["field"]
        assert path.startswith(named) or named.startswith(path), (path, named)
        assert "Maria" not in str(found.metadata)
        tried += 1
    assert tried or not method.request.DESCRIPTOR.fields


@every(METHODS)
def test_an_empty_request_names_what_is_missing(wire: Wire, method: Method) -> None:
    if all(not _required(method, field) for field in method.request.DESCRIPTOR.fields_by_name):
        return
    found = wire.ask(method, method.role, b"")
    assert isinstance(found, Refusal)
    assert found.reason is Reason.MALFORMED
    assert found.metadata["field"] in method.request.DESCRIPTOR.fields_by_name


def _required(method: Method, field: str) -> bool:
    message = sample(method.request)
    message.ClearField(field)
    return bool(protovalidate.collect_violations(message))


@every(METHODS)
def test_an_unknown_field(wire: Wire, method: Method) -> None:
    """Else right, so that only this can be why; and inside of every message that it holds."""
    message = sample(method.request)
    for data in (message.SerializeToString() + UNKNOWN_FIELD, *_unknown_inside(method.request)):
        found = wire.ask(method, method.role, data)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.MALFORMED
        assert "not known" in found.metadata["detail"]


def _unknown_inside(kind: type[Message]) -> Iterator[bytes]:
    for field in kind.DESCRIPTOR.fields:
        if field.message_type is None or field.name in ("expires_at", "erase_by"):
            continue
        message = sample(kind)
        part = getattr(message, field.name)
        (part[0] if field.is_repeated else part).MergeFromString(UNKNOWN_FIELD)
        yield message.SerializeToString()


@every(METHODS)
def test_an_oversized_request(wire: Wire, method: Method) -> None:
    found = wire.ask(method, method.role, bytes(method.limit + 1))
    assert isinstance(found, Refusal)
    assert found.reason is Reason.TOO_LARGE
    assert found.metadata["limit_bytes"] == str(method.limit)


@every([m for m in METHODS if not m.streams])
@pytest.mark.parametrize("seconds", [None, 90.0])
def test_no_deadline_or_too_long_a_one(wire: Wire, method: Method, seconds: float | None) -> None:
    message = sample(method.request)
    found = wire.ask(method, method.role, message.SerializeToString(), seconds)
    assert isinstance(found, Refusal)
    assert found.reason is Reason.DEADLINE_INVALID


@every([m for m in METHODS if m.name not in SUCCEEDS | NOTHING_FOUND])
def test_what_does_not_exist_is_refused_with_a_reason(wire: Wire, method: Method) -> None:
    """A request of the right shape about nothing that exists: never INTERNAL, never taken."""
    for role in sorted(method.allowed):
        found = wire.ask(method, role, sample(method.request).SerializeToString())
        assert isinstance(found, Refusal), role


@every([m for m in METHODS if m.allowed == {"agency"} and m.name not in NOTHING_FOUND])
def test_an_agency_that_nobody_enrolled(
    world: World, wire: Wire, method: Method, stranger: Path
) -> None:
    """It has a certificate of the right authority, and no more."""
    with wire.open(method.service, TlsFiles.in_dir(stranger)) as channel:
        found = call(channel, method, sample(method.request).SerializeToString())
    assert isinstance(found, Refusal)


@pytest.fixture(scope="module")
def stranger(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stranger")
    liars.second_certificate(world, folder, "agency/agency-zz")
    return folder


@pytest.mark.parametrize("name", ["ListAgencyGrants", "ListReferrals", "ListProtocols"])
def test_an_agency_that_nobody_enrolled_sees_nothing(wire: Wire, stranger: Path, name: str) -> None:
    method = next(m for m in METHODS if m.name == name)
    with wire.open(method.service, TlsFiles.in_dir(stranger)) as channel:
        assert call(channel, method, b"") == b""


@pytest.mark.parametrize("service", SERVICES)
def test_certificates_that_name_nobody(
    world: World, wire: Wire, service: str, tmp_path: Path
) -> None:
    """Of our authority, of another, or none: nobody gets as far as a method."""
    method = next(m for m in METHODS if m.service == service)
    ours = liars.authority(world)
    uris = {
        "no name": [],
        "another trust domain": ["spiffe://elsewhere.example/agency/agency-a"],
        "two names": [
            f"spiffe://{TRUST_DOMAIN}/agency/agency-a",
            f"spiffe://{TRUST_DOMAIN}/operator/{service}",
        ],
        "an unknown service": [f"spiffe://{TRUST_DOMAIN}/service/nothing"],
        "an agency with a path": [f"spiffe://{TRUST_DOMAIN}/agency/agency-a/x"],
    }
    for what, names in uris.items():
        sans = [x509.UniformResourceIdentifier(name) for name in names]
        files = ours.issue_raw(tmp_path / what, sans)
        with wire.open(service, files) as channel:
            found = call(channel, method, GARBAGE)
        assert isinstance(found, Refusal), what
        assert found.reason is Reason.UNAUTHENTICATED, what
    other = DevCa.create(tmp_path / "authority")
    files = other.issue(tmp_path / "foreign", f"spiffe://{TRUST_DOMAIN}/agency/agency-a")
    material = read_material(files)
    ca = world.party("agency-a").tls.ca.read_bytes()
    for credentials in (
        grpc.ssl_channel_credentials(ca, material.key, material.cert),
        grpc.ssl_channel_credentials(ca),
    ):
        with wire.open_with(service, credentials) as channel:
            stub: Any = channel.unary_unary(method.path)
            with pytest.raises(grpc.RpcError) as caught:
                stub(GARBAGE, timeout=DEADLINE_S)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNAVAILABLE, "no connection at all"


def test_a_method_that_is_not_there(wire: Wire) -> None:
    for service in SERVICES:
        there = next(m for m in METHODS if m.service == service)
        path = there.path.rsplit("/", 1)[0] + "/RecallAnswer"
        missing = Method(service, path, there.request, False, frozenset(), 0)
        found = wire.ask(missing, "agency", b"")
        assert isinstance(found, Refusal)
        assert found.reason is Reason.NOT_BUILT


# --- what is well formed and still not to be -----------------------------------------------------


def test_beyond_what_she_said(world: World, course: Course) -> None:
    """Another category, purpose or recipient, or none of hers at all; found before it is logged."""

    def send(**other: Any) -> Reason:
        asked = {
            "grant": course.grant,
            "recipient": "agency-b",
            "purpose": PURPOSE,
            "service": SERVICE,
            "form": TEST_FORM,
            "categories": ("CARD",),
        }
        with pytest.raises(SafehandError) as caught:
            world.agency_a.send(**{**asked, **other})
        return caught.value.reason

    assert send(categories=("CARD", "CONTACT")) is Reason.SCOPE_EXCEEDED
    assert send(purpose="housing") is Reason.PURPOSE_MISMATCH
    assert send(grant="0" * 32) is Reason.CONSENT_MISSING
    assert send(not_after=2**33) is Reason.KEY_ENDS_TOO_SOON
    assert send(recipient="agency-zz") is Reason.PROTOCOL_MISSING


def test_in_a_wrong_state(world: World, course: Course) -> None:
    """Each step of the course where it has no place."""
    a, b = world.agency_a, world.agency_b
    her = course.her
    tries: list[tuple[Callable[[], object], Reason]] = [
        (lambda: b.complete(course.sent.referral, "received_service"), Reason.STATE_CONFLICT),
        (lambda: b.acknowledge(course.declined.referral), Reason.REFERRAL_CLOSED),
        (lambda: b.accept(course.declined), Reason.REFERRAL_CLOSED),
        (lambda: a.withdraw(course.declined.referral, "no_capacity"), Reason.REFERRAL_CLOSED),
        (lambda: a.confirm_delivery(course.sent.referral), Reason.NOT_ALLOWED),
        (lambda: b.withdraw(course.sent.referral, "no_capacity"), Reason.SIGNATURE_INVALID),
        (lambda: her.stop("0" * 32), Reason.NOT_FOUND),
        (lambda: her.receipt("0" * 32), Reason.NOT_FOUND),
    ]
    for number, (act, reason) in enumerate(tries):
        with pytest.raises(SafehandError) as caught:
            act()
        assert caught.value.reason is reason, number
    assert her.grants()[0].state == consent_pb2.GRANT_STATE_ACTIVE


def test_replayed(world: World, course: Course) -> None:
    """A request_id is for one request; a signed document is for one thing."""
    b = world.agency_b
    look = b.prepare_look(course.accepted, "NAME", worker_ref=WORKER)
    other = b.prepare_look(course.accepted, "CARD", worker_ref=WORKER)
    swapped = consent_pb2.ReleaseKeyRequest(
        request=look.signed.request_bytes,
        signature=other.signed.signature,
        outer_wrap=course.accepted.parts[look.request.part].outer_wrap,
    )
    answer = SignedAnswer.sign(
        Answer(
            "ACCEPT",
            course.accepted.signed.digest.hex(),
            course.accepted.referral,
            "agency-b",
            "",
            1,
        ),
        b.identity,
    )
    tries: list[tuple[Callable[[], object], Reason]] = [
        (lambda: b.stubs.consent.ReleaseKey(swapped, timeout=5), Reason.SIGNATURE_INVALID),
        (lambda: record(world, answer), Reason.ALREADY_EXISTS),
    ]
    for act, reason in tries:
        with pytest.raises(SafehandError) as caught:
            act()
        assert caught.value.reason is reason


def record(world: World, answer: SignedAnswer) -> object:
    return world.agency_b.stubs.consent.RecordAnswer(
        consent_pb2.RecordAnswerRequest(
            request_id=ids.new_request_id(SystemEntropy()),
            answer=answer.answer_bytes,
            signature=answer.signature,
        ),
        timeout=5,
    )
