"""Twenty strings of hers, planted wherever a caller can put one, and then looked for everywhere.

They may stand in one place only: in the hands of the agency to which she let them be sent.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import grpc
import pytest
from nats.errors import Error as NatsError
from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand.intake.v1.intake_pb2 import Child, IntakeForm
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_bus import provision, topology
from safehand_bus.connection import Connection, Counters, connect
from safehand_bus.link import BusTls
from safehand_cli.sample_person import settle
from safehand_cli.sandbox import SERVICES, Sandbox
from safehand_client import Fetched, SurvivorClient
from safehand_core import ids
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.words import CATEGORIES
from safehand_formats import signing
from safehand_formats.release_request import CONTEXT as RELEASE_CONTEXT
from safehand_portal_service import seat
from safehand_rpc.ca import service_dns_name
from safehand_rpc.tls import channel_credentials, read_material

from tests.harness import database, databases
from tests.harness.database import Database, chosen
from tests.harness.portal import NUMBER, Answer, Outside, Portal, Seated, asked_for, bodies
from tests.harness.postgres import Cluster
from tests.harness.world import Person, World, eventually, running
from tests.privacy.scanner import Scanner, disguises, files
from tests.telemetry.collector import Collector, collecting
from tests.telemetry.scrape import every_text, soon, tracing

CANARIES: Final = {
    "preferred name": "Zoraquiel Testina",
    "full name": "Zoraquiel Marivonne Canarydottir",
    "contact": "+999-555-0142-77",
    "contact mail": "zq.canary@refuge.invalid",
    "contact rule": "ring twice then whisper Quillfeather",
    "location": "14b Nightjar Terrace, Testhaven",
    "health": "hemoglobin variant Canarium-9",
    "events": "he locked the Lapwing door on Sunday",
    "papers": "visa X-CANARY-48213-U",
    "child": "Ottoline-Bee Canarychild",
    "child's needs": "inhaler named Puffbird",
    "money": "debt of 4711 florins to Shrikebank",
    "safety plan": "meet at the Kittiwake bridge",
    "language detail": "speaks only Upper Wheatearish",
    "lower case name": "maribel canarista vogel",
    "beyond ASCII": "Żaneta Ćanaryńska",
    "worker's name": "Social Worker Hoopoe Canaby",
    "exception text": "Traceback Bitterncanary",
}
"""Fictional. With her card number, the PIN that came with it and the PIN that she chose, which a
run makes, they are twenty-one."""

FORM: Final = IntakeForm(
    need_code="legal",
    language="es",
    area="Test County",
    preferred_name=CANARIES["preferred name"],
    full_name=CANARIES["full name"],
    safe_contact=f"{CANARIES['contact']} {CANARIES['contact mail']}",
    safe_contact_rule=CANARIES["contact rule"],
    current_location=CANARIES["location"],
    health_needs=CANARIES["health"],
    events_own_words=CANARIES["events"],
    papers=CANARIES["papers"],
    children=[Child(name=CANARIES["child"], age_years=7, needs=CANARIES["child's needs"])],
    money_work=CANARIES["money"],
    safety_plan=f"{CANARIES['safety plan']} {CANARIES['beyond ASCII']}",
    language_access_detail=f"{CANARIES['language detail']} {CANARIES['lower case name']}",
)
SERVICE: Final = "test-svc-family"
PURPOSE: Final = "legal"
WORKER: Final = "worker-canary-77"
"""An opaque reference, as it should be: she sees it, and the ledger's bodies hold it."""


WITH_CONTENT: Final = {
    "/list/{n}",
    "/list/{n}/stopped",
    "/list/new/{n}",
    "/seen/for/{n}",
    "/steps/{n}",
}
"""Pages that only somebody has who shares, or shared, something."""


