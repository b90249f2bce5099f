"""What operators lay over the directory: needs of a service, locations that stay secret."""

from __future__ import annotations

import dataclasses

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_referral_service import directory_store as store
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Engine

from tests.hsds import packages

CLINIC, PLACE = "test-svc-clinic", "test-loc-willow"


def show(engine: Engine, service_id: str = CLINIC) -> store.ServiceView:
    with begin_read(engine) as conn:
        return store.get_service(conn, service_id)


def hide(engine: Engine, *, confidential: bool = True, gate: str = "") -> None:
    with begin_write(engine) as conn:
        store.set_confidential(conn, PLACE, confidential=confidential, front_gate_phone=gate)


def test_a_service_may_receive_the_card_alone_until_more_is_said(sample: Engine) -> None:
    with begin_read(sample) as conn:
        assert store.get_service_needs(conn, CLINIC) == ("CARD",)
    with begin_write(sample) as conn:
        assert store.set_service_needs(conn, CLINIC, ["HEALTH", "NAME"]) == (
            "CARD",
            "NAME",
            "HEALTH",
        )
        store.import_package(conn, packages.files("sample"), "sample")
    assert show(sample).categories == ("CARD", "NAME", "HEALTH")
    with begin_write(sample) as conn:
        assert store.set_service_needs(conn, CLINIC, []) == ("CARD",)


def test_needs_of_an_unknown_service_or_category_are_refused(sample: Engine) -> None:
    with begin_write(sample) as conn:
        with pytest.raises(SafehandError) as caught:
            store.set_service_needs(conn, "test-svc-none", ["NAME"])
        assert caught.value.reason is Reason.NOT_FOUND
        with pytest.raises(SafehandError) as caught:
            store.set_service_needs(conn, CLINIC, ["EVERYTHING"])
        assert caught.value.reason is Reason.MALFORMED
        assert store.get_service_needs(conn, CLINIC) == ("CARD",)


def test_a_confidential_location_shows_its_front_gate_and_nothing_else(sample: Engine) -> None:
    before = show(sample)
    assert before.has_public_address
    assert [p.number for p in before.phones] == ["555-0104"]
    hide(sample, gate="555-0199")
    after = show(sample)
    assert not after.has_public_address
    assert [p.number for p in after.phones] == ["555-0199"]
    shown = repr(dataclasses.asdict(after))
    for secret in ("Example Lane", "Testford", "00002", "555-0104", "Willow Clinic (TEST)'"):
        assert secret not in shown.replace(after.organization_name, "")
    hide(sample, confidential=False)
    assert show(sample) == before


def test_without_a_front_gate_there_is_no_number_at_all(sample: Engine) -> None:
    hide(sample)
    assert show(sample).phones == ()


def test_a_new_import_keeps_a_location_secret(sample: Engine) -> None:
    hide(sample)
    files = packages.files("sample")
    # The place vanishes from one package and is back in the next.
    without = {**files}
    for name in ("locations.csv", "addresses.csv", "phones.csv", "service_at_location.csv"):
        lines = files[name].splitlines(keepends=True)
        without[name] = b"".join(line for line in lines if PLACE.encode() not in line)
    with begin_write(sample) as conn:
        store.import_package(conn, without, "sample")
        store.import_package(conn, files, "sample")
    assert not show(sample).has_public_address
    assert show(sample).phones == ()


def test_search_hides_it_as_well(sample: Engine) -> None:
    hide(sample)
    with begin_read(sample) as conn:
        found = store.search(conn, need="clinic").services
    assert [s.id for s in found] == [CLINIC]
    assert found[0].addresses == ()


def test_a_number_of_a_service_stays_unless_it_belongs_to_the_secret_place(
    sample: Engine,
) -> None:
    files = packages.files("sample")
    files["phones.csv"] += f"t1,555-0107,,,,,{CLINIC},\nt2,555-0108,,,,{PLACE},{CLINIC},\n".encode()
    with begin_write(sample) as conn:
        store.import_package(conn, files, "sample")
    hide(sample)
    assert [p.number for p in show(sample).phones] == ["555-0107"]


def test_a_mistyped_location_is_refused_not_silently_kept(sample: Engine) -> None:
    with begin_write(sample) as conn, pytest.raises(SafehandError) as caught:
        store.set_confidential(conn, "test-loc-wilow", confidential=True)
    assert caught.value.reason is Reason.NOT_FOUND
    with begin_write(sample) as conn, pytest.raises(SafehandError) as caught:
        store.set_confidential(conn, PLACE, confidential=True, front_gate_phone="7 Example Lane")
    assert caught.value.reason is Reason.MALFORMED
