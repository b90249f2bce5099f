"""The export directory as bytes: names, sums, and the story (docs/formats.md 2.5)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from safehand_core import canonical
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

CHECKPOINT: Final = "checkpoint"
VKEY: Final = "vkey"
STORY: Final = "story.json"
SUMS: Final = "SHA256SUMS"
MAX_STORY_BYTES: Final = 1024 * 1024
MAX_STORY_CHARS: Final = 4000
"""Longest text of one step."""

_SUM_LINE: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9.\-]+)")


def entry_names(index: int) -> tuple[str, str, str]:
    """The leaf's, the proof's and the opening's file for the entry at ``index``."""
    number = f"{index:03d}"
    return f"{number}.leaf", f"{number}.tlog-proof", f"{number}.opening.json"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the story: what was tried, what came back, and the entry that proves it.

    ``index`` is -1 for a step that left no entry; otherwise ``result`` is the entry's kind.
    """

    name: str
    tried: str
    result: str
    index: int = -1

    def to_json(self) -> dict[str, Json]:
        return {
            "index": self.index,
            "name": self.name,
            "result": self.result,
            "tried": self.tried,
        }

    @classmethod
    def from_json(cls, value: Json) -> Step:
        """Raises MALFORMED unless ``value`` is exactly one step."""
        if not isinstance(value, dict) or value.keys() != {"index", "name", "result", "tried"}:
            raise SafehandError(Reason.MALFORMED, "a step has exactly four keys")
        index = value["index"]
        if type(index) is not int or index < -1:
            raise SafehandError(Reason.MALFORMED, "a step's index is -1 or an entry's")
        name, tried, result = (_step_text(value[key]) for key in ("name", "tried", "result"))
        return cls(name, tried, result, index)

    def agrees(self, kinds: Mapping[int, Kind]) -> bool:
        """Whether the entry that the step names is of the kind that it says."""
        return self.index == -1 or (self.index in kinds and kinds[self.index].name == self.result)


def _step_text(value: Json) -> str:
    if not isinstance(value, str) or len(value) > MAX_STORY_CHARS:
        raise SafehandError(Reason.MALFORMED, "a step's words are texts")
    return value


def encode_story(steps: Iterable[Step]) -> bytes:
    """The canonical bytes of ``story.json``."""
    return canonical.encode([step.to_json() for step in steps]) + b"\n"


def decode_story(data: bytes) -> list[Step]:
    """The steps in ``data``; raises MALFORMED unless encoding them gives ``data`` again."""
    if not data.endswith(b"\n"):
        raise SafehandError(Reason.MALFORMED, "the story ends with one newline")
    value = canonical.decode(data[:-1], max_bytes=MAX_STORY_BYTES)
    if not isinstance(value, list):
        raise SafehandError(Reason.MALFORMED, "the story is an array")
    return [Step.from_json(item) for item in value]


def encode_sums(files: Mapping[str, bytes]) -> bytes:
    """``SHA256SUMS`` over ``files`` (name to content), itself left out."""
    names = sorted(name for name in files if name != SUMS)
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names]
    return "".join(lines).encode()


def decode_sums(data: bytes) -> dict[str, str]:
    """Name to hash in hex; raises MALFORMED for anything but what ``encode_sums`` writes."""
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise SafehandError(Reason.MALFORMED, "not a list of sums") from error
    found: dict[str, str] = {}
    for line in lines[:-1]:
        match = _SUM_LINE.fullmatch(line)
        if match is None:
            raise SafehandError(Reason.MALFORMED, "not a list of sums")
        found[match[2]] = match[1]
    if lines[-1] or list(found) != sorted(found) or len(found) != len(lines) - 1:
        raise SafehandError(Reason.MALFORMED, "not a sorted list of sums")
    return found