@dataclass
class Flown:
    """What was left behind by a full run with every canary in it."""

    world: World
    person: Person
    grant: str
    referral: str
    answers: list[bytes] = field(default_factory=list)
    """Every refusal as it came over the wire: details, trailers, and our client's own words."""
    opened: list[IntakeForm] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    """Every metrics page, read before, in the midst and after."""
    chosen: str = ""
    """The PIN that she chose at the portal."""
    hers: dict[str, str] = field(default_factory=dict)
    """Her own pages at the portal, by path."""
    another: dict[str, str] = field(default_factory=dict)
    """The pages of somebody else, who came at the same time."""

    @property
    def strings(self) -> dict[str, str]:
        numbers = {"card": self.person.card, "pin": self.person.pin, "own pin": self.chosen}
        return {**CANARIES, **{name: text for name, text in numbers.items() if text}}

    @property
    def scanner(self) -> Scanner:
        return Scanner(self.strings)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster | None]:
    """A PostgreSQL of its own, whose files and log hold nothing but this; None on SQLite."""
    if chosen() == database.SQLITE:
        yield None
        return
    made = Cluster.create(database.require(chosen()))
    try:
        made.start()
        made.make_roles()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector, cluster: Cluster | None
) -> Iterator[World]:
    """A system of its own that records every trace: more places where something could leak."""
    root = tmp_path_factory.mktemp("canaries") / "sandbox"

    def stores(sandbox: Sandbox) -> dict[str, Database]:
        return databases.of_sandbox(sandbox, cluster)

    with running(
        root,
        portal=True,
        extra_environment=tracing(collector.endpoint),
        make_stores=stores,
    ) as found:
        yield found


@pytest.fixture(scope="module")
def flown(world: World) -> Flown:
    person = world.person()
    world.referral_operator.set_service_needs(SERVICE, tuple(CATEGORIES))
    grant = world.grant(person, tuple(CATEGORIES))
    sent = world.agency_a.send(
        grant=grant,
        recipient="agency-b",
        purpose=PURPOSE,
        service=SERVICE,
        form=FORM,
        categories=tuple(CATEGORIES),
    )
    found = Flown(world, person, grant, sent.referral)
    found.pages.append(every_text(world))
    b = world.agency_b
    fetched = b.fetch(sent.referral)
    b.confirm_delivery(sent.referral)
    b.acknowledge(sent.referral)
    refused(found, b.open, fetched, "NAME", worker_ref=WORKER)
    b.accept(fetched)
    for category in CATEGORIES:
        found.opened.append(b.open(fetched, category, worker_ref=WORKER).form)
    plant_in_person(found)
    plant_in_documents(found, fetched)
    plant_on_the_wire(found)
    found.pages.append(every_text(world))
    with world.session(person) as her:
        her.stop(grant)
        refused(found, b.open, fetched, "NAME", worker_ref=WORKER)
        her.looks()
        her.verified_receipt(grant)
        her.stop(grant, destroy_now=True)
    eventually(
        lambda: any(d.event.resource == f"grants/{grant}" for d in deliveries(world)),
        "the end of the grant reached agency B",
    )
    plant_at_the_portal(found)
    found.pages.append(every_text(world))
    return found


def deliveries(world: World) -> list[Any]:
    found: list[Any] = []
    while page := world.agency_b.deliveries(found[-1].cursor if found else 0):
        found += page
    return found


def refused(flown: Flown, act: Callable[..., object], *args: object, **named: object) -> None:
    """``act`` must be refused; what the client says about it is kept."""
    with pytest.raises(SafehandError) as caught:
        act(*args, **named)
    error = caught.value
    flown.answers.append(f"{error!r} {error} {vars(error)}".encode())


# --- planting ------------------------------------------------------------------------------------


def plant_in_person(flown: Flown) -> None:
    """Names where references belong, and her numbers where they are wrong."""
    world, person, a = flown.world, flown.person, flown.world.agency_a
    for name in ("full name", "lower case name", "beyond ASCII", "contact mail"):
        text = CANARIES[name]
        refused(flown, a.register_subject, text, person.card, person.pin)
        refused(flown, a.grants, text)
    refused(flown, a.register_subject, person.card, person.card, person.pin)
    refused(flown, a.register_subject, f"ref-{person.card}", person.card, person.pin)
    wrong = str((int(person.pin) + 1) % 10**6).rjust(6, "0")
    refused(flown, a.register_subject, "test-ref-other", person.card, wrong)
    her = SurvivorClient(world.party("her"))
    try:
        refused(flown, her.sign_in, person.card, wrong)
        refused(flown, her.sign_in, person.card, person.card)
        refused(flown, her.sign_in, CANARIES["full name"], person.pin)
        her.sign_in(person.card, person.pin)
        for field_name in ("releasing", "recipient", "purpose", "language", "given_how", "present"):
            terms: dict[str, Any] = {
                "releasing": "agency-a",
                "recipient": "agency-b",
                "purpose": PURPOSE,
                "categories": ["CARD"],
                field_name: CANARIES["full name"],
            }
            refused(flown, her.grant, **terms)
        refused(
            flown,
            her.grant,
            releasing="agency-a",
            recipient="agency-b",
            purpose=PURPOSE,
            categories=[CANARIES["health"]],
        )
    finally:
        her.close()


