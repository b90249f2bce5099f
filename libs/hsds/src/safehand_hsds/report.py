"""What a check says: counts by file, every problem with its place, and the quirks handled."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProblemCode(StrEnum):
    """Why a row, or a whole file, is not taken."""

    # the file
    MISSING_FILE = "MISSING_FILE"
    FILE_UNREADABLE = "FILE_UNREADABLE"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_TWICE = "FILE_TWICE"
    EMPTY_FILE = "EMPTY_FILE"
    NOT_UTF8_TEXT = "NOT_UTF8_TEXT"
    MISSING_COLUMN = "MISSING_COLUMN"
    DUPLICATE_COLUMN = "DUPLICATE_COLUMN"
    BAD_HEADER = "BAD_HEADER"
    HEADER_WIDTH = "HEADER_WIDTH"
    # the row as text
    UNBALANCED_QUOTES = "UNBALANCED_QUOTES"
    TOO_FEW_COLUMNS = "TOO_FEW_COLUMNS"
    TOO_MANY_COLUMNS = "TOO_MANY_COLUMNS"
    INVALID_UTF8 = "INVALID_UTF8"
    CONTROL_CHARACTER = "CONTROL_CHARACTER"
    OVERSIZED_FIELD = "OVERSIZED_FIELD"
    # the row's values
    MISSING_ID = "MISSING_ID"
    MALFORMED_ID = "MALFORMED_ID"
    DUPLICATE_ID = "DUPLICATE_ID"
    ID_OF_OTHER_SOURCE = "ID_OF_OTHER_SOURCE"
    MISSING_VALUE = "MISSING_VALUE"
    WRONG_TYPE = "WRONG_TYPE"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    AGE_ORDER = "AGE_ORDER"
    UNKNOWN_CODE = "UNKNOWN_CODE"
    # the row's references
    UNKNOWN_REFERENCE = "UNKNOWN_REFERENCE"
    REFERENCE_LEFT_OUT = "REFERENCE_LEFT_OUT"


PROBLEM_TEXT: dict[ProblemCode, str] = {
    ProblemCode.MISSING_FILE: "the package needs this file",
    ProblemCode.FILE_UNREADABLE: "the file cannot be read",
    ProblemCode.FILE_TOO_LARGE: "the file is larger than 64 MiB",
    ProblemCode.FILE_TWICE: "the table is there under two file names; keep one",
    ProblemCode.EMPTY_FILE: "the file has no header row",
    ProblemCode.NOT_UTF8_TEXT: "the file is not UTF-8 text; save it as CSV in UTF-8",
    ProblemCode.MISSING_COLUMN: "the file needs this column",
    ProblemCode.DUPLICATE_COLUMN: "the header names this column twice",
    ProblemCode.BAD_HEADER: "the header row is not well-formed CSV in UTF-8",
    ProblemCode.HEADER_WIDTH: "every row has another number of columns than the header",
    ProblemCode.UNBALANCED_QUOTES: "a quotation mark is missing, or one stands where none may",
    ProblemCode.TOO_FEW_COLUMNS: "the row has fewer columns than the header",
    ProblemCode.TOO_MANY_COLUMNS: "the row has more columns than the header",
    ProblemCode.INVALID_UTF8: "the row holds bytes that are not UTF-8",
    ProblemCode.CONTROL_CHARACTER: "the row holds a control character",
    ProblemCode.OVERSIZED_FIELD: "a field is longer than 65536 characters",
    ProblemCode.MISSING_ID: "the row has no id",
    ProblemCode.MALFORMED_ID: "an id may hold letters, digits, '-' and '_', at most 64",
    ProblemCode.DUPLICATE_ID: "an earlier row of this file has the same id",
    ProblemCode.ID_OF_OTHER_SOURCE: "another source already has a service with this id",
    ProblemCode.MISSING_VALUE: "HSDS 3.0 requires a value here",
    ProblemCode.WRONG_TYPE: "the value is not of the type that HSDS 3.0 gives this column",
    ProblemCode.OUT_OF_RANGE: "the number is outside what is possible here",
    ProblemCode.AGE_ORDER: "the minimum age is above the maximum age",
    ProblemCode.UNKNOWN_CODE: "the value is not one of the codes that HSDS 3.0 lists",
    ProblemCode.UNKNOWN_REFERENCE: "the row names another row that is not in the package",
    ProblemCode.REFERENCE_LEFT_OUT: "the row names another row that was itself reported",
}


class NoticeCode(StrEnum):
    """A quirk that was handled: the row is taken, and this says what was made of it."""

    BYTE_ORDER_MARK = "byte_order_mark"
    LINE_ENDINGS = "line_endings"
    BLANK_LINE = "blank_line"
    FILE_ABSENT = "file_absent"
    FILE_NOT_USED = "file_not_used"
    COLUMN_UNKNOWN = "column_unknown"
    COLUMN_NOT_USED = "column_not_used"
    COLUMN_EXPECTED = "column_expected"
    AGE_RANGE_UNBOUNDED = "age_range_unbounded"
    COLUMNS_SLIPPED = "columns_slipped"
    YEAR_IMPLAUSIBLE = "year_implausible"
    DATE_UNCLEAR = "date_unclear"
    ADDRESS_STATE_ONLY = "address_state_only"
    ADDRESS_NO_STREET = "address_no_street"
    ADDRESS_STATE_CONFLICT = "address_state_conflict"
    ELIGIBILITY_SPLIT = "eligibility_split"
    PLACEHOLDER_REMOVED = "placeholder_removed"
    MARKUP_REMOVED = "markup_removed"
    LINK_NOT_CHECKED = "link_not_checked"
    SERVICE_WITHOUT_AREA = "service_without_area"
    SERVICE_STATEWIDE = "service_statewide"


NOTICE_TEXT: dict[NoticeCode, str] = {
    NoticeCode.BYTE_ORDER_MARK: "a byte order mark was dropped",
    NoticeCode.LINE_ENDINGS: "lines end in a lone carriage return; read as lines",
    NoticeCode.BLANK_LINE: "a blank line was passed over; it is no row",
    NoticeCode.FILE_ABSENT: "this optional file is not in the package",
    NoticeCode.FILE_NOT_USED: "safehand does not use this file; it was not read",
    NoticeCode.COLUMN_UNKNOWN: "HSDS 3.0 has no such column; it was not read",
    NoticeCode.COLUMN_NOT_USED: "safehand does not use this column",
    NoticeCode.COLUMN_EXPECTED: "HSDS 3.0 requires this column; the file works without it",
    NoticeCode.AGE_RANGE_UNBOUNDED: "an age of 0, or of 120 and more, was read as no limit",
    NoticeCode.COLUMNS_SLIPPED: (
        "the values slipped into the wrong columns (a web address stands as an age);"
        " links, ages and eligibility of this row were left empty"
    ),
    NoticeCode.YEAR_IMPLAUSIBLE: "the year is no possible year; it was left empty",
    NoticeCode.DATE_UNCLEAR: "the date is no day of the calendar; it was left empty",
    NoticeCode.ADDRESS_STATE_ONLY: "the address is only a state; it is never shown as one",
    NoticeCode.ADDRESS_NO_STREET: "the address has no street; it is shown as a place",
    NoticeCode.ADDRESS_STATE_CONFLICT: "the address names another state than its column",
    NoticeCode.ELIGIBILITY_SPLIT: "the eligibility list was split into situations",
    NoticeCode.PLACEHOLDER_REMOVED: "a placeholder such as N/A was read as no value",
    NoticeCode.MARKUP_REMOVED: "markup was removed from a text",
    NoticeCode.LINK_NOT_CHECKED: "the row links to a table that safehand does not read",
    NoticeCode.SERVICE_WITHOUT_AREA: "the service names no area; a search by area omits it",
    NoticeCode.SERVICE_STATEWIDE: "the service covers every area; a search for the state finds it",
}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong.

    Attributes:
        file: the file's name in the package.
        line: physical line, from 1, on which the row starts; 1 for the header and for what
            concerns the file as a whole.
        code: why.
        column: the column's name where one is to blame, else "".
        other_line: for a duplicate id the line of the row that keeps the id, else 0.
    """

    file: str
    line: int
    code: ProblemCode
    column: str = ""
    other_line: int = 0

    @property
    def message(self) -> str:
        """A constant sentence, with numbers and column names of the schema only."""
        text = PROBLEM_TEXT[self.code]
        if self.other_line:
            text = f"{text} (line {self.other_line})"
        return f"{self.column}: {text}" if self.column else text


