"""What we believe a peer's signature by, and how we hear that it has a new key.

A new key counts when two agree that nobody can be both of: the peer's old key, which signed for
it, and consent, whose operator had its fingerprint typed. The directory is not asked: it can
neither bring in a key, nor hide one, nor keep a revoked one alive. Consent alone can take a key
away from us and never give us one. Where consent is silent we go on with what we know: nothing is
sealed or opened without it, and it holds every key to its own list.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from safehand.consent.v1 import keys_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.succession import SignedSuccession

from safehand_client._internal.base import AgencyBase
from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.known_keys import KnownKey, verified

LOOK_S: Final = 60.0
"""Seconds between two looks at a peer's keys: so long may a key that was revoked still pass here.
Consent refuses it at once."""
LOOK_AGAIN_S: Final = 1.0
"""A signature under no known key makes us look again, at most once in so many seconds."""

V = TypeVar("V")


class PeerKeys(AgencyBase):
    """Verifying what peers sign."""

    def look_at_peer(self, agency: str, *, older_than_s: float = 0.0) -> None:
        """Hear from consent which keys ``agency`` has, unless we heard in the last so many seconds.

        Changes nothing where consent is silent. Raises AGENCY_UNKNOWN for one that we never pinned.
        """
        self.trust.known.of(agency)
        with self._key_lock:
            last, now = self._looked_at.get(agency), self._clock.monotonic()
            if last is not None and now - last < older_than_s:
                return
            self._looked_at[agency] = now
        try:
            listed = self.stubs.keys.ListAgencyKeys(
                keys_pb2.ListAgencyKeysRequest(agency=agency), timeout=DEADLINE_S
            ).keys
        except SafehandError:
            return
        gone = {key.identity_key for key in listed if key.HasField("revoked_at")}
        news = self.trust.known.revoke(agency, gone, self._clock.wall())
        for key in sorted(listed, key=lambda key: key.not_before.seconds):
            if not key.HasField("revoked_at") and key.HasField("succession"):
                # Lies and what does not concern us are the same here: nothing follows from them.
                with suppress(SafehandError):
                    news |= self._follow(agency, key)
        if news:
            self.forget_recipient_key(agency)

    def forget_recipient_key(self, recipient: str) -> None:
        """Ask the directory next time: the recipient may have a new key."""
        with self._key_lock:
            self._key_cache.pop(recipient, None)

    def _follow(self, agency: str, key: keys_pb2.AgencyKey) -> bool:
        said = key.succession
        signed = SignedSuccession(said.succession, said.signature_old, said.signature_new)
        if signed.succession.new != key.identity_key:
            raise SafehandError(Reason.SIGNATURE_INVALID, "consent lists another key than that")
        return self.trust.known.follow(agency, signed)

    def _peer_verified(
        self, agency: str, counts: Callable[[KnownKey], bool], verify: Callable[[bytes], V]
    ) -> V:
        """What ``verify`` returns under a key of ``agency``'s that ``counts``.

        Raises AGENCY_UNKNOWN, SIGNATURE_INVALID, and whatever else ``verify`` raises.
        """
        self.look_at_peer(agency, older_than_s=LOOK_S)
        try:
            return verified(filter(counts, self.trust.known.of(agency)), verify)
        except SafehandError as error:
            if error.reason is not Reason.SIGNATURE_INVALID:
                raise
        self.look_at_peer(agency, older_than_s=LOOK_AGAIN_S)
        return verified(filter(counts, self.trust.known.of(agency)), verify)