def plant_in_documents(flown: Flown, fetched: Fetched) -> None:
    """Inside signed documents, tokens, page tokens, answers and searches."""
    world, stubs, b = flown.world, flown.world.agency_b.stubs, flown.world.agency_b
    refused(flown, b.open, fetched, "NAME", worker_ref=CANARIES["worker's name"])
    # Our client would not even sign that: here is one that does.
    look = b.prepare_look(fetched, "NAME", worker_ref=WORKER)
    named = look.signed.request_bytes.replace(WORKER.encode(), CANARIES["worker's name"].encode())
    signed = consent_pb2.ReleaseKeyRequest(
        request=named,
        signature=signing.sign(b.identity, RELEASE_CONTEXT, named),
        outer_wrap=fetched.parts[look.request.part].outer_wrap,
    )
    refused(flown, stubs.consent.ReleaseKey, signed, timeout=5)
    refused(flown, b.complete, fetched.referral, CANARIES["exception text"])
    refused(flown, b.decline, fetched, CANARIES["events"])
    for text in CANARIES.values():
        junk = f'{{"v":1,"worker_ref":"{text}","{text}":"{text}"}}'.encode()
        for request in (
            consent_pb2.ReleaseKeyRequest(
                request=junk, signature=bytes(64), outer_wrap=bytes(1196)
            ),
            consent_pb2.RecordAnswerRequest(request_id=new_id(), answer=junk, signature=bytes(64)),
            consent_pb2.AuthorizeReferralRequest(
                request_id=new_id(),
                manifest=junk,
                signature=bytes(64),
                inner_wraps=[text.encode().ljust(1168)],
                recipient_key_record=junk,
                recipient_key_signature=bytes(64),
            ),
            consent_pb2.RegisterProtocolRequest(
                request_id=new_id(), protocol=junk, signature_a=bytes(64), signature_b=bytes(64)
            ),
        ):
            call = getattr(stubs.consent, type(request).__name__.removesuffix("Request"))
            refused(flown, call, request, timeout=5)
        create = referral_pb2.CreateReferralRequest(
            request_id=new_id(),
            token=text,
            manifest=junk,
            signature=bytes(64),
            parts=[referral_pb2.SealedPart(ciphertext=junk, outer_wrap=bytes(1196))],
        )
        refused(flown, stubs.referral.CreateReferral, create, timeout=5)
        refused(
            flown,
            stubs.referral.ListReferrals,
            referral_pb2.ListReferralsRequest(page_token=text),
            timeout=5,
        )
        append = ledger_pb2.AppendKeyRequest(request_id=new_id(), record=junk, signature=bytes(64))
        refused(flown, stubs.ledger.AppendKey, append, timeout=5)
        # Nothing is refused here: somebody looks for help in words of their own.
        stubs.directory.SearchServices(
            directory_pb2.SearchServicesRequest(need=text, area=text, eligibility=text), timeout=5
        )
    refused(
        flown,
        world.referral_operator.import_package,
        "canary",
        {"services.csv": CANARIES["full name"].encode()},
    )
    refused(
        flown,
        world.referral_operator.import_package,
        "canary",
        {CANARIES["papers"]: b"x"},
    )


def new_id() -> str:
    return ids.new_request_id(SystemEntropy())


@contextmanager
def raw_channel(world: World, service: str, party: str) -> Iterator[grpc.Channel]:
    """A channel of gRPC's own, to see everything that comes back."""
    with grpc.secure_channel(
        getattr(world.system.addresses, service),
        channel_credentials(read_material(world.party(party).tls)),
        [("grpc.ssl_target_name_override", service_dns_name(service))],
    ) as channel:
        yield channel


