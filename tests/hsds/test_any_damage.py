"""Whatever happens to a package's bytes: counts add up, links hold, nothing else is raised."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from safehand_hsds import Package, read_files
from safehand_hsds.csvrows import MAX_FIELD_CHARS, RowReader

from tests.hsds import packages

NAMES = sorted(p.name for p in packages.SAMPLE.glob("*.csv"))

SPLICES = st.tuples(
    st.sampled_from(NAMES),
    st.integers(0, 4000),
    st.integers(0, 80),
    st.one_of(
        st.sampled_from([b"", b'"', b",", b"\n", b"\r\n", b"\x00", b"\xff", b'""', b'",\n"', b";"]),
        st.binary(max_size=20),
        st.sampled_from([b"test-org-harbour", b"test-svc-rent,", b"-5", b"active"]),
    ),
)
LINES = st.tuples(st.sampled_from(NAMES), st.integers(0, 40), st.integers(0, 40))


def spliced(files: dict[str, bytes], splices: Sequence[tuple[str, int, int, bytes]]) -> None:
    for name, at, length, new in splices:
        if name in files:
            start = at % (len(files[name]) + 1)
            files[name] = files[name][:start] + new + files[name][start + length :]


def repeated(files: dict[str, bytes], lines: Sequence[tuple[str, int, int]]) -> None:
    for name, source, target in lines:
        if name in files:
            there = files[name].splitlines(keepends=True)
            if there:
                there.insert(target % (len(there) + 1), there[source % len(there)])
            files[name] = b"".join(there)


def assert_links_hold(package: Package) -> None:
    organizations = {x.id for x in package.organizations}
    locations = {x.id for x in package.locations}
    services = {x.id for x in package.services}
    links = {x.id for x in package.service_at_locations}
    terms = {x.id for x in package.terms}
    nothing = {""}
    assert {x.organization_id for x in package.services} <= organizations
    assert {x.organization_id for x in package.locations} <= organizations | nothing
    assert {x.parent_organization_id for x in package.organizations} <= organizations | nothing
    assert {x.service_id for x in package.service_at_locations} <= services
    assert {x.location_id for x in package.service_at_locations} <= locations
    assert {x.location_id for x in package.addresses} <= locations
    assert {x.location_id for x in package.phones} <= locations | nothing
    assert {x.service_id for x in package.phones} <= services | nothing
    assert {x.service_id for x in package.service_areas} <= services | nothing
    assert {x.service_at_location_id for x in package.service_areas} <= links | nothing
    assert {x.service_id for x in package.languages} <= services | nothing
    assert {x.parent_id for x in package.terms} <= terms | nothing
    assert {x.taxonomy_term_id for x in package.attributes} <= terms
    assert {x.link_id for x in package.attributes if x.link_entity == "service"} <= services
    for name in Package.__dataclass_fields__:
        if name != "states":
            ids = [x.id for x in getattr(package, name)]
            assert len(ids) == len(set(ids))


@settings(max_examples=250, deadline=None)
@given(
    st.lists(SPLICES, max_size=6),
    st.lists(LINES, max_size=3),
    st.sets(st.sampled_from(NAMES), max_size=2),
)
def test_counts_add_up_and_links_hold(
    splices: list[tuple[str, int, int, bytes]],
    lines: list[tuple[str, int, int]],
    dropped: set[str],
) -> None:
    files = packages.files("sample")
    repeated(files, lines)
    spliced(files, splices)
    for name in dropped:
        del files[name]
    result = read_files(files)
    report, package = result.report, result.package
    stored = {
        "organizations.csv": package.organizations,
        "locations.csv": package.locations,
        "services.csv": package.services,
        "service_at_location.csv": package.service_at_locations,
        "addresses.csv": package.addresses,
        "phones.csv": package.phones,
        "service_areas.csv": package.service_areas,
        "languages.csv": package.languages,
        "taxonomies.csv": package.taxonomies,
        "taxonomy_terms.csv": package.terms,
        "attributes.csv": package.attributes,
    }
    at_fault = {p.file for p in report.problems}
    for counted in report.files:
        assert counted.rows_in == counted.rows_ok + counted.rows_reported
        assert counted.rows_ok == len(stored[counted.file])
        if counted.rows_reported:
            assert counted.file in at_fault
    for problem in report.problems:
        data = files.get(problem.file, b"")
        last = max(1, len(data.splitlines()), data.count(b"\n") + 1)
        assert 1 <= problem.line <= last
    reported = {(p.file, p.line) for p in report.problems}
    assert len(reported) >= sum(1 for f in report.files if f.rows_reported)
    assert_links_hold(package)
    assert read_files(files) == result
    report.render_text()
    report.to_json()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='a",\n\r;\x00é', max_size=200), st.integers(1, 4))
def test_every_line_belongs_to_one_row_or_none(text: str, width: int) -> None:
    reader = RowReader(text)
    reader.width = width
    lines = [row.line for row in reader]
    assert lines == sorted(set(lines))
    assert set(lines).isdisjoint(reader.blank_lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(
                st.text(alphabet='ab ",;\né', max_size=8), min_size=width, max_size=width
            ).filter(lambda row: any(value.strip() for value in row)),
            min_size=1,
            max_size=8,
        )
    )
)
def test_what_the_standard_writer_writes_is_read_back(rows: list[list[str]]) -> None:
    text = packages.written(rows).decode()
    reader = RowReader(text)
    reader.width = len(rows[0])
    read = list(reader)
    assert [row.fields for row in read] == rows
    assert [row.defect for row in read] == [None] * len(rows)
    assert [row.line for row in read] == [packages.line_of(rows, i) for i in range(len(rows))]


def test_a_hostile_file_is_read_in_linear_time() -> None:
    text = '"\n' * 200_000 + '"' + "x" * MAX_FIELD_CHARS
    reader = RowReader(text)
    reader.width = 3
    assert sum(1 for _ in reader) > 100_000
    opened = 'a,"b\n' + 'c"d,e\n' * 100_000
    reader = RowReader(opened)
    reader.width = 2
    assert sum(1 for _ in reader) == 100_001
