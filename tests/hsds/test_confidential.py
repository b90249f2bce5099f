"""Services whose places are secret: no package and no other service gives them away."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_referral_service import directory_store as store
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Engine

from tests.hsds import packages

CLINIC, FORENSIC, PLACE = "test-svc-clinic", "test-svc-forensic", "test-loc-willow"
"""Two services at one place."""
SECRETS = ("Example Lane", "Testford", "00002", "555-0104", "Willow Clinic (TEST)")


def show(engine: Engine, service_id: str = CLINIC) -> store.ServiceView:
    with begin_read(engine) as conn:
        return store.get_service(conn, service_id)


def hide(engine: Engine, service_id: str = CLINIC, *, phone: str = "", off: bool = False) -> None:
    with begin_write(engine) as conn:
        store.set_confidential(conn, service_id, confidential=not off, phone=phone)


def take_in(engine: Engine, files: dict[str, bytes], source: str = "sample") -> None:
    with begin_write(engine) as conn:
        store.import_package(conn, files, source)


def without(files: dict[str, bytes], word: str, *names: str) -> dict[str, bytes]:
    """The package without the rows of ``names`` that hold ``word``."""
    out = {**files}
    for name in names:
        lines = files[name].splitlines(keepends=True)
        out[name] = b"".join(line for line in lines if word.encode() not in line)
    return out


def shows_nothing(engine: Engine, *service_ids: str) -> bool:
    """Whether what is shown of these services holds no word of the secret place."""
    for service_id in service_ids:
        view = show(engine, service_id)
        shown = repr(dataclasses.asdict(view)).replace(view.organization_name, "")
        if any(secret in shown for secret in SECRETS):
            return False
    return True


@pytest.mark.parametrize("marked", [CLINIC, FORENSIC])
def test_its_place_is_hidden_from_whoever_is_given_there(sample: Engine, marked: str) -> None:
    before = {service: show(sample, service) for service in (CLINIC, FORENSIC)}
    assert all(view.has_public_address for view in before.values())
    assert not shows_nothing(sample, CLINIC)
    hide(sample, marked)
    assert shows_nothing(sample, CLINIC, FORENSIC)
    for service in (CLINIC, FORENSIC):
        view = show(sample, service)
        assert (view.confidential, view.phones) == (service == marked, ())
        assert (view.name, view.areas) == (before[service].name, before[service].areas)
    hide(sample, marked, off=True)
    assert {service: show(sample, service) for service in before} == before


def test_the_operators_number_is_the_only_one_that_it_has(sample: Engine) -> None:
    files = packages.files("sample")
    files["phones.csv"] += f"t1,555-0107,,,,,{CLINIC},\n".encode()
    take_in(sample, files)
    hide(sample, phone="555-0199")
    assert [p.number for p in show(sample).phones] == ["555-0199"]
    assert [p.number for p in show(sample, FORENSIC).phones] == ["555-0199"]
    hide(sample, phone="555-0198")
    assert [p.number for p in show(sample).phones] == ["555-0198"]


def test_a_number_of_a_service_stays_unless_it_belongs_to_the_secret_place(
    sample: Engine,
) -> None:
    files = packages.files("sample")
    files["phones.csv"] += f"t1,555-0107,,,,,{CLINIC},\nt2,555-0108,,,,{PLACE},{CLINIC},\n".encode()
    take_in(sample, files)
    hide(sample)
    assert [p.number for p in show(sample).phones] == ["555-0107"]


def test_search_hides_it_as_well(sample: Engine) -> None:
    hide(sample)
    with begin_read(sample) as conn:
        found = store.search(conn, need="clinic").services
    assert [(s.id, s.confidential, s.addresses) for s in found] == [(CLINIC, True, ())]


def test_a_new_import_keeps_a_place_secret(sample: Engine) -> None:
    hide(sample)
    files = packages.files("sample")
    of_place = ("locations.csv", "addresses.csv", "phones.csv", "service_at_location.csv")
    take_in(sample, without(files, PLACE, *of_place))
    take_in(sample, files)
    assert shows_nothing(sample, CLINIC, FORENSIC)
    assert show(sample).confidential


def test_a_package_that_forgets_the_service_gives_its_place_away_to_nobody(sample: Engine) -> None:
    """The house is listed on, as a place of the other service there."""
    hide(sample)
    files = packages.files("sample")
    of_service = ("services.csv", "service_at_location.csv", "service_areas.csv", "languages.csv")
    less = without(files, CLINIC, *of_service, "phones.csv", "attributes.csv")
    take_in(sample, less)
    assert shows_nothing(sample, FORENSIC)
    take_in(sample, files)
    assert shows_nothing(sample, CLINIC, FORENSIC)
    hide(sample, off=True)
    assert show(sample).has_public_address


def test_the_flag_can_be_taken_off_while_the_service_is_gone(sample: Engine) -> None:
    hide(sample)
    files = packages.files("sample")
    of_service = ("services.csv", "service_at_location.csv", "service_areas.csv", "languages.csv")
    take_in(sample, without(files, CLINIC, *of_service, "phones.csv", "attributes.csv"))
    hide(sample, off=True)
    assert show(sample, FORENSIC).has_public_address


def test_a_place_that_a_later_package_gives_it_is_secret_from_the_start(sample: Engine) -> None:
    hide(sample)
    files = packages.files("sample")
    moved = {name: data.replace(PLACE.encode(), b"test-loc-new") for name, data in files.items()}
    take_in(sample, moved)
    assert shows_nothing(sample, CLINIC, FORENSIC)


def test_without_a_stated_place_all_of_its_organisations_are_hidden(sample: Engine) -> None:
    """Such a service is shown at its organisation's places: any of them may be the house."""
    files = without(packages.files("sample"), CLINIC, "service_at_location.csv")
    take_in(sample, files)
    assert show(sample).has_public_address
    hide(sample)
    assert shows_nothing(sample, CLINIC, FORENSIC)