def plant_on_the_wire(flown: Flown) -> None:
    """In unknown fields, fields of the wrong type, method names, headers and oversized requests."""
    paths = {
        "consent": "/safehand.consent.v1.ConsentService/ListAgencyGrants",
        "referral": "/safehand.referral.v1.ReferralService/GetReferral",
        "notify": "/safehand.notify.v1.NotifyService/ListDeliveries",
    }
    for service, path in paths.items():
        with raw_channel(flown.world, service, "agency-a") as channel:
            for name, text in flown.strings.items():
                raw = text.encode()
                unknown = b"\xfa\x3e" + bytes([len(raw)]) + raw  # field 999
                first = b"\x0a" + bytes([len(raw)]) + raw  # field 1 as a string
                headers: list[tuple[str, str | bytes]] = [
                    ("x-survivor", text.encode("ascii", "ignore").decode())
                ]
                headers += [("x-survivor-bin", raw), ("grpc-tags-bin", raw)]
                # Digits alone have the shape of a reference, and ask about nobody.
                shaped = () if text.isdigit() else (first,)
                for data in (unknown, raw, raw * 20_000, *shaped):
                    keep_refusal(flown, channel, path, data, headers)
                if name == "full name":
                    named = path.rsplit("/", 1)[0] + "/" + text.replace(" ", "")
                    keep_refusal(flown, channel, named, unknown, headers)


def keep_refusal(
    flown: Flown, channel: grpc.Channel, path: str, data: bytes, headers: Sequence[Any]
) -> None:
    call: Any = channel.unary_unary(path)
    try:
        answer = call(data, timeout=5, metadata=headers)
    except grpc.RpcError as error:
        found: Any = error
        said = (found.details(), found.trailing_metadata(), found.initial_metadata())
        flown.answers.append(repr(said).encode())
        flown.answers += [
            value if isinstance(value, bytes) else value.encode()
            for _, value in found.trailing_metadata() or ()
        ]
    else:
        raise AssertionError(f"{path} took a request that nobody may take: {answer!r}")


def plant_at_the_portal(flown: Flown) -> None:
    """In addresses, headers and forms, signed in and not; then two people read all their pages."""
    world, person = flown.world, flown.person
    portal = Portal(world, world.system.portal_url, Outside(""))
    other = portal.sharing()
    for text in flown.strings.values():
        word, headers = quote(text), with_headers(text)
        for path in (f"/{word}", f"/list/{word}", f"/in?card={word}&l={word}", f"/x?{word}"):
            flown.answers.append(asked_for(portal, path, headers=headers).body)
        fields = {"card": text, "pin": text, "need": text, "words": text, "area": text, text: text}
        for path in ("/in", f"/{word}", "/list/stop", "/in/pin", "/lang"):
            # Not the search: it shows her what she typed herself.
            keep_answer(flown, asked_for(portal, path, form=fields, headers=headers))
        asked_for(portal, "/find", form=fields, headers=headers)
    seated = settle(world.party("her"), person.card, person.pin, SystemEntropy())
    flown.chosen = seated.pin
    hers = Seated(person, seated.session)
    plant_signed_in(flown, portal, hers)
    flown.hers, flown.another = bodies(portal, hers), bodies(portal, other)
    for path in flown.hers:
        # Her addresses mean nothing to somebody else, and nothing to nobody.
        if NUMBER.search(path):
            flown.another[path] = asked_for(portal, path, other).text
            flown.another[f"nobody {path}"] = asked_for(portal, path).text


