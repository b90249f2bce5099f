"""Who the client is: its keys, what it trusts, whom it calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import ledger_pb2
from safehand_core.clock import Clock, SystemClock
from safehand_core.entropy import Entropy, SystemEntropy
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.signing import identity_key_id, public_bytes

from safehand_client._internal.calls import DEADLINE_S, Stubs, dial
from safehand_client._internal.drafts import Drafts
from safehand_client._internal.heads import SeenHead
from safehand_client._internal.pending import Pending
from safehand_client.party import Addresses, Party
from safehand_client.trust import TrustStore


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
        self._identity: Ed25519PrivateKey = self._keys.ed25519("identity")
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
        self._key_cache: dict[str, tuple[float, SignedKeyRecord]] = {}

    def close(self) -> None:
        self._closed.set()
        self.stubs.close()

    @property
    def identity_public(self) -> bytes:
        """Our Ed25519 identity key, 32 bytes."""
        return public_bytes(self._identity)

    @property
    def fingerprint(self) -> str:
        """What a peer types, read to it over another channel (64 hex)."""
        return identity_key_id(self.identity_public)

    @property
    def identity(self) -> Ed25519PrivateKey:
        return self._identity

    def _fetch_consistency(self, from_size: int, to_size: int) -> Sequence[bytes]:
        return list(
            self.stubs.ledger.GetConsistencyProof(
                ledger_pb2.GetConsistencyProofRequest(from_size=from_size, to_size=to_size),
                timeout=DEADLINE_S,
            ).hashes
        )
