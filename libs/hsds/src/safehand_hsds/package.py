"""A package as a whole: found on disk or in memory, read, checked, reported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_hsds.build import build
from safehand_hsds.records import Package
from safehand_hsds.references import close
from safehand_hsds.report import FileCount, Notice, NoticeCode, Problem, ProblemCode, Report
from safehand_hsds.schema import SERVICES, TABLES, Table
from safehand_hsds.tables import MAX_FILE_BYTES, Rows, read_table

Files: TypeAlias = Mapping[str, bytes | ProblemCode]
"""File name to its bytes, or to why it could not be read."""

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class Result:
    """``package`` holds exactly the rows that ``report`` counts as ok."""

    package: Package
    report: Report


def load(path: Path) -> dict[str, bytes | ProblemCode]:
    """The CSV files of the folder ``path``; files that safehand does not use stay unread.

    Raises:
        SafehandError: NOT_FOUND if ``path`` is no folder that can be listed.
    """
    try:
        found = sorted(p for p in path.iterdir() if p.name.endswith(".csv"))
    except (OSError, ValueError) as error:
        raise SafehandError(Reason.NOT_FOUND, "the package must be a folder") from error
    used = {name for table in TABLES for name in (table.file, *table.aliases)}
    return {p.name: _bytes_of(p) if p.name in used else b"" for p in found}


def _bytes_of(path: Path) -> bytes | ProblemCode:
    try:
        if not path.is_file():
            return ProblemCode.FILE_UNREADABLE
        if path.stat().st_size > MAX_FILE_BYTES:
            return ProblemCode.FILE_TOO_LARGE
        return path.read_bytes()
    except OSError:
        return ProblemCode.FILE_UNREADABLE


def check(path: Path) -> Report:
    """What ``safehand directory check`` reports of the package in the folder ``path``.

    Raises:
        SafehandError: NOT_FOUND if ``path`` is no folder that can be listed.
    """
    return read(path).report


def read(path: Path) -> Result:
    """The package in the folder ``path`` and its report.

    Raises:
        SafehandError: NOT_FOUND if ``path`` is no folder that can be listed.
    """
    return read_files(load(path))


def read_files(files: Files, *, foreign_services: frozenset[str] = frozenset()) -> Result:
    """A package given as files in memory, and its report; never raises on their content.

    ``foreign_services`` are ids of services that other sources already have: a service id is
    unique in the whole directory, because a manifest names a service by it alone.
    """
    tables: dict[str, Rows] = {}
    problems: list[Problem] = []
    notices: list[Notice] = []
    absent: list[Table] = []
    for table in TABLES:
        names = [name for name in (table.file, *table.aliases) if name in files]
        if not names:
            absent.append(table)
            continue
        rows = read_table(table, names[0], files[names[0]])
        if len(names) > 1:
            rows.add(1, ProblemCode.FILE_TWICE)
            rows.usable = False
            rows.rows.clear()
        tables[table.name] = rows
    if SERVICES.name in tables:
        for row in tables[SERVICES.name].taken():
            if row.id in foreign_services:
                tables[SERVICES.name].report(row, ProblemCode.ID_OF_OTHER_SOURCE, "id")
    missing = {t.file: Problem(t.file, 1, ProblemCode.MISSING_FILE) for t in absent if t.required}
    missing.update((p.file, p) for p in close(tables))
    package = build(tables)
    counts = []
    for table in TABLES:
        if table.name in tables:
            rows = tables[table.name]
            problems += sorted(rows.problems)
            ok = {row.line for row in rows.taken()}
            notices += sorted(n for n in rows.notices if _handled(n, ok))
            counts.append(FileCount(rows.file, rows.rows_in, len(ok), rows.rows_in - len(ok)))
        elif table.file in missing:
            problems.append(missing[table.file])
            counts.append(FileCount(table.file, 0, 0, 0))
        else:
            notices.append(Notice(table.file, 1, NoticeCode.FILE_ABSENT))
    notices += _unused(files)
    return Result(package, Report(tuple(counts), tuple(problems), tuple(notices)))


_OF_A_ROW: Final = frozenset(
    (NoticeCode.COLUMNS_SLIPPED, NoticeCode.MARKUP_REMOVED, NoticeCode.PLACEHOLDER_REMOVED)
)


def _handled(notice: Notice, ok: set[int]) -> bool:
    """A row's quirk counts as handled only if the row is taken."""
    return notice.code not in _OF_A_ROW or notice.line in ok


def _unused(files: Files) -> list[Notice]:
    used = {name for table in TABLES for name in (table.file, *table.aliases)}
    return [
        Notice(name if _FILE_NAME.fullmatch(name) else "(a file)", 1, NoticeCode.FILE_NOT_USED)
        for name in sorted(files)
        if name not in used
    ]