def plant_signed_in(flown: Flown, portal: Portal, hers: Seated) -> None:
    """In every field that a form of hers has; each reaches consent, or is refused before."""
    flown.world.agency_a.ask_consent(
        subject_ref=flown.person.subject_ref,
        worker_ref=WORKER,
        releasing="agency-a",
        recipient="agency-b",
        purpose="housing",
        categories=("HEALTH",),
        days=30,
    )
    page = asked_for(portal, "/list", hers).text
    (question,) = set(re.findall(r"/list/new/\d{10}", page))
    number = re.findall(r'"(/list/\d{10})/stopped"', page)[0]
    alone = {"c": seat.token(hers.session), "step": "moment", "present": "alone"}
    page = asked_for(portal, question, hers, form=alone).text
    notice = re.findall(r'name="notice" value="(\w+)"', page)[0]
    for text in flown.strings.values():
        word, headers = quote(text), with_headers(text)
        for path in (f"/{word}", f"/list/{word}", f"/seen/by/{word}", f"/list?to={word}"):
            keep_answer(flown, asked_for(portal, path, hers, headers=headers))
        form = dict.fromkeys(("do", "l", "new", "page", "pin", "reply", "request_id", "to"), text)
        form |= {"c": seat.token(hers.session), text: text}
        statuses = {}
        for path in (
            "/seen",
            "/list/stop",
            "/list/all",
            "/in/pin",
            "/in/seat",
            "/lang",
            *(f"{number}/{press}" for press in ("stop", "undo", "end", "right", "hide")),
            f"{question}/hide",
        ):
            answer = asked_for(portal, path, hers, form=form, headers=headers)
            statuses[path] = answer.status
            keep_answer(flown, answer)
        # Her session was taken: it is consent that knows no such page, and no such press.
        assert (statuses["/seen"], statuses["/list/stop"]) == (400, 400)
        for path in (f"{number}/undo", "/list/all"):
            # With an id that is one: here the PIN itself is looked at.
            form["request_id"] = new_id()
            keep_answer(flown, asked_for(portal, path, hers, form=form, headers=headers))
        form |= dict.fromkeys(("check", "days", "decision", "end", "kind", "q_who"), text)
        form |= {"go": "on", "notice": notice, "present": "alone"}
        for step in ("what", "choose", "check", text):
            # Not kept: of her own question she is shown what she typed herself.
            form["step"] = step
            assert asked_for(portal, question, hers, form=form, headers=headers).status == 200
        # Here her choice is kept, beside words of hers that are none of it.
        form |= {"step": "choose", "kind": "HEALTH", "end": "7"}
        assert "q_who" in asked_for(portal, question, hers, form=form, headers=headers).text
    assert flown.world.stores["consent"].rows("SELECT count(*) FROM ask_draft") == [(1,)]


def with_headers(text: str) -> dict[str, str]:
    """``text`` wherever a browser's request has a place for it."""
    word, ascii_text = quote(text), text.encode("ascii", "ignore").decode()
    return {
        "User-Agent": ascii_text,
        "Referer": f"http://localhost/{word}",
        "X-Forwarded-For": ascii_text,
        "Accept-Language": ascii_text,
        "Cookie": f"__Host-s={word}; {word}={word}",
    }


def keep_answer(flown: Flown, answer: Answer) -> None:
    flown.answers += [answer.body, repr(answer.headers).encode()]


# --- looking -------------------------------------------------------------------------------------


def places(flown: Flown, cluster: Cluster | None) -> list[Path]:
    """The folders below which everything of this system lies."""
    return [flown.world.sandbox.root, *([] if cluster is None else [cluster.folder])]


def test_there_are_twenty_one_and_they_were_opened_by_whom_she_chose(flown: Flown) -> None:
    assert len(flown.strings) == 21
    together = "\n".join(str(form) for form in flown.opened)
    for name in ("full name", "contact", "location", "health", "child", "safety plan"):
        assert CANARIES[name] in together
    assert len(flown.answers) > 300


def test_nothing_of_hers_is_in_any_file_or_file_name(flown: Flown, cluster: Cluster | None) -> None:
    """Databases and their WAL, logs, the bus's store, anchors, keystores, sealed drafts, sockets,
    the agencies' own folders: everything below the sandbox, and PostgreSQL's whole folder."""
    if cluster is not None:
        cluster.execute("CHECKPOINT")
    names = []
    for root in places(flown, cluster):
        assert flown.scanner.tree(root) == {}
        names += [path.name for path, _ in files(root)]
    stored = (
        ("consent.sqlite3-wal", "referral.sqlite3", "notify.sqlite3")
        if cluster is None
        else ("server.log", "pg_wal", "pg_control")
    )
    for expected in (*stored, "consent.log", "portal.log", "portal-api.metrics"):
        assert expected in names, "the scan must have seen the files that matter"
    assert any(name.endswith(".sealed") for name in names)
    assert any(name.endswith(".blk") for name in names)


def test_nothing_of_hers_came_back_in_a_refusal(flown: Flown) -> None:
    scanner = flown.scanner
    assert [hit for answer in flown.answers for hit in scanner.hits(answer)] == []


