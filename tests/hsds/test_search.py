"""Finding a service by need, area and eligibility."""

from __future__ import annotations

from typing import Any

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_referral_service import directory_store as store
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Engine

from tests.hsds import packages


def ids(engine: Engine, **conditions: Any) -> list[str]:
    with begin_read(engine) as conn:
        return [s.id for s in store.search(conn, **{"limit": 100, **conditions}).services]


def views(engine: Engine, **conditions: Any) -> tuple[store.ServiceView, ...]:
    with begin_read(engine) as conn:
        return store.search(conn, **{"limit": 100, **conditions}).services


# --- the sample ------------------------------------------------------------------------------


def test_a_need_is_found_by_term_then_by_name_then_by_description(sample: Engine) -> None:
    assert set(ids(sample, need="housing")) == {
        "test-svc-refuge",
        "test-svc-rent",
        "test-svc-transitional",
    }
    # "Trafficking" is a term of three; the beginning of a word is enough, case does not count.
    assert set(ids(sample, need="TRAFFICK")) == {
        "test-svc-refuge",
        "test-svc-immigration",
        "test-svc-case",
    }
    # "Counselling" is a term of both; "asylum" stands in a description alone.
    assert ids(sample, need="asylum") == ["test-svc-immigration"]
    found = ids(sample, need="legal")
    assert set(found) == {"test-svc-immigration", "test-svc-protection", "test-svc-family"}


def test_an_area_finds_its_services_and_the_statewide_ones(sample: Engine) -> None:
    found = set(ids(sample, area="southmere county"))
    assert found == {
        "test-svc-refuge",
        "test-svc-family",
        "test-svc-clinic",
        "test-svc-young",
        "test-svc-case",
        "test-svc-immigration",
        "test-svc-forensic",
        "test-svc-counselling",
    }
    assert found == set(ids(sample, area="Southmere"))
    assert (
        set(ids(sample, area="Statewide"))
        == set(ids(sample, area="state-wide"))
        == {
            "test-svc-immigration",
            "test-svc-forensic",
            "test-svc-counselling",
        }
    )
    assert ids(sample, area="Elsewhere County") == []


def test_eligibility_puts_stated_situations_first_and_shuts_nobody_out(sample: Engine) -> None:
    found = views(sample, eligibility="trafficking")
    stated = [s.id for s in found if s.matched_eligibility]
    assert set(stated) == {"test-svc-refuge", "test-svc-immigration", "test-svc-case"}
    assert [s.id for s in found][: len(stated)] == stated
    assert all(not s.eligibility for s in found[len(stated) :])
    # One that lists other situations only is not found.
    assert "test-svc-protection" not in [s.id for s in found]


@pytest.mark.parametrize(
    ("age", "counselling"),
    [
        (5, {"test-svc-counselling"}),
        (6, {"test-svc-counselling", "test-svc-young"}),
        (17, {"test-svc-counselling", "test-svc-young"}),
        (18, {"test-svc-counselling"}),
        (119, {"test-svc-counselling"}),
    ],
)
def test_age_limits_are_inclusive(sample: Engine, age: int, counselling: set[str]) -> None:
    assert set(ids(sample, need="counselling", age=age)) == counselling


def test_a_language_is_found_by_name_and_by_code(sample: Engine) -> None:
    assert ids(sample, language="haitian creole") == ["test-svc-immigration"]
    assert ids(sample, language="ti") == ["test-svc-clinic"]
    assert ids(sample, language="ti", need="legal") == []


def test_conditions_must_all_hold(sample: Engine) -> None:
    assert ids(sample, need="housing", area="Eastvale", age=30) == ["test-svc-transitional"]


def test_pages_are_stable_and_complete(sample: Engine) -> None:
    with begin_read(sample) as conn:
        whole = [s.id for s in store.search(conn, limit=100).services]
        paged: list[str] = []
        position: int | None = 0
        while position is not None:
            page = store.search(conn, position=position, limit=3)
            assert page.total == len(whole) == 11
            paged += [s.id for s in page.services]
            position = page.next_position
    assert paged == whole


