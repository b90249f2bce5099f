"""Identity keys that we know of an agency, each with its time: what a peer's signature is held to.

The first key is pinned because a person typed its fingerprint. Every later one is there because
the key before it signed for it. A key names one successor and no second one: of two that it
signed for, one was made by somebody who should not have had it, and the first that was heard
stays. What was revoked is never believed again, whatever anybody says later.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.keystore import FILE_MODE, make_private_dir, write_atomic
from safehand_core.reasons import Reason
from safehand_formats.signing import identity_key_id
from safehand_formats.succession import SignedSuccession

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One identity key. Times: seconds since the epoch.

    Attributes:
        public: 64 hex.
        not_before: what it signed earlier does not count; 0 for a key that a person pinned.
        retired_at: what it signed then or later does not count; None: it has no end.
        revoked_at: when we heard that nothing counts that it signed; None: we have not.
        follows: the key that signed for it, 64 hex; "" where a person pinned it.
        disputed: it signed for a second successor too.
    """

    public: str
    not_before: int = 0
    retired_at: int | None = None
    revoked_at: int | None = None
    follows: str = ""
    disputed: bool = False

    @property
    def key(self) -> bytes:
        """The same, 32 bytes."""
        return bytes.fromhex(self.public)

    @property
    def fingerprint(self) -> str:
        """What people read out, 64 hex."""
        return identity_key_id(self.key)

    def held_at(self, at: int) -> bool:
        """Whether what it signed at ``at``, by its agency's clock, counts."""
        return self.not_before <= at and self.holds_on(at)

    def holds_on(self, now: int) -> bool:
        """Whether what has no time of its own counts at ``now``, by our clock."""
        return self.revoked_at is None and (self.retired_at is None or now < self.retired_at)


class KnownKeys:
    """A folder with one file for each agency. Safe to share between threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, agency: str) -> list[KnownKey]:
        """The keys of ``agency``, the oldest first; raises AGENCY_UNKNOWN where none is pinned."""
        ids.require(ids.AGENCY_PATTERN, agency, "agency")
        try:
            text = (self._folder / agency).read_text().strip()
            found = json.loads(text)["keys"] if text.startswith("{") else [{"public": text}]
            keys = [KnownKey(**item) for item in found]
            if any(len(key.key) != 32 for key in keys) or not keys:
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SafehandError(Reason.AGENCY_UNKNOWN, "its identity key is not pinned") from error
        return keys

    def newest(self, agency: str) -> KnownKey:
        """The newest that was not revoked; raises AGENCY_UNKNOWN, SIGNATURE_INVALID."""
        for key in reversed(self.of(agency)):
            if key.revoked_at is None:
                return key
        raise SafehandError(Reason.SIGNATURE_INVALID, "every key of the agency was revoked")

    def continued(self, agency: str) -> set[bytes]:
        """The newest key and those that it follows, back to one that was revoked: what the agency
        agreed to under one of them, it agrees to still. Raises AGENCY_UNKNOWN."""
        out: set[bytes] = set()
        for key in reversed(self.of(agency)):
            if key.revoked_at is not None:
                break
            out.add(key.key)
        return out

    def pin(self, agency: str, public: bytes) -> None:
        """Know ``public`` (32 bytes), which a person vouches for.

        One that is known already changes nothing. Another one replaces all: nobody signed that it
        follows them. Raises SIGNATURE_INVALID for a key that was revoked.
        """
        ids.require(ids.AGENCY_PATTERN, agency, "agency")
        with self._changing(agency) as keys:
            for key in keys:
                if key.key == public and key.revoked_at is not None:
                    raise SafehandError(Reason.SIGNATURE_INVALID, "that key was revoked")
            if all(key.key != public for key in keys):
                # What was revoked stays known, so that nobody can have it typed again.
                keys[:] = [key for key in keys if key.revoked_at is not None]
                keys.append(KnownKey(public.hex()))

    def follow(self, agency: str, signed: SignedSuccession) -> bool:
        """Know the next key, if one that we know signed for it; whether that was news.

        Raises AGENCY_UNKNOWN, MALFORMED, and SIGNATURE_INVALID: not signed, signed by a key that
        is unknown or revoked, or by one that has another successor.
        """
        self.of(agency)
        with self._changing(agency) as keys:
            said = signed.succession
            old = next((key for key in keys if key.key == said.old), None)
            if old is None or old.revoked_at is not None:
                raise SafehandError(Reason.SIGNATURE_INVALID, "no key that counts signed for it")
            signed.verify(agency, old.key)
            known = {key.public: key for key in keys}
            if any(key.follows == old.public and key.key != said.new for key in keys):
                keys[keys.index(old)] = replace(old, disputed=True)
                return False
            if said.new.hex() in known:
                return False
            keys[keys.index(old)] = replace(old, retired_at=said.old_until)
            keys.append(KnownKey(said.new.hex(), said.not_before, follows=old.public))
            return True

    def add(self, agency: str, key: KnownKey, *, retire_at: int) -> None:
        """Know a key of our own that follows none, and end those before it."""
        with self._changing(agency) as keys:
            keys[:] = [
                replace(old, retired_at=retire_at) if old.retired_at is None else old
                for old in keys
                if old.public != key.public
            ]
            keys.append(key)

    def revoke(self, agency: str, publics: Iterable[bytes], now: int) -> bool:
        """Believe nothing under those keys any more; whether that was news."""
        self.of(agency)
        wanted, news = {public.hex() for public in publics}, False
        with self._changing(agency) as keys:
            for place, key in enumerate(keys):
                if key.public in wanted and key.revoked_at is None:
                    keys[place], news = replace(key, revoked_at=now), True
        return news

    @contextmanager
    def _changing(self, agency: str) -> Iterator[list[KnownKey]]:
        """The keys, to be changed by one at a time, and written where they were changed."""
        make_private_dir(self._folder)
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                before = self.of(agency)
            except SafehandError:
                before = []
            keys = list(before)
            yield keys
            if keys != before:
                self._write(agency, keys)
        finally:
            os.close(lock)

    def _write(self, agency: str, keys: list[KnownKey]) -> None:
        document: dict[str, Any] = {"keys": [asdict(key) for key in keys]}
        write_atomic(self._folder / agency, json.dumps(document, indent=1).encode())


def verified(keys: Iterable[KnownKey], verify: Callable[[bytes], V]) -> V:
    """What ``verify`` returns under one of ``keys``; raises SIGNATURE_INVALID where none signed."""
    refusal = SafehandError(Reason.SIGNATURE_INVALID, "no key of the agency counts for it")
    for key in keys:
        try:
            return verify(key.key)
        except SafehandError as error:
            if error.reason is not Reason.SIGNATURE_INVALID:
                raise
            refusal = error
    raise refusal
