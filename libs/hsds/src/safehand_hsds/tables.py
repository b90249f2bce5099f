"""One file of a package: its header, its rows, and each row's own problems."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from safehand_core.ids import SERVICE_ID_PATTERN

from safehand_hsds import quirks
from safehand_hsds.csvrows import RawRow, RowReader
from safehand_hsds.report import Notice, NoticeCode, Problem, ProblemCode
from safehand_hsds.schema import LINK_TABLES, LINK_UNREAD, Column, Kind, Need, Table

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""Largest file in bytes; a national directory's largest table is about a tenth of it."""

_BOM: Final = b"\xef\xbb\xbf"
_OTHER_BOMS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_ID = re.compile(SERVICE_ID_PATTERN.removeprefix("^").removesuffix("$"))
_DIGITS = re.compile(r"[0-9]{1,9}")
_SIGNED = re.compile(r"-?[0-9]{1,9}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,20})?")
_COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ ]{0,39}")
_DEGREES: Final = {Kind.LATITUDE: 90.0, Kind.LONGITUDE: 180.0}
_TEXT_WITH_MARKUP: Final = frozenset(
    (
        "name",
        "alternate_name",
        "description",
        "eligibility_description",
        "application_process",
        "fees_description",
        "interpretation_services",
    )
)
_WIDTH = (ProblemCode.TOO_FEW_COLUMNS, ProblemCode.TOO_MANY_COLUMNS)


@dataclass(slots=True)
class Row:
    """A row whose text is sound: its values by column, tidied; ``reported`` once a problem."""

    line: int
    values: dict[str, str]
    reported: bool = False

    @property
    def id(self) -> str:
        return self.values["id"]


@dataclass(slots=True)
class Rows:
    """What one file gave.

    Attributes:
        usable: False when the file as a whole is reported; then it has no ``rows``.
        broken: rows that could not be read as text, in number.
        left_out: ids of reported rows, as far as they can be told.
    """

    table: Table
    file: str
    rows_in: int = 0
    broken: int = 0
    usable: bool = True
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)

    def add(self, line: int, code: ProblemCode, column: str = "", other_line: int = 0) -> None:
        self.problems.append(Problem(self.file, line, code, column, other_line))

    def note(self, line: int, code: NoticeCode, column: str = "", count: int = 1) -> None:
        self.notices.append(Notice(self.file, line, code, column, count))

    def report(self, row: Row, code: ProblemCode, column: str = "", other_line: int = 0) -> None:
        """A problem of a row: the row is not taken."""
        self.add(row.line, code, column, other_line)
        row.reported = True
        self.left_out.add(row.id)

    def taken(self) -> list[Row]:
        return [row for row in self.rows if not row.reported]


def read_table(table: Table, file: str, data: bytes | ProblemCode) -> Rows:
    """``data`` read as ``table``; a code instead of bytes says why there are none."""
    rows = Rows(table, file)
    if isinstance(data, ProblemCode):
        return _unusable(rows, 1, data)
    if len(data) > MAX_FILE_BYTES:
        return _unusable(rows, 1, ProblemCode.FILE_TOO_LARGE)
    if data.startswith(_OTHER_BOMS):
        rows.rows_in = max(0, data.count(b"\n") - 1)
        return _unusable(rows, 1, ProblemCode.NOT_UTF8_TEXT)
    if data.startswith(_BOM):
        data = data[len(_BOM) :]
        rows.note(1, NoticeCode.BYTE_ORDER_MARK)
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
        rows.note(1, NoticeCode.LINE_ENDINGS)
    reader = RowReader(data.decode("utf-8", "surrogateescape"))
    header = reader.read()
    if header is None:
        return _unusable(rows, 1, ProblemCode.EMPTY_FILE)
    names = [name.strip() for name in header.fields]
    if not _check_header(rows, header, names):
        rows.rows_in = sum(1 for _ in reader)
        rows.usable = False
        return rows
    reader.width = len(names)
    _take(rows, header.line, names, list(reader))
    for line in reader.blank_lines:
        rows.note(line, NoticeCode.BLANK_LINE)
    return rows


def _unusable(rows: Rows, line: int, code: ProblemCode) -> Rows:
    rows.usable = False
    rows.add(line, code)
    return rows


def _check_header(rows: Rows, header: RawRow, names: list[str]) -> bool:
    table = rows.table
    if header.defect is not None:
        rows.add(header.line, ProblemCode.BAD_HEADER)
        return False
    present = set(names)
    for column in table.columns:
        if column.name in present:
            if names.count(column.name) > 1:
                rows.add(header.line, ProblemCode.DUPLICATE_COLUMN, column.name)
        elif column.need is Need.REQUIRED:
            rows.add(header.line, ProblemCode.MISSING_COLUMN, column.name)
        elif column.need is Need.EXPECTED:
            rows.note(header.line, NoticeCode.COLUMN_EXPECTED, column.name)
    if table.one_of and not present.intersection(table.one_of):
        rows.add(header.line, ProblemCode.MISSING_COLUMN, table.one_of[0])
    for position, name in enumerate(names, start=1):
        if name in table.unused:
            rows.note(header.line, NoticeCode.COLUMN_NOT_USED, name)
        elif table.column(name) is None:
            shown = name if _COLUMN_NAME.fullmatch(name) else f"column {position}"
            rows.note(header.line, NoticeCode.COLUMN_UNKNOWN, shown)
    return not rows.problems


