"""What agencies hear, taken apart until nothing is left in which an identifier could hide.

``Heard`` keeps every answer that any party gets over a channel of this process, whatever method
gave it. ``pieces`` takes a message apart at any depth: through JSON, JWS, hex and base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import pytest
from google.protobuf.message import Message
from safehand_core.errors import SafehandError
from safehand_rpc.dial import Channel
from safehand_rpc.tls import TlsFiles

LONG: Final = 16
"""Bytes or characters: less is no identifier of one person among thousands."""
PROOF: Final = "safehand.consent.v1.Receipt.proof"
"""Left out: hashes of other entries and the signed head of the log that everybody reads. Its format
has room for nothing else (tests/formats/test_proof.py)."""
_WORD: Final = re.compile(r"[A-Za-z0-9+=_-]{16,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/=_-]{22,}")


class Heard:
    """Everything that was said to each party, by the folder of its certificate."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pieces: dict[str, set[bytes]] = defaultdict(set)
        self.methods: dict[str, set[str]] = defaultdict(set)
        begin, unary_unary = Channel.__init__, Channel.unary_unary
        owners: dict[int, str] = {}

        def begin_as(channel: Channel, address: str, tls: TlsFiles, *args: Any, **kw: Any) -> None:
            owners[id(channel)] = tls.cert.parent.name
            begin(channel, address, tls, *args, **kw)

        def listening(channel: Channel, method: str, *args: Any, **kw: Any) -> Any:
            call, owner = unary_unary(channel, method, *args, **kw), owners[id(channel)]

            def recorded(request: Any, *given: Any, **options: Any) -> Any:
                try:
                    answer = call(request, *given, **options)
                except SafehandError as error:
                    said = f"{error.detail} {json.dumps(dict(error.metadata))}"
                    self.pieces[owner] |= set(of_text(said))
                    raise
                self.methods[owner].add(method.rpartition("/")[2])
                self.pieces[owner] |= set(pieces(answer))
                return answer

            return recorded

        monkeypatch.setattr(Channel, "__init__", begin_as)
        monkeypatch.setattr(Channel, "unary_unary", listening)

    def hears(self, party: str, message: Message) -> None:
        """What ``party`` is told by another way than an answer."""
        self.pieces[party] |= set(pieces(message))


def pieces(message: Message) -> Iterator[bytes]:
    """Every text, and every sixteen bytes in a row, in any field at any depth."""
    for field, value in message.ListFields():
        if field.full_name == PROOF:
            continue
        for item in _items(field, value):
            if isinstance(item, Message):
                yield from pieces(item)
            elif isinstance(item, str):
                yield from of_text(item)
            elif isinstance(item, bytes):
                yield from of_bytes(item)


def _items(field: Any, value: Any) -> Iterator[Any]:
    if not field.is_repeated:
        yield value
    elif hasattr(value, "items"):
        for key, item in value.items():
            yield key
            yield item
    else:
        yield from value


def of_bytes(data: bytes) -> Iterator[bytes]:
    """Text where it is text, else what lies in any sixteen bytes of it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if text and "".join(text.split()).isprintable():
        yield from of_text(text)
        return
    for at in range(len(data) - LONG + 1):
        yield data[at : at + LONG]


def of_text(text: str) -> Iterator[bytes]:
    """Its words, and what they are an encoding of. Of JSON the values; names are everybody's."""
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict | list):
        yield from _of_json(parsed)
        return
    for word in _WORD.findall(text):
        yield word.encode()
    for word in _BASE64.findall(text):
        yield from _decoded(word)


def _decoded(word: str) -> Iterator[bytes]:
    if re.fullmatch(r"(?:[0-9a-f]{2}){16,}", word):
        yield from of_bytes(bytes.fromhex(word))
        return
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return
    yield from of_bytes(data)


def _of_json(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _of_json(item)
    elif isinstance(value, str):
        yield from of_text(value)
