"""Import, search and needs over gRPC. The directory's own rules are tested in tests/hsds."""

from __future__ import annotations

import pytest
from safehand.referral.v1 import directory_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests import shared_data
from tests.referral.conftest import Refusal
from tests.referral.making import SERVICE, rid
from tests.referral.world import FOREIGN_SERVICE, OTHER_SERVICE, PACKAGE, World

BAD = {
    **PACKAGE,
    "services.csv": PACKAGE["services.csv"]
    + b"broken-1,o-gone,No such organisation,active,-\nlegal-1,o-b,The same id again,active,-\n",
}


def search(world: World, **conditions: object) -> pb.SearchServicesResponse:
    found: pb.SearchServicesResponse = world.a.directory.SearchServices(
        pb.SearchServicesRequest(**conditions)  # type: ignore[arg-type]
    )
    return found


def test_a_service_is_shown_with_the_agency_that_receives_for_it(world: World) -> None:
    got = world.a.directory.GetService(pb.GetServiceRequest(service=SERVICE)).service
    assert (got.service, got.name, got.agency) == (SERVICE, "Immigration help", "b-agency")
    assert list(got.categories) == ["CARD", "NAME", "CONTACT"]
    foreign = world.a.directory.GetService(pb.GetServiceRequest(service=FOREIGN_SERVICE)).service
    assert (foreign.agency, list(foreign.categories)) == ("", ["CARD"])


def test_the_day_of_the_last_check_is_told_where_a_package_says_it(empty: World) -> None:
    lines = PACKAGE["services.csv"].splitlines()
    days = [b"assured_date", b"2026-05-04", b"", b""]
    checked = b"".join(b"%b,%b\n" % pair for pair in zip(lines, days, strict=True))
    empty.import_package("sample", {**PACKAGE, "services.csv": checked})
    empty.register(empty.a, [])
    told = {entry.service: entry.last_checked for entry in search(empty).services}
    assert told == {SERVICE: "2026-05-04", OTHER_SERVICE: "", FOREIGN_SERVICE: ""}


def test_an_unknown_service_is_not_found(world: World, refuses: Refusal) -> None:
    with refuses(Reason.NOT_FOUND):
        world.a.directory.GetService(pb.GetServiceRequest(service="nowhere"))
    with refuses(Reason.NOT_FOUND):
        world.operator_directory.SetServiceNeeds(
            pb.SetServiceNeedsRequest(request_id=rid(), service="nowhere")
        )


def test_needs_are_replaced_and_always_hold_the_card(empty: World) -> None:
    world = empty
    world.set_up()
    for categories, held in (
        (["HEALTH"], ["CARD", "HEALTH"]),
        (["CARD", "NAME"], ["CARD", "NAME"]),
        ([], ["CARD"]),
    ):
        answer = world.operator_directory.SetServiceNeeds(
            pb.SetServiceNeedsRequest(
                request_id=rid(), service=OTHER_SERVICE, categories=categories
            )
        )
        assert list(answer.categories) == held
    got = world.a.directory.GetService(pb.GetServiceRequest(service=OTHER_SERVICE)).service
    assert list(got.categories) == ["CARD"]


def test_an_unknown_category_is_refused(world: World, refuses: Refusal) -> None:
    with refuses(Reason.MALFORMED):
        world.operator_directory.SetServiceNeeds(
            pb.SetServiceNeedsRequest(request_id=rid(), service=SERVICE, categories=["IMMIGRATION"])
        )


def test_search_by_need_is_paged(world: World) -> None:
    found = search(world, need="immigration")
    assert [s.service for s in found.services] == [SERVICE]
    assert found.total == 1
    first = search(world, page_size=2)
    assert (len(first.services), first.total) == (2, 3)
    rest = search(world, page_size=2, page_token=first.next_page_token)
    assert not rest.next_page_token
    assert {s.service for s in (*first.services, *rest.services)} == {
        SERVICE,
        OTHER_SERVICE,
        FOREIGN_SERVICE,
    }


