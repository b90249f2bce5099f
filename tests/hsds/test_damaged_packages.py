"""A package with one defect: exactly that defect is found, in its file and on its line."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from safehand_hsds import ProblemCode, Report, check, read_files

from tests.hsds import packages
from tests.hsds.damage import DEFECTS, SAMPLE_DEFECTS, Damaged

SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2)))
CASES = [
    *(("florida", name) for name in DEFECTS),
    *(("sample", name) for name in {**DEFECTS, **SAMPLE_DEFECTS}),
]


def assert_counts(report: Report) -> None:
    assert all(f.rows_in == f.rows_ok + f.rows_reported for f in report.files)
    at_fault = {p.file for p in report.problems}
    assert {f.file for f in report.files if f.rows_reported} <= at_fault


def assert_only(report: Report, damaged: Damaged) -> None:
    """The defect itself, and else only rows that name the rows it took away."""
    found = [p for p in report.problems if p.code is not ProblemCode.REFERENCE_LEFT_OUT]
    assert [(p.file, p.line, p.code, p.column) for p in found] == [
        (damaged.file, damaged.line, damaged.code, damaged.column)
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("package", "defect"), CASES)
def test_one_defect_is_found_at_its_place(package: str, defect: str, seed: int) -> None:
    rng = random.Random(f"{defect} {seed}")
    damaged = {**DEFECTS, **SAMPLE_DEFECTS}[defect](rng, packages.files(package))
    report = read_files(damaged.files).report
    assert_only(report, damaged)
    assert_counts(report)
    assert not report.ok


def test_the_undamaged_packages_have_no_problem() -> None:
    assert read_files(packages.files("sample")).report.ok


def test_a_row_falls_with_the_row_that_it_names() -> None:
    files = packages.files("sample")
    rows = packages.records(files["organizations.csv"])
    rows[1][rows[0].index("year_incorporated")] = "long ago"
    report = read_files({**files, "organizations.csv": packages.written(rows)}).report
    gone = {(p.file, p.code) for p in report.problems}
    for file in ("services.csv", "locations.csv", "service_areas.csv", "phones.csv"):
        assert (file, ProblemCode.REFERENCE_LEFT_OUT) in gone
    # Its three services, its two locations and all that hangs on them; nothing else.
    assert report.count("organizations.csv").rows_reported == 1
    assert report.count("services.csv").rows_reported == 3
    assert report.count("locations.csv").rows_reported == 2
    assert report.count("taxonomy_terms.csv").rows_reported == 0


def test_children_fall_with_their_parents_however_deep() -> None:
    files = packages.files("sample")
    head = ["id", "taxonomy_id", "parent_id", "name", "description"]
    depth = 3000
    rows = [[f"t{i}", "test-tax", f"t{i - 1}" if i else "gone", "n", "d"] for i in range(depth)]
    rows.reverse()
    data = packages.written([head, *rows])
    report = read_files({**files, "taxonomy_terms.csv": data}).report
    codes = [p.code for p in report.problems if p.file == "taxonomy_terms.csv"]
    assert codes.count(ProblemCode.UNKNOWN_REFERENCE) == 1
    assert codes.count(ProblemCode.REFERENCE_LEFT_OUT) == depth - 1


def test_a_duplicate_names_the_line_that_keeps_the_id() -> None:
    files = packages.files("sample")
    data = files["phones.csv"] + files["phones.csv"].splitlines(keepends=True)[3]
    (problem,) = read_files({**files, "phones.csv": data}).report.problems
    assert (problem.line, problem.other_line) == (8, 4)
    assert problem.message.endswith("(line 4)")


def test_a_service_id_of_another_source_is_reported() -> None:
    result = read_files(packages.files("sample"), foreign_services=frozenset(("test-svc-rent",)))
    own = [p for p in result.report.problems if p.code is ProblemCode.ID_OF_OTHER_SOURCE]
    assert [(p.file, p.line) for p in own] == [("services.csv", 3)]
    assert "test-svc-rent" not in {s.id for s in result.package.services}


def test_what_lies_beside_the_package_is_never_read(tmp_path: Path) -> None:
    for name, data in packages.files("sample").items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "contacts.csv").write_bytes(b"\xff\xfe not read")
    (tmp_path / "notes.txt").write_text("no table")
    report = check(tmp_path)
    assert report.ok
    assert [(n.file, n.code.value) for n in report.notices if "not_used" in n.code.value] == [
        ("contacts.csv", "file_not_used")
    ]


def test_a_table_under_two_names_is_refused() -> None:
    files = packages.files("sample")
    twice = {**files, "service_at_locations.csv": files["service_at_location.csv"]}
    problems = read_files(twice).report.problems
    assert [p.code for p in problems] == [ProblemCode.FILE_TWICE]


def test_a_folder_in_place_of_a_file_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    for name, data in packages.files("sample").items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "phones.csv").unlink()
    (tmp_path / "phones.csv").mkdir()
    (problem,) = check(tmp_path).problems
    assert (problem.file, problem.code) == ("phones.csv", ProblemCode.FILE_UNREADABLE)


def test_a_broken_row_of_several_lines_is_one_row() -> None:
    files = packages.files("sample")
    data = files["organizations.csv"].replace(b"Harbour House", b'Harbour "House', 1)
    report = read_files({**files, "organizations.csv": data}).report
    own = [(p.line, p.code) for p in report.problems if p.file == "organizations.csv"]
    assert own == [(2, ProblemCode.UNBALANCED_QUOTES)]
    assert report.count("organizations.csv").rows_in == 4


def test_an_open_quote_that_closes_by_chance_costs_one_row() -> None:
    head = b"id,location_type,name,description\n"
    rows = b'l1,physical,"open,x\nl2,physical,plain,x\nl3,physical,closed", x,y\n'
    tail = b"l4,physical,n,d\n"
    files = {**packages.files("sample"), "locations.csv": head + rows + tail}
    report = read_files(files).report
    own = [(p.line, p.code) for p in report.problems if p.file == "locations.csv"]
    assert own == [(2, ProblemCode.UNBALANCED_QUOTES), (4, ProblemCode.UNBALANCED_QUOTES)]
    assert report.count("locations.csv").rows_ok == 2


def test_the_report_as_json_names_file_line_and_reason() -> None:
    files = packages.files("sample")
    files["phones.csv"] += b"p,555,,,,gone,,\n"
    as_json = read_files(files).report.to_json()
    assert as_json["ok"] is False
    assert as_json["problems"] == [
        {
            "file": "phones.csv",
            "line": 8,
            "reason": "UNKNOWN_REFERENCE",
            "column": "location_id",
            "message": "location_id: the row names another row that is not in the package",
            "severity": "error",
        }
    ]
    text = read_files(files).report.render_text()
    assert "phones.csv:8 UNKNOWN_REFERENCE location_id:" in text
