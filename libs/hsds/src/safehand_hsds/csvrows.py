"""CSV as RFC 4180, read so that a damaged row costs that row and no other.

The standard reader follows an unclosed quotation mark into the rows behind it. This one knows
how many columns a row must have, and after a broken row goes on at the next line from which a
whole row can be read. Every row carries the physical line on which it starts (lines end in LF
or CR LF), also where fields hold line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from safehand_hsds.report import ProblemCode

MAX_FIELD_CHARS = 65_536
"""Longest field in characters; the longest of a real directory is below 2 000."""
SCAN_CHARS = 16 * MAX_FIELD_CHARS
"""How far the end of one quoted field is sought, in characters."""
RECOVERY_CHARS = 80 * SCAN_CHARS
"""Characters that may be spent per file on seeking ends that are not there. Beyond it no field
may hold a line break any more, which makes the rest of a hostile file linear."""
CHARGED_CHARS = 4096
"""Quoted fields beyond this length count against that, whether they end well or not."""
RESYNC_LINES = 200
"""Lines behind a broken row in which the next whole row is sought."""

_QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')
_PLAIN = re.compile(r"[^,\n]*+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_VISIBLE = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands: start line from 1, its fields, and what is wrong with its text."""

    line: int
    fields: list[str]
    defect: ProblemCode | None = None


class _BrokenQuotes(Exception):
    pass


class RowReader:
    """Rows of one file's text (decoded with ``surrogateescape``, without byte order mark).

    ``width`` is the number of columns of a whole row; set it once the header is read. Lines
    that hold nothing but blanks are no rows; ``blank_lines`` collects their numbers.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0] + [m.end() for m in re.finditer("\n", text)]
        if self._starts[-1] == len(text):
            self._starts.pop()
        self._next = 0  # index of the line at which the next row starts
        self._no_row_until = 0  # no whole row starts at a line from the current one up to this
        self._budget = RECOVERY_CHARS
        self.width: int | None = None
        self.blank_lines: list[int] = []

    def __iter__(self) -> Iterator[RawRow]:
        while (row := self.read()) is not None:
            yield row

    def read(self) -> RawRow | None:
        """The next row, or None at the end."""
        while self._next < len(self._starts):
            index = self._next
            if _VISIBLE.search(self._text, self._starts[index], self._line_end(index)):
                return self._read_at(index)
            self.blank_lines.append(index + 1)
            self._next = index + 1
        return None

    def _read_at(self, index: int) -> RawRow:
        line = index + 1
        try:
            fields, following = self._parse(index)
        except _BrokenQuotes:
            self._next = self._resync(index, index + RESYNC_LINES) or index + 1
            return RawRow(line, self._guess(index), ProblemCode.UNBALANCED_QUOTES)
        wrong_width = self.width is not None and len(fields) != self.width
        if wrong_width and following - index > 1:
            # The quotes happened to close, but rows behind were swallowed: the same defect.
            whole = self._resync(index, following - 1)
            if whole is not None:
                self._next = whole
                return RawRow(line, self._guess(index), ProblemCode.UNBALANCED_QUOTES)
        self._next = following
        return RawRow(line, fields, self._defect(fields))

    def _defect(self, fields: list[str]) -> ProblemCode | None:
        if any(_ESCAPED_BYTE.search(f) for f in fields):
            return ProblemCode.INVALID_UTF8
        if any(_CONTROL.search(f) for f in fields):
            return ProblemCode.CONTROL_CHARACTER
        if any(len(f) > MAX_FIELD_CHARS for f in fields):
            return ProblemCode.OVERSIZED_FIELD
        if self.width is not None and len(fields) < self.width:
            return ProblemCode.TOO_FEW_COLUMNS
        if self.width is not None and len(fields) > self.width:
            return ProblemCode.TOO_MANY_COLUMNS
        if any("\r" in f for f in fields):
            return ProblemCode.CONTROL_CHARACTER
        return None

    def _line_end(self, index: int) -> int:
        following = index + 1
        return self._starts[following] if following < len(self._starts) else len(self._text)

    def _guess(self, index: int) -> list[str]:
        """A broken row's fields as far as one can tell: its line, split at every comma."""
        line = self._text[self._starts[index] : self._line_end(index)]
        return [field.strip() for field in line.replace('"', "").split(",")]

    def _resync(self, index: int, last: int) -> int | None:
        """The first line behind ``index``, up to ``last``, from which a whole row reads."""
        last = min(last, len(self._starts) - 1)
        # Lines that were tried for an earlier row are not tried again: linear over the file.
        for candidate in range(max(index, self._no_row_until) + 1, last + 1):
            if self._budget <= 0:
                return None
            try:
                fields, _ = self._parse(candidate)
            except _BrokenQuotes:
                fields = []
            if self.width is not None and len(fields) == self.width:
                return candidate
            self._no_row_until = candidate
        return None

    def _parse(self, index: int) -> tuple[list[str], int]:
        """The fields of the row that starts at line ``index``, and the line behind it.

        Raises:
            _BrokenQuotes: an unclosed quotation mark, text behind a closed one, or one inside
                a field that does not start with one.
        """
        start = self._starts[index]
        line_end = self._line_end(index)
        if self._text.find('"', start, line_end) < 0:
            text = self._text[start:line_end].removesuffix("\n").removesuffix("\r")
            return text.split(","), index + 1
        end = len(self._text) if self._budget > 0 else line_end
        fields: list[str] = []
        position = start
        while True:
            field, position = self._field(position, end)
            fields.append(field)
            if position < end and self._text[position] == ",":
                position += 1
                continue
            break
        following = index + 1
        while following < len(self._starts) and self._starts[following] <= position:
            following += 1
        return fields, following

    def _field(self, position: int, end: int) -> tuple[str, int]:
        text = self._text
        if position < end and text[position] == '"':
            match = _QUOTED.match(text, position, min(end, position + SCAN_CHARS))
            if match is None:
                self._budget -= min(end - position, SCAN_CHARS)
                raise _BrokenQuotes
            behind = match.end()
            if behind - position > CHARGED_CHARS:
                self._budget -= behind - position
            if not (
                behind == len(text) or text[behind] in ",\n" or text.startswith("\r\n", behind)
            ):
                raise _BrokenQuotes
            if text.startswith("\r\n", behind):
                behind += 1
            field = match.group(1)
            return field.replace('""', '"').replace("\r\n", "\n"), behind
        match = _PLAIN.match(text, position, end)
        plain = match.group() if match else ""
        if '"' in plain:
            raise _BrokenQuotes
        behind = position + len(plain)
        if behind == len(text) or text[behind] == "\n":
            plain = plain.removesuffix("\r")
        return plain, behind
