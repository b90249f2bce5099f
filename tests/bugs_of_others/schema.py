"""Every word in which a caller can say something: methods, fields, enum values, signed statements.

Taken from the descriptors of all generated modules, at any depth, so that a new message is looked
at without being named here.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor
from safehand.consent.v1 import consent_pb2
from safehand_formats.answer import Answer
from safehand_formats.keyrecord import KeyRecord
from safehand_formats.manifest import Header, PartLabel
from safehand_formats.record import Record, RecordedTerms, Second
from safehand_formats.release_request import ReleaseRequest
from safehand_formats.resume import Resume
from safehand_formats.sharing_protocol import Party, SharingProtocol
from safehand_formats.token import TokenClaims

_ROOT: Final = Path(consent_pb2.__file__).parents[3]
SIGNED: Final[tuple[Any, ...]] = (
    Answer, Header, KeyRecord, PartLabel, Party, Record, RecordedTerms, ReleaseRequest, Resume,
    Second, SharingProtocol, TokenClaims,
)  # fmt: skip
"""What parties sign: canonical JSON, which no descriptor shows."""


def _files() -> Iterator[FileDescriptor]:
    for path in sorted((_ROOT / "safehand").rglob("*_pb2.py")):
        name = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
        yield importlib.import_module(name).DESCRIPTOR


def services() -> set[str]:
    """The full names of all services."""
    return {service.full_name for file in _files() for service in file.services_by_name.values()}


def words() -> set[tuple[str, str]]:
    """(full name, the word itself in lower case)."""
    found: dict[str, str] = {}
    for file in _files():
        for enum in file.enum_types_by_name.values():
            _values(enum, found)
        for message in file.message_types_by_name.values():
            _fields(message, found, set())
        for service in file.services_by_name.values():
            for method in service.methods:
                found[f"{service.full_name}.{method.name}"] = method.name
                _fields(method.input_type, found, set())
    for statement in SIGNED:
        for item in dataclasses.fields(statement):
            found[f"{statement.__name__}.{item.name}"] = item.name
    return {(place, word.lower()) for place, word in found.items()}


def _fields(message: Descriptor, found: dict[str, str], seen: set[str]) -> None:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        found[f"{message.full_name}.{field.name}"] = field.name
        if field.message_type is not None:
            _fields(field.message_type, found, seen)
        if field.enum_type is not None:
            _values(field.enum_type, found)
    for nested in message.nested_types:
        _fields(nested, found, seen)
    for enum in message.enum_types:
        _values(enum, found)


def _values(enum: EnumDescriptor, found: dict[str, str]) -> None:
    for value in enum.values:
        found[f"{enum.full_name}.{value.name}"] = value.name
