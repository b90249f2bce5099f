"""Who the client is: its keys, what it trusts, whom it calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import ledger_pb2
from safehand_core.clock import Clock, SystemClock
from safehand_core.entropy import Entropy, SystemEntropy
from safehand_core.errors import SafehandError
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.signing import identity_key_id, public_bytes

from safehand_client._internal.calls import DEADLINE_S, Stubs, dial
from safehand_client._internal.drafts import Drafts
from safehand_client._internal.heads import SeenHead
from safehand_client._internal.known_keys import KnownKey, KnownKeys, verified
from safehand_client._internal.own_identity import OwnIdentity
from safehand_client._internal.pending import Pending
from safehand_client.party import Addresses, Party
from safehand_client.trust import TrustStore

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class CachedKey:
    """A recipient key that was verified; ``until`` by the monotonic clock, ``ends_at`` by the wall
    clock: when the identity key that signed it is retired."""

    until: float
    ends_at: int | None
    signed: SignedKeyRecord


class AgencyBase:
    """Keys, trust, channels and the seen head of one agency. Safe to share between threads."""

    def __init__(
        self,
        party: Party,
        *,
        addresses: Addresses | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        stubs: Stubs | None = None,
    ) -> None:
        self.agency: Final = party.name
        self._party = party
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self.trust: Final = TrustStore(party.trust)
        self._keys = party.keys
        self._identities: Final = OwnIdentity(self._keys, party.root / "keys")
        self._own_keys: Final = KnownKeys(party.state / "identity")
        self.stubs: Final = stubs or dial(addresses or party.addresses, party.tls)
        self._verifier = self.trust.verifier
        self.head: Final = SeenHead(
            party.state / "ledger-head", self._verifier, self._fetch_consistency
        )
        self.drafts: Final = Drafts(
            party.state / "drafts",
            self._keys.secret("draft"),
            self._entropy,
        )
        self.drafts.drop_ended(self._clock.wall())
        self._pending = Pending(party.state / "pending")
        self._closed = threading.Event()
        self._key_lock = threading.Lock()
        self._key_cache: dict[str, CachedKey] = {}
        self._looked_at: dict[str, float] = {}

    def close(self) -> None:
        self._closed.set()
        self.stubs.close()

    @property
    def identity_public(self) -> bytes:
        """Our Ed25519 identity key, 32 bytes."""
        return public_bytes(self.identity)

    @property
    def fingerprint(self) -> str:
        """What a peer types, read to it over another channel (64 hex)."""
        return identity_key_id(self.identity_public)

    @property
    def identity(self) -> Ed25519PrivateKey:
        """The private key that signs now."""
        return self._identities.current

    _identity = identity

    def own_identity_keys(self) -> list[KnownKey]:
        """Every identity key that we ever signed with, the oldest first."""
        try:
            return self._own_keys.of(self.agency)
        except SafehandError:
            return [KnownKey(self.identity_public.hex())]

    def _own_verified(self, verify: Callable[[bytes], V]) -> V:
        """What ``verify`` returns under a key of ours that was not stolen.

        Raises SIGNATURE_INVALID, and whatever else ``verify`` raises.
        """
        keys = self.own_identity_keys()
        if self.identity_public not in {key.key for key in keys}:
            keys.append(KnownKey(self.identity_public.hex()))
        return verified((key for key in reversed(keys) if key.revoked_at is None), verify)

    def _fetch_consistency(self, from_size: int, to_size: int) -> Sequence[bytes]:
        return list(
            self.stubs.ledger.GetConsistencyProof(
                ledger_pb2.GetConsistencyProofRequest(from_size=from_size, to_size=to_size),
                timeout=DEADLINE_S,
            ).hashes
        )