def test_the_place_stays_secret_until_the_last_of_its_services_is_not(sample: Engine) -> None:
    hide(sample, CLINIC)
    hide(sample, FORENSIC)
    hide(sample, CLINIC, off=True)
    assert shows_nothing(sample, CLINIC, FORENSIC)
    hide(sample, FORENSIC, off=True)
    assert show(sample).has_public_address


def test_a_mistyped_service_is_refused_not_silently_kept(sample: Engine) -> None:
    for off in (False, True):
        with pytest.raises(SafehandError) as caught:
            hide(sample, "test-svc-clinc", off=off)
        assert caught.value.reason is Reason.NOT_FOUND
    with pytest.raises(SafehandError) as caught:
        hide(sample, phone="7 Example Lane")
    assert caught.value.reason is Reason.MALFORMED


# --- what a search tells ---------------------------------------------------------------------


def found(engine: Engine, **conditions: Any) -> list[str]:
    with begin_read(engine) as conn:
        return [s.id for s in store.search(conn, limit=100, **conditions).services]


def wordy() -> dict[str, bytes]:
    """The package, with the address in every free text about the two services and their place."""
    files = packages.files("sample")
    header, *rows = packages.records(files["services.csv"])
    header.append("alternate_name")
    for row in rows:
        own = row[0] in (CLINIC, FORENSIC)
        row.append("Quincunx house" if own else "")
        if own:
            row[3] += " Ring at 7 Quincunx Street."
            row[9] = "; ".join(filter(None, (row[9], "Neighbours of Quincunx Street")))
    files["services.csv"] = packages.written([header, *rows])
    languages = packages.records(files["languages.csv"])
    width = len(languages[0])
    if "location_id" not in languages[0]:
        languages = [[*row, "location_id" if n == 0 else ""] for n, row in enumerate(languages)]
        width += 1
    spoken = {"id": "l1", "location_id": PLACE, "name": "Amharic, Quincunx dialect", "code": "am"}
    languages.append([spoken.get(name, "") for name in languages[0]])
    files["languages.csv"] = packages.written(languages)
    return files


@pytest.mark.parametrize("marked", [CLINIC, FORENSIC])
def test_free_words_of_a_secret_place_find_nothing(sample: Engine, marked: str) -> None:
    """Or whoever tries "7 quincunx" and "8 quincunx" reads the address by what is found."""
    take_in(sample, wordy())
    both = [FORENSIC, CLINIC]
    tries = ("7 quincunx", "quincunx", "q", "ring", "quincunx house")
    assert [found(sample, need=words) for words in tries] == [both] * len(tries)
    assert found(sample, need="8 quincunx") == []
    before = found(sample, need="clinic")
    hide(sample, marked)
    assert [found(sample, need=words) for words in tries] == [[]] * len(tries)
    # Its name and its terms find it as before, also together.
    assert found(sample, need="walk clinic") == before == [CLINIC]
    assert found(sample, need="examination") == [FORENSIC]
    assert found(sample, need="examination quincunx") == []
    for needs in show(sample).needs:
        assert CLINIC in found(sample, need=needs)
        assert CLINIC in found(sample, need=f"{needs} walk")
    hide(sample, marked, off=True)
    assert found(sample, need="7 quincunx") == both


def test_nor_do_those_of_a_service_without_a_stated_place(sample: Engine) -> None:
    """It is shown at its organisation's places, of which one is secret for another service."""
    take_in(sample, without(wordy(), FORENSIC, "service_at_location.csv"))
    hide(sample, CLINIC)
    assert found(sample, need="7 quincunx") == []
    assert show(sample, FORENSIC).withheld


def test_other_services_are_found_by_every_word(sample: Engine) -> None:
    hide(sample)
    assert found(sample, need="asylum") == ["test-svc-immigration"]
    assert not show(sample, "test-svc-immigration").withheld


def test_situations_of_a_secret_place_tell_nothing(sample: Engine) -> None:
    """Any condition finds them, as services that state no situation, and none says more."""
    take_in(sample, wordy())
    assert CLINIC not in found(sample, eligibility="zzz")
    hide(sample)
    with begin_read(sample) as conn:
        for words in ("quincunx", "neighbours", "zzz", "sexual violence"):
            page = store.search(conn, eligibility=words, limit=100).services
            fits = {s.id: s.matched_eligibility for s in page}
            assert (fits[CLINIC], fits[FORENSIC]) == (False, False)
    orders = [
        [s for s in found(sample, eligibility=words) if s in (CLINIC, FORENSIC)]
        for words in ("quincunx", "zzz")
    ]
    assert orders[0] == orders[1]


def test_a_language_of_a_secret_place_is_found_by_its_code_alone(sample: Engine) -> None:
    take_in(sample, wordy())
    both = [FORENSIC, CLINIC]
    every = ("quincunx", "amharic", "am")
    assert [found(sample, language=words) for words in every] == [both] * 3
    hide(sample)
    assert [found(sample, language=words) for words in every] == [[], [], both]
    assert found(sample, language="AM") == both
    assert found(sample, language="am am dialect") == []
    # A language of the service itself is shown with it, and found by its name.
    assert found(sample, language="Tigrinya") == [CLINIC]


def test_areas_find_it_as_before_and_no_word_of_its_place_does(sample: Engine) -> None:
    before = {name: found(sample, area=name) for name in ("Southmere", "Statewide")}
    assert CLINIC in before["Southmere"]
    hide(sample)
    assert {name: found(sample, area=name) for name in before} == before
    for words in ("Testford", "Example Lane", "00002", "Willow"):
        assert found(sample, area=words) == []
