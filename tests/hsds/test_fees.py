"""What services cost: never said for them, and no order tells of what is not shown."""

from __future__ import annotations

from typing import Final

import pytest
from safehand_referral_service import directory_fees
from safehand_referral_service import directory_store as store
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Engine

from tests.hsds import packages

SAID: Final = {
    "a-pays": "20 a visit",
    "b-unsaid": "",
    "c-free": " Free of charge. ",
    "d-some": "Free for who earns little",
    "e-gratis": "GRATIS",
    "f-none": "N/A",
    "g-not": "not free",
    "h-ends": "free .",
}
"""What each says, in the order of their names."""
FIRST: Final = ("c-free", "e-gratis")
NEXT: Final = ("b-unsaid", "f-none")
PLACE: Final = "l-1"


@pytest.fixture
def priced(directory: Engine) -> Engine:
    rows = [["id", "organization_id", "name", "status", "description", "fees_description"]]
    rows += [[name, "o-1", name, "active", "", said] for name, said in SAID.items()]
    places = [["id", "service_id", "location_id"], ["s-1", "c-free", PLACE]]
    with begin_write(directory) as conn:
        store.import_package(
            conn,
            {
                "organizations.csv": b"id,name,description\no-1,Harbour,-\n",
                "services.csv": packages.written(rows),
                "locations.csv": f"id,location_type\n{PLACE},physical\n".encode(),
                "service_at_location.csv": packages.written(places),
            },
            "priced",
        )
    return directory


def ids(engine: Engine, free_first: bool = False) -> list[str]:
    with begin_read(engine) as conn:
        page = store.search(conn, free_first=free_first)
    assert page.total == len(SAID), "none is left out"
    return [view.id for view in page.services]


def test_free_comes_first_and_what_is_not_said_is_not_free(priced: Engine) -> None:
    assert ids(priced) == list(SAID)
    others = [name for name in SAID if name not in FIRST + NEXT]
    assert ids(priced, free_first=True) == [*FIRST, *NEXT, *others]


def test_what_is_shown_as_free_is_what_comes_first(priced: Engine) -> None:
    with begin_read(priced) as conn:
        views = store.search(conn).services
    shown = {view.id: view.fees for view in views}
    assert {name for name, fees in shown.items() if directory_fees.is_free(fees)} == set(FIRST)
    assert shown["d-some"] == "Free for who earns little", "its own words"
    assert {name for name, fees in shown.items() if not fees} == set(NEXT)


def test_the_order_tells_nothing_of_a_secret_place(priced: Engine) -> None:
    with begin_write(priced) as conn:
        store.set_confidential(conn, "c-free", confidential=True)
    assert ids(priced, free_first=True)[:3] == ["e-gratis", "b-unsaid", "c-free"]


def test_real_services_state_no_cost(florida: Engine) -> None:
    """Why it is an order and no filter: a filter would hide all of them."""
    with begin_read(florida) as conn:
        page = store.search(conn, free_first=True)
        plain = store.search(conn)
    assert [view.id for view in page.services] == [view.id for view in plain.services]
    assert not any(view.fees for view in page.services)
