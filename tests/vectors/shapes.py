"""How a vector file looks, and the cases that every signed message gets.

A file: ``{"about", "base", "cases", "format"}``. A case: ``{"name", "expect"}`` and ``"change"``,
the inputs in which it differs from ``base``; ``expect`` is ``ok``, with the ``value`` that a reader
must arrive at, or the reason of the refusal.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from safehand_core import canonical

Case = dict[str, Any]
Seal = Callable[[bytes], Mapping[str, Any]]
"""From message bytes to the changed inputs that carry them with a fresh signature."""

MALFORMED = "MALFORMED"
SIGNATURE_INVALID = "SIGNATURE_INVALID"


@dataclass(frozen=True)
class Field:
    """One field: its path, another value that would be valid, and one that never is.

    ``swapped`` is what a reader says to ``other`` under the old signature: SIGNATURE_INVALID, or
    MALFORMED where the field is fixed by the rest of the message.
    """

    path: str
    other: Any
    bad: Any
    swapped: str = SIGNATURE_INVALID

    @property
    def keys(self) -> list[str | int]:
        return [int(key) if key.isdigit() else key for key in self.path.split(".")]


@dataclass
class Vectors:
    """One file of vectors."""

    format: str
    about: str
    base: dict[str, Any]
    cases: list[Case] = field(default_factory=list)

    def ok(self, name: str, value: Any, **change: Any) -> None:
        self._add({"name": name, "expect": "ok", "change": change, "value": value})

    def refused(self, name: str, reason: str, **change: Any) -> None:
        self._add({"name": name, "expect": reason, "change": change})

    def _add(self, case: Case) -> None:
        if any(case["name"] == other["name"] for other in self.cases):
            raise ValueError(f"two cases are called {case['name']}")
        self.cases.append(case)

    def document(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "base": self.base,
            "cases": self.cases,
            "format": self.format,
        }


def replaced(value: Any, path: list[str | int], new: Any) -> Any:
    """A copy of ``value`` with ``new`` at ``path``."""
    out = copy.deepcopy(value)
    spot = out
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = new
    return out


def without(value: Any, path: list[str | int]) -> Any:
    """A copy of ``value`` without the key at ``path``."""
    out = copy.deepcopy(value)
    spot = out
    for key in path[:-1]:
        spot = spot[key]
    del spot[path[-1]]
    return out


def flipped(data: bytes, position: int = 0) -> bytes:
    """``data`` with one bit of the byte at ``position`` changed."""
    out = bytearray(data)
    out[position] ^= 1
    return bytes(out)


def per_field(fields: list[Field], value: Any) -> Iterator[tuple[Field, Any, Any, Any]]:
    """Each field with the value in which it is another one, a bad one, and missing."""
    for entry in fields:
        yield (
            entry,
            replaced(value, entry.keys, entry.other),
            replaced(value, entry.keys, entry.bad),
            without(value, entry.keys),
        )


def message_cases(
    vectors: Vectors, message: str, value: Any, fields: list[Field], seal: Seal
) -> None:
    """The negative cases of one signed canonical message.

    ``message`` is the input that holds the message as text, ``value`` what it encodes.
    """
    for entry, other, bad, missing in per_field(fields, value):
        vectors.refused(
            f"{entry.path}: another value, old signature",
            entry.swapped,
            **{message: canonical.encode(other).decode()},
        )
        vectors.refused(
            f"{entry.path}: bad value, signed", MALFORMED, **seal(canonical.encode(bad))
        )
        vectors.refused(
            f"{entry.path}: missing, signed", MALFORMED, **seal(canonical.encode(missing))
        )
    good = canonical.encode(value)
    first = min(value)
    vectors.refused(
        "a further key, signed", MALFORMED, **seal(canonical.encode({**value, "zz": 1}))
    )
    spellings = {
        "white space": good.replace(b":", b": ", 1),
        "a newline at the end": good + b"\n",
        "a key twice": good[:-1] + b"," + good[1:],
        "an escaped letter": good.replace(
            f'"{first}"'.encode(), f'"\\u{ord(first[0]):04x}{first[1:]}"'.encode(), 1
        ),
        "a float": good[:-1] + b',"zz":1.0}',
        "null": good[:-1] + b',"zz":null}',
        "not an object": b"[" + good + b"]",
        "nothing": b"",
    }
    for name, data in spellings.items():
        vectors.refused(f"{name}, signed", MALFORMED, **seal(data))
