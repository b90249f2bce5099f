"""One defect at a time: each function damages a package at random and says what must be found.

They edit with the standard library's ``csv`` alone, so that reader and damage share no code.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from safehand_hsds import ProblemCode

from tests.hsds.packages import line_of, records, written

Package = dict[str, bytes]


@dataclass(frozen=True)
class Damaged:
    """The package after the damage, and the one defect with its place."""

    files: Package
    file: str
    line: int
    code: ProblemCode
    column: str = ""


Damage = Callable[[random.Random, Package], Damaged]

LEAVES = ("addresses.csv", "phones.csv", "service_areas.csv", "attributes.csv")
"""Tables whose rows no other row names: nothing else falls with them."""
REFERENCES = (
    ("services.csv", "organization_id"),
    ("locations.csv", "organization_id"),
    ("addresses.csv", "location_id"),
    ("phones.csv", "location_id"),
    ("service_areas.csv", "service_id"),
    ("attributes.csv", "link_id"),
    ("attributes.csv", "taxonomy_term_id"),
    ("taxonomy_terms.csv", "taxonomy_id"),
)
SAMPLE_REFERENCES = (
    ("phones.csv", "service_id"),
    ("phones.csv", "organization_id"),
    ("languages.csv", "service_id"),
    ("service_at_location.csv", "service_id"),
    ("service_at_location.csv", "location_id"),
    ("taxonomy_terms.csv", "parent_id"),
)


def _row(rng: random.Random, rows: list[list[str]]) -> int:
    return rng.randrange(1, len(rows))


def set_value(file: str, column: str, value: str, code: ProblemCode, **also: str) -> Damage:
    """Write ``value`` (and ``also``) into a row of ``file``."""

    def damage(rng: random.Random, files: Package) -> Damaged:
        rows = records(files[file])
        at = _row(rng, rows)
        for name, new in {column: value, **also}.items():
            rows[at][rows[0].index(name)] = new
        line = line_of(rows, at)
        return Damaged({**files, file: written(rows)}, file, line, code, column)

    return damage


def duplicate_row(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(sorted(files))
    rows = records(files[file])
    at = rng.randrange(2, len(rows) + 1)
    rows.insert(at, list(rows[_row(rng, rows[:at])]))
    return Damaged(
        {**files, file: written(rows)}, file, line_of(rows, at), ProblemCode.DUPLICATE_ID, "id"
    )


def no_id(rng: random.Random, files: Package) -> Damaged:
    return set_value(rng.choice(LEAVES), "id", "", ProblemCode.MISSING_ID)(rng, files)


def odd_id(rng: random.Random, files: Package) -> Damaged:
    return set_value(rng.choice(LEAVES), "id", "an id; two", ProblemCode.MALFORMED_ID)(rng, files)


def column_too_few(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(sorted(set(files) - {"taxonomies.csv"}))
    rows = records(files[file])
    at = _row(rng, rows)
    del rows[at][rng.randrange(1, len(rows[at]))]
    code = ProblemCode.TOO_FEW_COLUMNS
    return Damaged({**files, file: written(rows)}, file, line_of(rows, at), code)


def column_too_many(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(sorted(set(files) - {"taxonomies.csv"}))
    rows = records(files[file])
    at = _row(rng, rows)
    rows[at].insert(rng.randrange(1, len(rows[at]) + 1), "one more")
    code = ProblemCode.TOO_MANY_COLUMNS
    return Damaged({**files, file: written(rows)}, file, line_of(rows, at), code)


def into_bytes(inserted: bytes, code: ProblemCode) -> Damage:
    """Insert bytes inside a text value."""

    def damage(rng: random.Random, files: Package) -> Damaged:
        file = rng.choice(("organizations.csv", "locations.csv", "services.csv"))
        rows = records(files[file])
        at = _row(rng, rows)
        name = rows[0].index("name")
        rows[at][name] = rows[at][name][:3] + "@@HERE@@" + rows[at][name][3:]
        data = written(rows).replace(b"@@HERE@@", inserted)
        return Damaged({**files, file: data}, file, line_of(rows, at), code)

    return damage


def oversized(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(("organizations.csv", "locations.csv", "services.csv"))
    rows = records(files[file])
    at = _row(rng, rows)
    filler = rng.choice(("x", "a, b ", "two\nlines "))
    rows[at][rows[0].index("name")] = filler * (70_000 // len(filler) + 1)
    code = ProblemCode.OVERSIZED_FIELD
    return Damaged({**files, file: written(rows)}, file, line_of(rows, at), code)


def _quoted_lines(files: Package, *, quoted: bool) -> list[tuple[str, int]]:
    """(file, index) of lines that are one row and do, or do not, hold a quotation mark."""
    found = []
    for file, data in sorted(files.items()):
        rows = records(data)
        for index in range(1, len(rows)):
            text = written(rows[index : index + 1])
            if text.count(b"\n") == 1 and (b'"' in text) == quoted:
                found.append((file, index))
    return found


def _edit_line(files: Package, file: str, index: int, edit: Callable[[bytes], bytes]) -> Damaged:
    rows = records(files[file])
    before, after = written(rows[:index]), written(rows[index + 1 :])
    line = written(rows[index : index + 1]).removesuffix(b"\n")
    data = before + edit(line) + b"\n" + after
    code = ProblemCode.UNBALANCED_QUOTES
    return Damaged({**files, file: data}, file, line_of(rows, index), code)


def quote_lost(rng: random.Random, files: Package) -> Damaged:
    """An opening or a closing quotation mark is gone."""
    file, index = rng.choice(_quoted_lines(files, quoted=True))

    def edit(line: bytes) -> bytes:
        marks = [
            i
            for i, c in enumerate(line)
            if c == ord('"') and b'""' not in (line[i - 1 : i + 1], line[i : i + 2])
        ]
        at = rng.choice(marks)
        return line[:at] + line[at + 1 :]

    return _edit_line(files, file, index, edit)


def quote_too_many(rng: random.Random, files: Package) -> Damaged:
    """A quotation mark stands in the middle of a plain value."""
    file, index = rng.choice(_quoted_lines(files, quoted=False))

    def edit(line: bytes) -> bytes:
        at = rng.randrange(1, len(line))
        return line[:at] + b'"' + line[at:]

    return _edit_line(files, file, index, edit)


def header_twice(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(LEAVES)
    rows = records(files[file])
    for row in rows:
        row.append(row[0])
    code = ProblemCode.DUPLICATE_COLUMN
    return Damaged({**files, file: written(rows)}, file, 1, code, "id")


def header_short(rng: random.Random, files: Package) -> Damaged:
    """The header lost an optional name: every row then has a column too many."""
    rows = records(files["locations.csv"])
    rows[0].remove("url")
    code = ProblemCode.HEADER_WIDTH
    return Damaged({**files, "locations.csv": written(rows)}, "locations.csv", 1, code)


def no_column(rng: random.Random, files: Package) -> Damaged:
    file, column = rng.choice(
        (
            ("organizations.csv", "name"),
            ("services.csv", "status"),
            ("services.csv", "organization_id"),
            ("locations.csv", "location_type"),
            ("attributes.csv", "taxonomy_term_id"),
            ("phones.csv", "number"),
            ("service_areas.csv", "service_id"),
            ("taxonomy_terms.csv", "id"),
        )
    )
    rows = records(files[file])
    at = rows[0].index(column)
    for row in rows:
        del row[at]
    code = ProblemCode.MISSING_COLUMN
    return Damaged({**files, file: written(rows)}, file, 1, code, column)


def no_file(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(("organizations.csv", "services.csv", "locations.csv", "taxonomy_terms.csv"))
    rest = {name: data for name, data in files.items() if name != file}
    return Damaged(rest, file, 1, ProblemCode.MISSING_FILE)


def empty_file(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(sorted(files))
    return Damaged({**files, file: b""}, file, 1, ProblemCode.EMPTY_FILE)


def utf16(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(sorted(files))
    data = files[file].decode().encode("utf-16")
    return Damaged({**files, file: data}, file, 1, ProblemCode.NOT_UTF8_TEXT)


def broken_header(rng: random.Random, files: Package) -> Damaged:
    file = rng.choice(sorted(files))
    data = files[file].replace(b"name", b"na\x00me", 1) if b"name" in files[file] else b"id\x00,"
    return Damaged({**files, file: data}, file, 1, ProblemCode.BAD_HEADER)


def cut_off(rng: random.Random, files: Package) -> Damaged:
    """The transfer ended in the middle of the last row."""
    file = rng.choice(("attributes.csv", "service_areas.csv"))
    rows = records(files[file])
    last = written(rows[-1:])
    data = files[file][: -len(last)] + last[: rng.randrange(1, last.index(b",") + 2)]
    line = line_of(rows, len(rows) - 1)
    return Damaged({**files, file: data}, file, line, ProblemCode.TOO_FEW_COLUMNS)


_V = ProblemCode
DEFECTS: dict[str, Damage] = {
    "duplicate id": duplicate_row,
    "missing id": no_id,
    "malformed id": odd_id,
    **{
        f"dangling {file} {column}": set_value(file, column, "gone", _V.UNKNOWN_REFERENCE)
        for file, column in REFERENCES
    },
    "age not a number": set_value("services.csv", "minimum_age", "adult", _V.WRONG_TYPE),
    "age with a fraction": set_value("services.csv", "maximum_age", "17.5", _V.WRONG_TYPE),
    "age negative": set_value("services.csv", "minimum_age", "-1", _V.OUT_OF_RANGE),
    "age beyond life": set_value(
        "services.csv", "minimum_age", "200", _V.OUT_OF_RANGE, maximum_age=""
    ),
    "ages reversed": set_value("services.csv", "minimum_age", "60", _V.AGE_ORDER, maximum_age="18"),
    "year not a number": set_value(
        "organizations.csv", "year_incorporated", "MCMXC", _V.WRONG_TYPE
    ),
    "status unknown": set_value("services.csv", "status", "open", _V.UNKNOWN_CODE),
    "location type unknown": set_value("locations.csv", "location_type", "secret", _V.UNKNOWN_CODE),
    "address type unknown": set_value("addresses.csv", "address_type", "home", _V.UNKNOWN_CODE),
    "link entity unknown": set_value("attributes.csv", "link_entity", "person", _V.UNKNOWN_CODE),
    "name missing": set_value("services.csv", "name", " ", _V.MISSING_VALUE),
    "phone number missing": set_value("phones.csv", "number", "", _V.MISSING_VALUE),
    "column too few": column_too_few,
    "column too many": column_too_many,
    "invalid UTF-8": into_bytes(b"\xc3\x28\xff", _V.INVALID_UTF8),
    "Latin-1": into_bytes("é".encode("latin-1"), _V.INVALID_UTF8),
    "NUL": into_bytes(b"\x00", _V.CONTROL_CHARACTER),
    "escape": into_bytes(b"\x1b[31m", _V.CONTROL_CHARACTER),
    "mark in the middle": into_bytes(b"\xef\xbb\xbf", _V.CONTROL_CHARACTER),
    "oversized": oversized,
    "quote lost": quote_lost,
    "quote too many": quote_too_many,
    "cut off": cut_off,
    "column name twice": header_twice,
    "header short": header_short,
    "column missing": no_column,
    "header broken": broken_header,
    "file missing": no_file,
    "file empty": empty_file,
    "UTF-16": utf16,
}
"""Defects that every package can have."""

SAMPLE_DEFECTS: dict[str, Damage] = {
    **{
        f"dangling {file} {column}": set_value(file, column, "gone", _V.UNKNOWN_REFERENCE)
        for file, column in SAMPLE_REFERENCES
    },
    "latitude not a number": set_value("locations.csv", "latitude", "north", _V.WRONG_TYPE),
    "latitude beyond the pole": set_value("locations.csv", "latitude", "90.5", _V.OUT_OF_RANGE),
    "longitude beyond": set_value("locations.csv", "longitude", "-180.01", _V.OUT_OF_RANGE),
    "extension not digits": set_value("phones.csv", "extension", "x21", _V.WRONG_TYPE),
    "phone of nothing": set_value(
        "phones.csv",
        "location_id",
        "",
        _V.MISSING_VALUE,
        service_id="",
        organization_id="",
    ),
}
"""Defects in columns that only the sample has."""