def test_a_page_token_of_another_search_is_refused(world: World, refuses: Refusal) -> None:
    first = search(world, page_size=1)
    with refuses(Reason.PAGE_TOKEN_INVALID):
        search(world, page_size=1, need="legal", page_token=first.next_page_token)


def test_a_package_with_problems_is_refused_whole_with_their_number(
    world: World, refuses: Refusal
) -> None:
    with refuses(Reason.PACKAGE_INVALID):
        world.import_package("sample", BAD)
    with pytest.raises(SafehandError) as caught:
        world.import_package("sample", BAD)
    assert caught.value.metadata["problems"] == "2"


def test_skip_bad_takes_the_rest_and_reports_what_it_left_out(empty: World) -> None:
    world = empty
    report = world.import_package("sample", BAD, skip_bad=True)
    assert {(p.file, p.line, p.code) for p in report.problems} == {
        ("services.csv", 5, "UNKNOWN_REFERENCE"),
        ("services.csv", 6, "DUPLICATE_ID"),
    }
    services = next(c for c in report.counts if c.name == "services.csv")
    assert (services.rows_in, services.rows_stored, services.rows_reported) == (5, 3, 2)
    world.register(world.a, [])
    assert search(world).total == 3


def test_a_repeated_import_says_the_same_and_does_nothing(empty: World) -> None:
    world = empty
    request = pb.ImportPackageRequest(
        request_id=rid(),
        source="sample",
        files=[pb.PackageFile(name=n, content=c) for n, c in BAD.items()],
        skip_bad=True,
    )
    first = world.operator_directory.ImportPackage(request)
    before = world.dump()
    assert world.operator_directory.ImportPackage(request) == first
    assert world.dump() == before
    request.source = "other"
    with pytest.raises(SafehandError) as caught:
        world.operator_directory.ImportPackage(request)
    assert caught.value.reason is Reason.REQUEST_ID_REUSED


def test_importing_a_source_again_replaces_it_and_keeps_the_needs(empty: World) -> None:
    world = empty
    world.set_up()
    header, first, *_ = PACKAGE["services.csv"].split(b"\n")
    fewer = {**PACKAGE, "services.csv": header + b"\n" + first + b"\n"}
    world.import_package("sample", fewer)
    found = search(world)
    assert [s.service for s in found.services] == [SERVICE]
    assert list(found.services[0].categories) == ["CARD", "NAME", "CONTACT"]


def test_a_file_given_twice_is_refused(world: World, refuses: Refusal) -> None:
    file = pb.PackageFile(name="services.csv", content=PACKAGE["services.csv"])
    request = pb.ImportPackageRequest(request_id=rid(), source="twice", files=[file, file])
    with refuses(Reason.MALFORMED):
        world.operator_directory.ImportPackage(request)


@pytest.mark.parametrize("name", ["../services.csv", "services.txt", "/etc/passwd", ""])
def test_a_file_name_with_a_path_is_refused(world: World, refuses: Refusal, name: str) -> None:
    request = pb.ImportPackageRequest(
        request_id=rid(), source="paths", files=[pb.PackageFile(name=name, content=b"id\n")]
    )
    with refuses(Reason.MALFORMED):
        world.operator_directory.ImportPackage(request)


def test_the_real_package_comes_in_whole_over_grpc(empty: World) -> None:
    folder = shared_data.path("hsds-florida-legal-aid")
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}
    report = empty.import_package("florida", files)
    stored = {c.name: c.rows_stored for c in report.counts}
    assert not report.problems
    assert (stored["organizations.csv"], stored["services.csv"], stored["locations.csv"]) == (
        20,
        135,
        378,
    )
    empty.register(empty.a, [])
    found = search(empty, need="immigration", area="Broward County")
    assert found.total > 0
    assert all(s.areas for s in found.services)