def test_nothing_of_hers_is_on_a_metrics_page(flown: Flown) -> None:
    scanner = flown.scanner
    assert len(flown.pages) == 3
    for text in flown.pages:
        assert "safehand_rpc_refused_total" in text
        assert scanner.hits(text.encode()) == []
        for value in (flown.grant, flown.referral, flown.person.subject_ref, "agency-", WORKER):
            assert value not in text


def test_her_own_pages_name_agencies_and_nothing_of_hers(flown: Flown) -> None:
    """Whoever looks over her shoulder reads no name, number, place or word of her own."""
    together = "".join(flown.hers.values())
    assert "Lantern Law Centre (TEST)" in together
    assert {"/home", "/list", "/steps", "/seen"} <= set(flown.hers)
    for value in (flown.grant, flown.referral, flown.person.subject_ref):
        assert value not in together
    scanner = flown.scanner
    for path, text in flown.hers.items():
        assert scanner.hits(text.encode()) == [], path


def test_nothing_of_hers_is_on_a_page_of_somebody_else(flown: Flown) -> None:
    scanner = flown.scanner
    her_numbers = {number for text in flown.hers.values() for number in NUMBER.findall(text)}
    assert her_numbers
    # She shares something herself: each of her pages has something on it.
    shapes = {NUMBER.sub("{n}", path) for path in flown.another if path not in flown.hers}
    assert shapes >= WITH_CONTENT
    for path, text in flown.another.items():
        assert scanner.hits(text.encode()) == [], path
        for value in (flown.grant, flown.referral, flown.person.subject_ref, WORKER):
            assert value not in text, path
        assert not her_numbers & set(NUMBER.findall(text)), path


def test_nothing_of_hers_is_in_a_span(flown: Flown, collector: Collector) -> None:
    """Every byte that any process sent to the collector, headers of the requests too."""
    stop = "/safehand.consent.v1.ConsentService/StopGrant"
    soon(lambda: any(seen.name == stop for seen in collector.spans()), "her stop was recorded")
    refusals = {seen.attributes.get("safehand.reason") for seen in collector.spans()}
    assert {"MALFORMED", "CONSENT_ENDED"} <= refusals, "the planting was recorded too"
    sent = collector.raw() + repr(collector.metadata).encode()
    assert flown.scanner.hits(sent) == []
    for value in (flown.grant, flown.referral):
        assert bytes.fromhex(value) not in sent
        assert value.encode() not in sent
    for value in (flown.person.subject_ref, "agency-", WORKER):
        assert value.encode() not in sent


def test_nothing_of_hers_is_in_any_row_or_leaf(flown: Flown) -> None:
    """Read through the database: what a page's layout splits or compresses is whole again."""
    scanner = flown.scanner
    rows = 0
    for service in SERVICES:
        for _, _, value in cells(flown.world, service):
            rows += 1
            assert scanner.hits(value) == []
    assert rows > 500


def test_nothing_of_hers_is_in_a_command_line_or_environment(flown: Flown) -> None:
    scanner = flown.scanner
    supervisor = flown.world.system.supervisor
    for process in supervisor.names():
        for name in ("cmdline", "environ"):
            data = Path(f"/proc/{supervisor.pid(process)}/{name}").read_bytes()
            assert data
            assert scanner.hits(data) == []


def test_the_bus_carries_types_and_nothing_else(flown: Flown) -> None:
    """Every message of every stream, read as the bus keeps it."""
    scanner = flown.scanner
    found = messages(flown.world)
    assert len(found) > 5
    for subject, headers, data in found:
        assert re.fullmatch(r"safehand\.v1\.(consent|referral)\.[a-z_]+", subject)
        assert scanner.hits(repr((subject, headers)).encode() + data) == []
        for value in (flown.grant, flown.referral, flown.person.subject_ref, "agency-", WORKER):
            assert value not in subject


def messages(world: World) -> list[tuple[str, dict[str, str], bytes]]:
    found: list[tuple[str, dict[str, str], bytes]] = []

    async def read() -> None:
        # Each as its own source: nobody else may read a stream message by message.
        for stream in topology.STREAMS:
            seed = world.sandbox.party_dir(stream.source) / "keys" / "nats.seed"
            tls = BusTls.in_dir(world.sandbox.service_tls(stream.source))
            link = world.system.nats.link(stream.source, seed, tls)
            async with connect(link, Counters()) as connection:
                await read_stream(connection, stream.name)

    async def read_stream(connection: Connection, name: str) -> None:
        state = (await connection.js.stream_info(name)).state
        for sequence in range(state.first_seq, state.last_seq + 1):
            try:
                message = await connection.js.get_msg(name, sequence)
            except NatsError:
                continue
            found.append((message.subject or "", message.headers or {}, message.data or b""))

    provision._run(read())
    return found