def _take(rows: Rows, header_line: int, names: list[str], raw: list[RawRow]) -> None:
    rows.rows_in = len(raw)
    widths = {len(r.fields) if r.defect in _WIDTH else len(names) for r in raw}
    if len(raw) > 1 and len(widths) == 1 and widths != {len(names)}:
        rows.add(header_line, ProblemCode.HEADER_WIDTH)
        rows.usable = False
        return
    columns = [(i, c) for i, c in ((i, rows.table.column(n)) for i, n in enumerate(names)) if c]
    id_at = names.index("id")
    first_lines: dict[str, int] = {}
    for item in raw:
        if item.defect is not None:
            rows.broken += 1
            rows.add(item.line, item.defect)
            rows.left_out.update(item.fields[id_at : id_at + 1])
            continue
        row = Row(item.line, {c.name: item.fields[i].strip() for i, c in columns})
        rows.rows.append(row)
        _check_id(rows, row, first_lines)
        _check_values(rows, row)


def _check_id(rows: Rows, row: Row, first_lines: dict[str, int]) -> None:
    if not row.id:
        rows.report(row, ProblemCode.MISSING_ID, "id")
    elif not _ID.fullmatch(row.id):
        rows.report(row, ProblemCode.MALFORMED_ID, "id")
    elif row.id in first_lines:
        rows.report(row, ProblemCode.DUPLICATE_ID, "id", first_lines[row.id])
    else:
        first_lines[row.id] = row.line


def _check_values(rows: Rows, row: Row) -> None:
    values, table = row.values, rows.table
    if table.name == "services" and quirks.slipped(values):
        rows.note(row.line, NoticeCode.COLUMNS_SLIPPED)
        for name in ("url", "email", "minimum_age", "maximum_age", "eligibility_description"):
            values[name] = ""
    for column in table.columns:
        if column.name == "id" or column.name not in values:
            continue
        _tidy(rows, row, column)
        value = values[column.name]
        if value:
            code = _wrong(column, value)
            if code is not None:
                rows.report(row, code, column.name)
        elif column.need is Need.REQUIRED:
            rows.report(row, ProblemCode.MISSING_VALUE, column.name)
    if table.one_of and not any(values.get(name) for name in table.one_of):
        rows.report(row, ProblemCode.MISSING_VALUE, table.one_of[0])
    if table.name == "services":
        _check_age_order(rows, row)
    if table.name == "attributes":
        entity = values["link_entity"]
        if entity and entity not in LINK_TABLES and entity not in LINK_UNREAD:
            rows.report(row, ProblemCode.UNKNOWN_CODE, "link_entity")


def _tidy(rows: Rows, row: Row, column: Column) -> None:
    if column.kind is not Kind.TEXT:
        return
    value = row.values[column.name]
    if column.name in _TEXT_WITH_MARKUP:
        plain = quirks.without_markup(value)
        if plain != value:
            rows.note(row.line, NoticeCode.MARKUP_REMOVED, column.name)
            value = plain
    if value and column.need is Need.OPTIONAL and not quirks.without_placeholder(value):
        rows.note(row.line, NoticeCode.PLACEHOLDER_REMOVED, column.name)
        value = ""
    row.values[column.name] = value


def _wrong(column: Column, value: str) -> ProblemCode | None:
    kind = column.kind
    if kind is Kind.CODE:
        return None if value in column.codes else ProblemCode.UNKNOWN_CODE
    if kind is Kind.AGE:
        if not _SIGNED.fullmatch(value):
            return ProblemCode.WRONG_TYPE
        return ProblemCode.OUT_OF_RANGE if int(value) < 0 else None
    if kind in (Kind.YEAR, Kind.DIGITS):
        return None if _DIGITS.fullmatch(value) else ProblemCode.WRONG_TYPE
    if kind in _DEGREES:
        if not _DECIMAL.fullmatch(value):
            return ProblemCode.WRONG_TYPE
        return ProblemCode.OUT_OF_RANGE if abs(float(value)) > _DEGREES[kind] else None
    return None


def _check_age_order(rows: Rows, row: Row) -> None:
    low, high = row.values.get("minimum_age", ""), row.values.get("maximum_age", "")
    if not _DIGITS.fullmatch(low):
        return
    if int(low) >= quirks.NO_MAXIMUM_AGE:
        rows.report(row, ProblemCode.OUT_OF_RANGE, "minimum_age")
    elif _DIGITS.fullmatch(high) and int(low) > int(high):
        rows.report(row, ProblemCode.AGE_ORDER, "minimum_age")
