"""SetConfidential over gRPC, and what her pages are told then. The rules are in tests/hsds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from safehand.referral.v1 import directory_pb2 as pb
from safehand.referral.v1 import directory_pb2_grpc
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.referral.conftest import Refusal
from tests.referral.making import rid
from tests.referral.world import World

HOUSE, ADVICE = "house-1", "advice-1"
"""Two services at one place."""
SECRET = "7 Hidden Lane"
FILES = {
    "organizations.csv": b"id,name,description\no-h,Harbour,-\n",
    "services.csv": (
        b"id,organization_id,name,alternate_name,status,description,eligibility_description,"
        b"fees_description\n"
        b"house-1,o-h,A room,Lane house,active,Beds at 7 Hidden Lane,Who is near Hidden Lane,"
        b"2 a day at 7 Hidden Lane\n"
        b"advice-1,o-h,Advice,,active,Papers at 7 Hidden Lane,,Free\n"
    ),
    "locations.csv": b"id,location_type,organization_id,name\nl-h,physical,o-h,The house\n",
    "service_at_location.csv": b"id,service_id,location_id\ns1,house-1,l-h\ns2,advice-1,l-h\n",
    "addresses.csv": (
        b"id,location_id,address_1,city,state_province,postal_code,country,address_type\n"
        b"a1,l-h,7 Hidden Lane,Testport,Testland,00001,US,physical\n"
    ),
    "phones.csv": b"id,number,location_id,service_id\nt1,555-0111,l-h,\nt2,555-0112,,advice-1\n",
    "service_areas.csv": b"id,service_id,name\nr1,house-1,North County\n",
    "languages.csv": b"id,service_id,name,code\ng1,house-1,Spanish,es\ng2,advice-1,English,en\n",
}


@pytest.fixture
def housed(world: World) -> Iterator[World]:
    """The package is in, and no service of it is confidential, before and after."""
    world.import_package("houses", FILES)
    yield world
    for service in (HOUSE, ADVICE):
        mark(world, service, confidential=False)


def mark(world: World, service: str = HOUSE, **values: object) -> pb.SetConfidentialResponse:
    request = pb.SetConfidentialRequest(
        **{"request_id": rid(), "service": service, "confidential": True, **values}  # type: ignore[arg-type]
    )
    answer: pb.SetConfidentialResponse = world.operator_directory.SetConfidential(request)
    return answer


def told(world: World, service: str = HOUSE) -> pb.ServiceEntry:
    """What her pages are told of a service: the same by its id and in a search."""
    stub = directory_pb2_grpc.DirectoryServiceStub(world.channel(world.party("service", "portal")))
    entry: pb.ServiceEntry = stub.GetService(pb.GetServiceRequest(service=service)).service
    found = stub.SearchServices(pb.SearchServicesRequest(page_size=100)).services
    assert entry in found
    return entry


def test_her_pages_get_a_number_and_no_address(housed: World) -> None:
    before = told(housed)
    assert [*before.addresses] == [f"{SECRET}, Testport, 00001"]
    assert (list(before.phones), before.confidential) == (["555-0111"], False)
    assert SECRET in before.description
    mark(housed, phone="555-0199")
    after = told(housed)
    assert (list(after.phones), list(after.addresses), after.confidential) == (
        ["555-0199"],
        [],
        True,
    )
    assert (after.name, list(after.areas)) == (before.name, ["North County"])
    assert mark(housed, confidential=False).service == before == told(housed)


def test_nor_does_another_service_of_the_house_tell(housed: World) -> None:
    assert SECRET.encode() in told(housed, ADVICE).SerializeToString()
    mark(housed)
    for service in (HOUSE, ADVICE):
        raw = told(housed, service).SerializeToString()
        assert not any(word in raw for word in (SECRET.encode(), b"555-0111", b"The house"))
    assert list(told(housed, ADVICE).phones) == ["555-0112"]
    assert not told(housed, ADVICE).confidential


def test_agencies_and_the_operator_are_told_what_her_pages_are_not(housed: World) -> None:
    """Free words of a service at a secret place: an agency refers to it, the public does not."""
    before = told(housed)
    assert (before.fees, before.free) == (f"2 a day at {SECRET}", False)
    assert told(housed, ADVICE).free
    shown = mark(housed).service
    asked = pb.GetServiceRequest(service=HOUSE)
    everything = pb.SearchServicesRequest(page_size=100)
    for entry in (
        shown,
        housed.a.directory.GetService(asked).service,
        *(s for s in housed.a.directory.SearchServices(everything).services if s.service == HOUSE),
        housed.operator_directory.GetService(asked).service,
    ):
        assert (entry.description, entry.eligibility) == (before.description, before.eligibility)
        assert (entry.fees, entry.free) == (before.fees, before.free)
    for service in (HOUSE, ADVICE):
        entry = told(housed, service)
        assert (entry.description, list(entry.eligibility)) == ("", [])
        assert (entry.fees, entry.free) == ("", False)
    mark(housed, confidential=False)
    assert told(housed) == before


def test_her_pages_cannot_read_it_word_by_word(housed: World) -> None:
    stub = directory_pb2_grpc.DirectoryServiceStub(
        housed.channel(housed.party("service", "portal"))
    )

    def found(**words: Any) -> list[str]:
        answer = stub.SearchServices(pb.SearchServicesRequest(page_size=100, **words))
        return sorted({HOUSE, ADVICE} & {entry.service for entry in answer.services})

    tries = ("7 hidden", "8 hidden", "7", "lane", "near")
    assert [found(need=words) for words in tries[:2]] == [[ADVICE, HOUSE], []]
    mark(housed)
    assert [found(need=words) for words in tries] == [[]] * len(tries)
    assert (found(need="room"), found(need="advice")) == ([HOUSE], [ADVICE])
    # No condition but a language or an age may shut either out: it would tell of what is not shown.
    assert [found(eligibility=words) for words in tries] == [[ADVICE, HOUSE]] * len(tries)


def test_what_it_costs_puts_a_secret_place_nowhere(housed: World) -> None:
    stub = directory_pb2_grpc.DirectoryServiceStub(
        housed.channel(housed.party("service", "portal"))
    )

    def order() -> list[str]:
        answer = stub.SearchServices(pb.SearchServicesRequest(page_size=100, free_first=True))
        found = [entry.service for entry in answer.services]
        return sorted((HOUSE, ADVICE), key=found.index)

    assert order() == [ADVICE, HOUSE], "the free one first"
    mark(housed)
    assert order() == [HOUSE, ADVICE], "by their names, as if neither said anything"


def test_it_holds_through_every_import(housed: World) -> None:
    mark(housed)
    moved = {name: data.replace(b"l-h", b"l-new") for name, data in FILES.items()}
    gone = {**FILES, "services.csv": FILES["services.csv"].replace(b"house-1", b"house-2")}
    for name in ("service_at_location.csv", "service_areas.csv", "languages.csv"):
        gone[name] = gone[name].replace(b"house-1", b"house-2")
    for files in (FILES, moved, gone, FILES):
        housed.import_package("houses", files)
        assert SECRET.encode() not in told(housed, ADVICE).SerializeToString()
    assert told(housed).confidential


def test_of_a_service_that_is_gone_it_can_be_taken_off(housed: World) -> None:
    mark(housed)
    housed.import_package(
        "houses", {n: d.replace(b"house-1", b"house-2") for n, d in FILES.items()}
    )
    assert not mark(housed, confidential=False).HasField("service")
    assert told(housed, ADVICE).addresses
    with pytest.raises(SafehandError) as caught:
        mark(housed, confidential=False)
    assert caught.value.reason is Reason.NOT_FOUND
    housed.import_package("houses", FILES)


def test_a_mistyped_service_or_number_is_refused(housed: World, refuses: Refusal) -> None:
    with refuses(Reason.NOT_FOUND):
        mark(housed, "house-l")
    for phone in ("7 Hidden Lane", "1", "555-0199 " * 5):
        with refuses(Reason.MALFORMED):
            mark(housed, phone=phone)


def test_a_repeated_request_is_one(housed: World, refuses: Refusal) -> None:
    request = pb.SetConfidentialRequest(request_id=rid(), service=HOUSE, confidential=True)
    housed.operator_directory.SetConfidential(request)
    mark(housed, confidential=False)
    assert not housed.operator_directory.SetConfidential(request).service.confidential
    request.phone = "555-0199"
    with refuses(Reason.REQUEST_ID_REUSED):
        housed.operator_directory.SetConfidential(request)


def test_languages_are_told_and_searched(housed: World) -> None:
    assert list(told(housed).languages) == ["Spanish"]
    for language, expected in (("spanish", [HOUSE]), ("es", [HOUSE]), ("English", [ADVICE])):
        request = pb.SearchServicesRequest(language=language)
        found = housed.a.directory.SearchServices(request).services
        assert [entry.service for entry in found] == expected