def cells(world: World, service: str) -> Iterator[tuple[str, str, bytes]]:
    """``(table, column, value)`` of everything in a service's database."""
    store = world.stores[service]
    for table in store.tables():
        columns = store.columns(table)
        for row in store.rows(f'SELECT * FROM "{table}"'):
            for column, value in zip(columns, row, strict=True):
                yield table, column, value if isinstance(value, bytes) else str(value).encode()


# --- what is no canary, and still stays where it belongs -----------------------------------------


def test_logs_name_no_party_no_grant_and_no_reference(flown: Flown) -> None:
    logs = flown.world.logs() + (flown.world.sandbox.root / "nats" / "nats.log").read_bytes()
    assert b"rpc.refused" in logs
    digests = [d.event.resource.split("/")[1] for d in deliveries(flown.world)]
    for value in ("agency-a", "agency-b", "test-ref-", WORKER, "worker-", *set(digests)):
        assert value.encode() not in logs, value


def test_the_referral_service_knows_no_person(flown: Flown) -> None:
    """Not even by the reference that an agency has for her; nor who looked."""
    folder = flown.world.sandbox.party_dir("referral")
    kept = {str(path): data for path, data in files(folder)}
    for table, column, value in cells(flown.world, "referral"):
        where = f"{table}.{column}"
        kept[where] = kept.get(where, b"") + value + b"\0"
    assert any(flown.grant.encode() in data for data in kept.values()), "the scan works"
    for where, data in kept.items():
        for name in (flown.person.subject_ref, WORKER, "test-ref-"):
            assert name.encode() not in data, where


def test_notify_knows_names_of_resources_and_nothing_about_them(flown: Flown) -> None:
    seen = 0
    for table, column, value in cells(flown.world, "notify"):
        if (table, column) == ("delivery", "resource"):
            seen += value == f"grants/{flown.grant}".encode()
            assert re.fullmatch(rb"(grants|referrals)/[0-9a-f]{32}", value)
            continue
        for text in (flown.grant, flown.referral, flown.person.subject_ref, WORKER, SERVICE):
            assert text.encode() not in value, (table, column)
        assert not any(word.encode() == value for word in (*CATEGORIES, PURPOSE))
    assert seen


# --- that the scanner would find them ------------------------------------------------------------


def test_the_scanner_finds_every_canary_in_every_disguise(flown: Flown, tmp_path: Path) -> None:
    scanner = flown.scanner
    log = flown.world.sandbox.logs("consent").read_bytes()[-4000:]
    assert scanner.hits(log) == []
    for name, text in flown.strings.items():
        for disguise, form in disguises(text).items():
            if len(form) < 8 and disguise != "raw":
                continue
            planted = log + b' "' + form + b'"}'
            assert any(hit.startswith(name) for hit in scanner.hits(planted)), (name, disguise)
    home = tmp_path / "copy"
    home.mkdir()
    (home / "consent.log").write_bytes(log + CANARIES["papers"].lower().encode())
    (home / f"x-{CANARIES['location']}.wake").touch()
    assert set(scanner.tree(home)) == {"consent.log", f"x-{CANARIES['location']}.wake"}


def test_the_scanner_finds_what_lies_in_a_database_and_its_log(
    flown: Flown, cluster: Cluster | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (x TEXT, y BLOB)")
        db.commit()
        db.execute("INSERT INTO t VALUES (?, ?)", (CANARIES["events"], b"\0" * 9))
        db.commit()
        assert "events (raw)" in flown.scanner.tree(tmp_path)["a.sqlite3-wal"]
    consent = Scanner({"known": flown.person.subject_ref})
    stored = (
        flown.world.sandbox.party_dir("consent") / "data"
        if cluster is None
        else cluster.folder / "data"
    )
    hits = consent.tree(stored)
    assert hits, "her agency's reference is in consent's database, and the scan sees it"