@dataclass(frozen=True, slots=True, order=True)
class Notice:
    """One quirk handled. ``count`` is how many (situations of a list; else 1)."""

    file: str
    line: int
    code: NoticeCode
    column: str = ""
    count: int = 1

    @property
    def message(self) -> str:
        """A constant sentence, with numbers and column names only."""
        text = NOTICE_TEXT[self.code]
        if self.count > 1:
            text = f"{text} ({self.count})"
        return f"{self.column}: {text}" if self.column else text


@dataclass(frozen=True, slots=True)
class FileCount:
    """Rows of one file. ``rows_in == rows_ok + rows_reported`` always holds."""

    file: str
    rows_in: int
    rows_ok: int
    rows_reported: int


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check: counts and problems in the order of files and lines."""

    files: tuple[FileCount, ...]
    problems: tuple[Problem, ...]
    notices: tuple[Notice, ...]

    @property
    def ok(self) -> bool:
        """Whether the package can be imported as it is."""
        return not self.problems

    def count(self, file: str) -> FileCount:
        """The counts of ``file``; zeros if the package has none."""
        for counted in self.files:
            if counted.file == file:
                return counted
        return FileCount(file, 0, 0, 0)

    def notice_counts(self) -> dict[NoticeCode, int]:
        """How many rows (or files, columns) each quirk was found in."""
        counts: dict[NoticeCode, int] = {}
        for notice in self.notices:
            counts[notice.code] = counts.get(notice.code, 0) + 1
        return dict(sorted(counts.items()))

    def to_json(self) -> dict[str, object]:
        """The whole report as plain lists and dicts, for ``--json``."""
        return {
            "ok": self.ok,
            "files": [
                {
                    "file": f.file,
                    "rows_in": f.rows_in,
                    "rows_ok": f.rows_ok,
                    "rows_reported": f.rows_reported,
                }
                for f in self.files
            ],
            "problems": [
                {
                    "file": p.file,
                    "line": p.line,
                    "reason": p.code.value,
                    "column": p.column,
                    "message": p.message,
                    "severity": "error",
                }
                for p in self.problems
            ],
            "notices": [
                {
                    "file": n.file,
                    "line": n.line,
                    "reason": n.code.value,
                    "column": n.column,
                    "count": n.count,
                    "message": n.message,
                }
                for n in self.notices
            ],
        }

    def render_text(self) -> str:
        """Counts by file, every problem on its line, and the quirks summed by kind."""
        width = max([len(f.file) for f in self.files] + [4])
        lines = [f"{'file':<{width}}  rows in       ok  reported"]
        lines += [
            f"{f.file:<{width}}  {f.rows_in:>7}  {f.rows_ok:>7}  {f.rows_reported:>8}"
            for f in self.files
        ]
        lines.append("")
        if self.problems:
            lines.append(f"{len(self.problems)} problems")
            lines += [f"  {p.file}:{p.line} {p.code.value} {p.message}" for p in self.problems]
        else:
            lines.append("no problems")
        if self.notices:
            lines += ["", "handled"]
            lines += self._notice_lines()
        return "\n".join(lines) + "\n"

    def _notice_lines(self) -> list[str]:
        groups: dict[tuple[str, NoticeCode], list[Notice]] = {}
        for notice in self.notices:
            groups.setdefault((notice.file, notice.code), []).append(notice)
        lines = []
        for (file, code), found in groups.items():
            places = ", ".join(
                (f"line {n.line}" + (f" {n.column}" if n.column else "")) for n in found[:3]
            )
            more = ", …" if len(found) > 3 else ""
            lines.append(
                f"  {file} {code.value} × {len(found)}: {NOTICE_TEXT[code]} ({places}{more})"
            )
        return lines
