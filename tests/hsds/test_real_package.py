"""The real directory of Florida's legal aid comes in whole, and its quirks are reported."""

from __future__ import annotations

import pytest
from safehand_hsds import AddressLevel, NoticeCode, Result, read

from tests.hsds import packages


@pytest.fixture(scope="module")
def florida() -> Result:
    return read(packages.folder("florida"))


def test_every_row_is_taken(florida: Result) -> None:
    assert florida.report.problems == ()
    counts = {f.file: f.rows_ok for f in florida.report.files}
    assert counts["organizations.csv"] == len(florida.package.organizations) == 20
    assert counts["services.csv"] == len(florida.package.services) == 135
    assert counts["locations.csv"] == len(florida.package.locations) == 378
    for name, data in packages.files("florida").items():
        in_file = len(packages.records(data)) - 1
        counted = florida.report.count(name)
        assert (counted.rows_in, counted.rows_ok, counted.rows_reported) == (in_file, in_file, 0)


def test_ages_of_0_to_200_are_no_limit(florida: Result) -> None:
    limits = {(s.min_age, s.max_age) for s in florida.package.services}
    assert limits == {(None, None), (18, None), (60, None), (55, None), (None, 59), (None, 23)}
    # 0–200, 18–200, 60–200, 18–999, 60–999 and 0–59, as the file holds them.
    assert florida.report.notice_counts()[NoticeCode.AGE_RANGE_UNBOUNDED] == 23


def test_an_address_that_is_only_a_state_is_no_address(florida: Result) -> None:
    levels = [a.level for a in florida.package.addresses]
    assert levels.count(AddressLevel.STATE) == 245
    assert levels.count(AddressLevel.PLACE) == 4
    assert florida.report.notice_counts()[NoticeCode.ADDRESS_STATE_ONLY] == 245
    for address in florida.package.addresses:
        assert (address.text == "") == (address.level is AddressLevel.STATE)
        assert "State:" not in address.text
    assert sum(x.address_state_only for x in florida.package.locations) == 245


def test_a_state_in_markup_that_contradicts_its_column_is_noticed(florida: Result) -> None:
    (notice,) = [n for n in florida.report.notices if n.code is NoticeCode.ADDRESS_STATE_CONFLICT]
    line = (packages.folder("florida") / "addresses.csv").read_text().splitlines()[notice.line - 1]
    assert "<b>IL</b>" in line


def test_eligibility_lists_become_situations(florida: Result) -> None:
    situations = {x for s in florida.package.services for x in s.eligibility}
    assert {"Refugee", "Asylee", "United States Citizen"} <= situations
    assert not any(";" in x or "  " in x or not x for x in situations)
    split = [n for n in florida.report.notices if n.code is NoticeCode.ELIGIBILITY_SPLIT]
    assert len(split) == sum(len(s.eligibility) > 1 for s in florida.package.services) == 39
    assert max(n.count for n in split) == max(len(s.eligibility) for s in florida.package.services)


def test_values_that_slipped_into_other_columns_are_not_believed(florida: Result) -> None:
    (notice,) = [n for n in florida.report.notices if n.code is NoticeCode.COLUMNS_SLIPPED]
    assert (notice.file, notice.line) == ("services.csv", 65)
    (service,) = [s for s in florida.package.services if s.name == "Birth Certificate Program"]
    assert (service.min_age, service.eligibility, service.url, service.email) == (None, (), "", "")


def test_a_year_of_48_is_noticed_and_left_empty(florida: Result) -> None:
    (notice,) = [n for n in florida.report.notices if n.code is NoticeCode.YEAR_IMPLAUSIBLE]
    lines = (packages.folder("florida") / "organizations.csv").read_text().splitlines()
    # The line is the physical one, although earlier rows hold line breaks.
    assert ",48," in lines[notice.line - 1]


def test_services_of_all_67_counties_are_statewide(florida: Result) -> None:
    areas: dict[str, set[str]] = {}
    for area in florida.package.service_areas:
        areas.setdefault(area.service_id, set()).add(area.name)
    for service in florida.package.services:
        assert service.statewide == (len(areas.get(service.id, ())) == 67)


def test_the_text_report_is_short_and_names_what_was_handled(florida: Result) -> None:
    text = florida.report.render_text()
    assert ["services.csv", "135", "135", "0"] in [line.split() for line in text.splitlines()]
    assert "no problems" in text
    assert "addresses.csv address_state_only × 245" in text
    assert len(text.splitlines()) < 40
