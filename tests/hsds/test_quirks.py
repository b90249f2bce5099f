"""What real directories write, value by value."""

from __future__ import annotations

import pytest
from safehand_hsds import AddressLevel, NoticeCode, ProblemCode, quirks, read_files, words

from tests.hsds import packages


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ((0, 200), (None, None)),
        ((18, 999), (18, None)),
        ((18, 119), (18, 119)),
        ((0, 17), (None, 17)),
        ((None, None), (None, None)),
        ((0, 0), (None, 0)),
        ((1, 120), (1, None)),
    ],
)
def test_age_limits(given: tuple[int | None, int | None], limits: tuple[int | None, ...]) -> None:
    assert quirks.age_limits(*given) == limits


@pytest.mark.parametrize(
    ("line", "city", "postal", "state", "expected"),
    [
        ("State: FL", "", "", "FL", ("", AddressLevel.STATE)),
        ("state: florida", "", "", "FL", ("", AddressLevel.STATE)),
        ("FL, US", "", "", "FL", ("", AddressLevel.STATE)),
        ("State: <b>IL</b>,", "", "", "FL", ("", AddressLevel.STATE)),
        ("Ontario", "", "", "Ontario", ("", AddressLevel.STATE)),
        ("State: FL", "Tampa", "33601", "FL", ("Tampa, 33601", AddressLevel.PLACE)),
        ("Fort Pierce, FL", "", "", "FL", ("Fort Pierce, FL", AddressLevel.PLACE)),
        ("FL 32955", "", "", "FL", ("FL 32955", AddressLevel.PLACE)),
        ("FL 32955-1234", "", "", "FL", ("FL 32955-1234", AddressLevel.PLACE)),
        (
            "1 High Street, Tampa, FL 33601",
            "Tampa",
            "33601",
            "FL",
            ("1 High Street, Tampa, FL 33601", AddressLevel.STREET),
        ),
        ("1 High Street", "Tampa", "", "FL", ("1 High Street, Tampa", AddressLevel.STREET)),
    ],
)
def test_addresses(
    line: str, city: str, postal: str, state: str, expected: tuple[str, AddressLevel]
) -> None:
    assert quirks.address(line, city, postal, state)[:2] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-04", "2026-05-04"),
        ("2026-05-04T10:00:00Z", "2026-05-04"),
        ("2026-05-04 10:00", "2026-05-04"),
        ("2024-02-29", "2024-02-29"),
        ("2026-02-29", ""),
        ("2026-13-01", ""),
        ("04/05/2026", ""),
        ("2026-05", ""),
        ("2026-05-040", ""),
        ("٢٠٢٦-٠٥-٠٤", ""),
        ("last spring", ""),
        ("", ""),
    ],
)
def test_a_day(text: str, expected: str) -> None:
    assert quirks.day(text) == expected


def test_a_date_that_is_none_is_noticed_and_left_empty() -> None:
    files = packages.files("sample")
    files["services.csv"] = files["services.csv"].replace(b"2026-10-05", b"last spring")
    result = read_files(files)
    assert result.report.ok
    assert NoticeCode.DATE_UNCLEAR in {notice.code for notice in result.report.notices}
    checked = {service.id: service.last_checked for service in result.package.services}
    assert checked["test-svc-refuge"] == checked["test-svc-rent"] == ""
    assert checked["test-svc-clinic"] == "2026-11-02"


def test_situations_are_tidied_and_each_kept_once() -> None:
    text = " Refugee;Asylee ;; Victim of  Trafficking\n(18 and over); Refugee "
    assert quirks.situations(text) == ("Refugee", "Asylee", "Victim of Trafficking (18 and over)")


def test_a_web_address_as_an_age_alone_is_a_wrong_type() -> None:
    files = packages.files("sample")
    rows = packages.records(files["services.csv"])
    rows[1][rows[0].index("minimum_age")] = "https://example.com/x"
    (problem, *_) = read_files({**files, "services.csv": packages.written(rows)}).report.problems
    assert (problem.code, problem.column) == (ProblemCode.WRONG_TYPE, "minimum_age")


def test_a_byte_order_mark_is_dropped_and_noticed() -> None:
    files = packages.files("sample")
    marked = {name: b"\xef\xbb\xbf" + data for name, data in files.items()}
    result = read_files(marked)
    assert result.report.ok
    assert result.package == read_files(files).package
    assert result.report.notice_counts()[NoticeCode.BYTE_ORDER_MARK] == len(files)


@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_line_endings_of_other_systems_are_read(ending: bytes) -> None:
    files = packages.files("sample")
    result = read_files({n: d.replace(b"\n", ending) for n, d in files.items()})
    assert result.report.ok
    assert result.package == read_files(files).package


def test_blank_lines_are_no_rows_and_keep_the_line_numbers_right() -> None:
    files = packages.files("sample")
    lines = files["phones.csv"].splitlines(keepends=True)
    short = b"test-tel-9,1\n"
    data = b"".join([lines[0], b"\n", *lines[1:3], b" \t\n", short, *lines[3:], b"\n"])
    report = read_files({**files, "phones.csv": data}).report
    assert [(p.line, p.code) for p in report.problems] == [(6, ProblemCode.TOO_FEW_COLUMNS)]
    assert report.count("phones.csv").rows_in == 7
    blank = [n.line for n in report.notices if n.code is NoticeCode.BLANK_LINE]
    assert blank == [2, 5, 11]


def test_markup_and_placeholders_are_removed() -> None:
    files = packages.files("sample")
    rows = packages.records(files["organizations.csv"])
    rows[1][rows[0].index("description")] = "<p>Help &amp; <b>housing</b></p>"
    rows[1][rows[0].index("alternate_name")] = "N/A"
    result = read_files({**files, "organizations.csv": packages.written(rows)})
    assert result.report.ok
    assert result.package.organizations[0].description == "Help & housing"
    assert result.package.organizations[0].alternate_name == ""
    assert {NoticeCode.MARKUP_REMOVED, NoticeCode.PLACEHOLDER_REMOVED} <= set(
        result.report.notice_counts()
    )


def test_unknown_columns_are_noticed_without_repeating_what_is_no_name() -> None:
    files = packages.files("sample")
    rows = packages.records(files["phones.csv"])
    for row, more in zip(rows, ("555-0100; a person", *("x" * len(rows))), strict=False):
        row.append(more)
    report = read_files({**files, "phones.csv": packages.written(rows)}).report
    assert report.ok
    (notice,) = [n for n in report.notices if n.code is NoticeCode.COLUMN_UNKNOWN]
    assert notice.column == "column 9"


def test_areas_compare_without_county_case_and_accents() -> None:
    assert words.area_words("Broward County") == words.area_words("BROWARD") == ("broward",)
    assert words.area_words("County") == ("county",)
    assert words.split("Córdoba’s St. Johns") == ("cordoba", "s", "st", "johns")
