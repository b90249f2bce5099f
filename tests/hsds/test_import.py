"""Packages into the directory: whole or not at all, again and again, and what is left out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_hsds import read_files
from safehand_referral_service import directory_store as store
from safehand_referral_service.directory_tables import TABLES
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Engine, event, func, select

from tests.hsds import packages
from tests.hsds.damage import DEFECTS, SAMPLE_DEFECTS

TABLE_OF_FILE = {
    "organizations.csv": TABLES.organization,
    "locations.csv": TABLES.location,
    "services.csv": TABLES.service,
    "service_at_location.csv": TABLES.service_at_location,
    "addresses.csv": TABLES.address,
    "phones.csv": TABLES.phone,
    "service_areas.csv": TABLES.service_area,
    "languages.csv": TABLES.language,
    "taxonomies.csv": TABLES.taxonomy,
    "taxonomy_terms.csv": TABLES.term,
    "attributes.csv": TABLES.attribute,
}

NEEDED = ("organizations.csv", "services.csv", "locations.csv")


def content(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of the directory."""
    with begin_read(engine) as conn:
        return {
            table.name: sorted(tuple(row) for row in conn.execute(select(table)))
            for table in TABLES.of_a_source()
        }


def assert_stored(engine: Engine, imported: store.Imported, source: str) -> None:
    """What was counted as stored is what is there."""
    with begin_read(engine) as conn:
        for counted in imported.counts:
            table = TABLE_OF_FILE[counted.file]
            there = conn.scalar(
                select(func.count()).select_from(table).where(table.c.source == source)
            )
            assert counted.rows_stored == there
            assert counted.rows_in == counted.rows_stored + counted.rows_reported


def test_the_real_package_is_stored_whole(directory: Engine) -> None:
    folder = packages.folder("florida")
    with begin_write(directory) as conn:
        imported = store.import_package(conn, folder, "florida")
    stored = {c.file: c.rows_stored for c in imported.counts}
    assert (stored["organizations.csv"], stored["services.csv"], stored["locations.csv"]) == (
        20,
        135,
        378,
    )
    assert all(c.rows_reported == 0 for c in imported.counts)
    for name, data in packages.files("florida").items():
        assert stored[name] == len(packages.records(data)) - 1
    assert_stored(directory, imported, "florida")


def test_importing_again_changes_nothing(sample: Engine) -> None:
    before = content(sample)
    with begin_write(sample) as conn:
        store.import_package(conn, packages.files("sample"), "sample")
    assert content(sample) == before


def test_a_new_version_replaces_the_old_one_and_no_other_source(sample: Engine) -> None:
    files = packages.files("sample")
    other = {n: d.replace(b"test-", b"other-") for n, d in files.items()}
    with begin_write(sample) as conn:
        store.import_package(conn, other, "other")
    rows = packages.records(files["phones.csv"])
    with begin_write(sample) as conn:
        files["phones.csv"] = packages.written(rows[:-2])
        store.import_package(conn, files, "sample")
    with begin_read(sample) as conn:
        phone = TABLES.phone
        ids = list(conn.scalars(select(phone.c.id).order_by(phone.c.id)))
    assert ids == [
        *(f"other-tel-{i}" for i in range(1, 7)),
        *(f"test-tel-{i}" for i in range(1, 5)),
    ]


def test_an_import_that_fails_half_way_leaves_the_old_content(sample: Engine) -> None:
    before = content(sample)
    files = packages.files("sample")
    files["organizations.csv"] = files["organizations.csv"].replace(b"Kindling", b"Changed")
    seen: list[str] = []

    def fail(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)
        if statement.startswith("INSERT INTO directory_service_area"):
            raise RuntimeError("the disk is full")

    event.listen(sample, "before_cursor_execute", fail)
    with pytest.raises(RuntimeError), begin_write(sample) as conn:
        store.import_package(conn, files, "sample")
    event.remove(sample, "before_cursor_execute", fail)
    assert any(s.startswith("INSERT INTO directory_organization") for s in seen)
    assert content(sample) == before


@pytest.mark.parametrize("defect", [*DEFECTS, *SAMPLE_DEFECTS])
def test_a_package_with_a_problem_is_refused_and_changes_nothing(
    sample: Engine, defect: str
) -> None:
    before = content(sample)
    damage = {**DEFECTS, **SAMPLE_DEFECTS}[defect]
    damaged = damage(random.Random(defect), packages.files("sample"))
    with pytest.raises(store.PackageInvalid) as caught, begin_write(sample) as conn:
        store.import_package(conn, damaged.files, "sample")
    assert caught.value.reason is Reason.PACKAGE_INVALID
    places = [(p.file, p.line, p.code) for p in caught.value.report.problems]
    assert (damaged.file, damaged.line, damaged.code) in places
    assert content(sample) == before


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from([*DEFECTS, *SAMPLE_DEFECTS]), min_size=1, max_size=4), st.integers()
)
def test_skip_bad_takes_the_rest_and_reports_what_it_left_out(
    directory: Engine, defects: list[str], seed: int
) -> None:
    rng = random.Random(seed)
    files = packages.files("sample")
    for defect in defects:
        try:
            files = {**DEFECTS, **SAMPLE_DEFECTS}[defect](rng, files).files
        except (KeyError, ValueError, IndexError, UnicodeDecodeError):
            continue  # what it would have damaged is gone already
    report = read_files(files).report
    if any(report.count(name).rows_ok == 0 for name in NEEDED):
        with pytest.raises(store.PackageInvalid), begin_write(directory) as conn:
            store.import_package(conn, files, "sample", skip_bad=True)
        return
    with begin_write(directory) as conn:
        imported = store.import_package(conn, files, "sample", skip_bad=True)
    assert imported.report == report
    assert imported.report.problems
    assert_stored(directory, imported, "sample")
    with begin_read(directory) as conn:
        found = store.search(conn, limit=100)
        for view in found.services:
            assert store.get_service(conn, view.id).organization_name


def test_skip_bad_does_not_empty_the_source(sample: Engine) -> None:
    before = content(sample)
    files = packages.files("sample")
    del files["services.csv"]
    with pytest.raises(store.PackageInvalid), begin_write(sample) as conn:
        store.import_package(conn, files, "sample", skip_bad=True)
    assert content(sample) == before


def test_a_service_of_another_source_is_not_taken_over(sample: Engine) -> None:
    files = packages.files("sample")
    with pytest.raises(store.PackageInvalid) as caught, begin_write(sample) as conn:
        store.import_package(conn, files, "impostor")
    assert {p.code.value for p in caught.value.report.problems} == {
        "ID_OF_OTHER_SOURCE",
        "REFERENCE_LEFT_OUT",
    }


@pytest.mark.parametrize("source", ["", "Up", "a b", "-a", "a" * 65, "ä"])
def test_the_name_of_a_source_has_a_shape(directory: Engine, source: str) -> None:
    with pytest.raises(SafehandError) as caught, begin_write(directory) as conn:
        store.import_package(conn, packages.files("sample"), source)
    assert caught.value.reason is Reason.MALFORMED


def test_a_package_that_is_not_there_is_said_so(directory: Engine, tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "directory.db"):
        with pytest.raises(SafehandError) as caught, begin_write(directory) as conn:
            store.import_package(conn, path, "sample")
        assert caught.value.reason is Reason.NOT_FOUND