@pytest.mark.parametrize(
    "conditions", [{"limit": 0}, {"limit": 101}, {"position": -1}, {"need": "%"}, {"area": "--"}]
)
def test_senseless_conditions_are_refused(sample: Engine, conditions: dict[str, Any]) -> None:
    with pytest.raises(SafehandError) as caught:
        ids(sample, **conditions)
    assert caught.value.reason is Reason.MALFORMED


def test_wildcards_are_plain_characters(sample: Engine) -> None:
    assert ids(sample, need="h%g") == []
    assert ids(sample, need="l_gal") == []


def test_a_closed_service_is_shown_but_not_found(sample: Engine) -> None:
    files = packages.files("sample")
    files["services.csv"] = files["services.csv"].replace(b",active,", b",defunct,")
    with begin_write(sample) as conn:
        store.import_package(conn, files, "sample")
    assert ids(sample) == []
    with begin_read(sample) as conn:
        assert store.get_service(conn, "test-svc-rent").status == "defunct"


def test_a_service_shows_what_a_worker_needs(sample: Engine) -> None:
    with begin_read(sample) as conn:
        service = store.get_service(conn, "test-svc-immigration")
    assert service.organization_name == "Lantern Law Centre (TEST)"
    assert service.areas == ("Statewide",)
    assert service.statewide
    assert (service.min_age, service.max_age) == (None, None)
    assert "Asylum seeker" in service.eligibility
    assert service.languages == ("English", "Haitian Creole", "Spanish")
    assert [(p.number, p.extension) for p in service.phones] == [("555-0103", "21")]
    assert service.addresses == ("22 Sample Street (TEST), Floor 2, Testport, 00001",)
    assert service.has_public_address
    assert service.categories == ("CARD",)


def test_a_place_that_is_only_a_state_shows_no_address(sample: Engine) -> None:
    with begin_read(sample) as conn:
        service = store.get_service(conn, "test-svc-immigration")
    visits = {x.id: x for x in service.locations}["test-loc-lantern-visits"]
    assert (visits.address, visits.place) == ("", "")


def test_an_unknown_service_is_not_found(sample: Engine) -> None:
    with begin_read(sample) as conn, pytest.raises(SafehandError) as caught:
        store.get_service(conn, "test-svc-none")
    assert caught.value.reason is Reason.NOT_FOUND


# --- the real package ------------------------------------------------------------------------


def test_real_needs(florida: Engine) -> None:
    found = views(florida, need="human trafficking")
    assert len(found) == 18
    assert any(s.name == "Human Trafficking" for s in found)
    for service in found:
        text = " ".join((*service.needs, service.name, service.alternate_name, service.description))
        assert "traffick" in text.casefold()
    named = [("Human Trafficking" in s.needs) for s in found]
    assert named == sorted(named, reverse=True)


def test_real_areas(florida: Engine) -> None:
    broward = views(florida, area="broward county")
    with begin_read(florida) as conn:
        every = [
            s for start in (0, 100) for s in store.search(conn, position=start, limit=100).services
        ]
    assert len(every) == 135
    assert {s.id for s in broward} == {s.id for s in every if "Broward County" in s.areas}
    assert len(broward) == 31
    assert ids(florida, area="Lake") == ids(florida, area="Lake County")
    for name in ("Florida", "FL", "statewide"):
        assert {s.id for s in views(florida, area=name)} == {s.id for s in every if s.statewide}
    assert ids(florida, area="Georgia") == []
    # A county that bears a state's name is a county here.
    assert {s.id for s in views(florida, area="Washington")} == {
        s.id for s in every if "Washington County" in s.areas
    }


def test_real_eligibility(florida: Engine) -> None:
    found = views(florida, eligibility="refugee", need="immigration", area="Broward")
    stated = [s for s in found if s.matched_eligibility]
    assert stated
    assert all(any("Refugee" in x for x in s.eligibility) for s in stated)
    elder = views(florida, need="senior", age=30)
    assert all(s.min_age is None or s.min_age <= 30 for s in elder)
    assert {s.name for s in views(florida, need="senior", age=70)} > {s.name for s in elder}


def test_real_services_have_numbers_of_their_organisations(florida: Engine) -> None:
    found = views(florida, need="immigration", area="Broward")
    assert any(s.phones for s in found)
    for service in found:
        numbers = [(p.number, p.extension) for p in service.phones]
        assert len(numbers) == len(set(numbers))
        assert not any("State:" in address for address in service.addresses)
