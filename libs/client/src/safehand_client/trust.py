"""What an agency trusts: the ledger's vkey, its peers' identity keys, protocols both signed.

A recipient's HPKE key is trusted only through a KeyRecord signed by the identity key in our own
copy of the protocol (DESIGN 3.6); the directory only carries it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from pathlib import Path
from typing import Final

from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir, write_atomic
from safehand_core.reasons import Reason
from safehand_formats.note import NoteVerifier
from safehand_formats.sharing_protocol import SharingProtocol, SignedProtocol
from safehand_formats.signing import identity_key_id

from safehand_client._internal.known_keys import KnownKeys


class TrustStore:
    """The ``trust/`` folder of one party."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.known: Final = KnownKeys(folder / "peers")

    @property
    def vkey(self) -> str:
        """The pinned ledger key; raises CONFIG_INVALID where none is pinned."""
        try:
            return (self._folder / "ledger.vkey").read_text().strip()
        except OSError as error:
            raise SafehandError(Reason.CONFIG_INVALID, "trust/ledger.vkey is missing") from error

    @property
    def verifier(self) -> NoteVerifier:
        return NoteVerifier.from_vkey(self.vkey)

    def pin_peer(self, agency: str, public: bytes, fingerprint: str) -> None:
        """Pin ``agency``'s identity key, if its fingerprint is the one that a person typed.

        Raises SIGNATURE_INVALID where it is not: somebody carries another key under that name.
        """
        ids.require(ids.AGENCY_PATTERN, agency, "agency")
        typed = fingerprint.replace(" ", "").replace(":", "").lower()
        if identity_key_id(public) != typed:
            raise SafehandError(Reason.SIGNATURE_INVALID, "the fingerprint is of another key")
        self.known.pin(agency, public)

    def peer(self, agency: str) -> bytes:
        """Its newest identity key (32 bytes); raises AGENCY_UNKNOWN, SIGNATURE_INVALID (every one
        was revoked)."""
        return self.known.newest(agency).key

    def keep_protocol(
        self, own: str, signed: SignedProtocol, own_keys: Collection[bytes] = ()
    ) -> SharingProtocol:
        """Keep a protocol that both signed, under the keys that we know, about our ledger.

        ``own_keys``: those of ours that may have signed it (32 bytes each); empty: whichever.
        """
        protocol = signed.verify()
        other = protocol.b.agency if protocol.a.agency == own else protocol.a.agency
        if protocol.party(own) not in (own_keys or (protocol.party(own),)):
            raise SafehandError(Reason.SIGNATURE_INVALID, "the protocol names another key of ours")
        if protocol.party(other) not in self.known.continued(other):
            raise SafehandError(Reason.SIGNATURE_INVALID, "the protocol names another key")
        if protocol.ledger.vkey != self.vkey:
            raise SafehandError(Reason.PROTOCOL_MISSING, "the protocol names another ledger")
        folder = self._folder / "protocols"
        make_private_dir(folder)
        document = {
            "protocol": base64.b64encode(signed.protocol_bytes).decode(),
            "signature_a": base64.b64encode(signed.signature_a).decode(),
            "signature_b": base64.b64encode(signed.signature_b).decode(),
        }
        write_atomic(folder / f"{other}.{protocol.id}.json", json.dumps(document).encode())
        return protocol

    def protocols_with(self, other: str) -> list[SharingProtocol]:
        """Our own copies of the protocols with ``other``, the newest first, each verified.

        A copy that does not verify, or that names a key that we do not know or that was revoked,
        does not count. One that names an older key does: the agency goes on in the next one.
        Raises PROTOCOL_MISSING where none is kept, and where none counts what the first one lacks.
        """
        ids.require(ids.AGENCY_PATTERN, other, "agency")
        good: list[SharingProtocol] = []
        refusal = SafehandError(Reason.PROTOCOL_MISSING, "no protocol with it is kept")
        for path in sorted((self._folder / "protocols").glob(f"{other}.*.json")):
            try:
                good.append(self._read(path, other))
            except SafehandError as error:
                refusal = error
        if not good:
            raise refusal
        return sorted(good, key=lambda protocol: (protocol.not_before, protocol.id), reverse=True)

    def protocol_with(self, other: str) -> SharingProtocol:
        """The newest of ``protocols_with``: it names a key that we know, as they all do."""
        return self.protocols_with(other)[0]

    def covering(
        self, other: str, purpose: str, categories: Collection[str], at: int
    ) -> SharingProtocol:
        """The newest protocol with ``other`` that was live at ``at`` and names all of it.

        ``at``: seconds since the epoch. Raises PROTOCOL_MISSING, with what the newest one lacks.
        """
        refusal: SafehandError | None = None
        for protocol in self.protocols_with(other):
            try:
                protocol.covers(purpose, categories, at)
            except SafehandError as error:
                refusal = refusal or error
            else:
                return protocol
        raise refusal or SafehandError(Reason.PROTOCOL_MISSING)

    def _read(self, path: Path, other: str) -> SharingProtocol:
        try:
            found = json.loads(path.read_text())
            signed = SignedProtocol(
                base64.b64decode(found["protocol"]),
                base64.b64decode(found["signature_a"]),
                base64.b64decode(found["signature_b"]),
            )
        except (OSError, ValueError, KeyError) as error:
            raise SafehandError(Reason.PROTOCOL_MISSING, "a kept protocol is unreadable") from error
        protocol = signed.verify()
        if protocol.party(other) not in self.known.continued(other):
            raise SafehandError(Reason.SIGNATURE_INVALID, "the protocol names another key")
        return protocol
