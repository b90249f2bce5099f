"""How two agencies come to trust each other: type the fingerprint, sign, file (PROTOCOL step 1)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from safehand.consent.v1 import consent_pb2
from safehand.referral.v1 import directory_pb2
from safehand_core import ids
from safehand_core.clock import Clock, SystemClock
from safehand_core.entropy import Entropy, SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.sharing_protocol import (
    LedgerPin,
    Party,
    SharingProtocol,
    SignedProtocol,
    sign_as_party,
)

from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.keys import DAY_S
from safehand_client.agency import AgencyClient

PROTOCOL_DAYS: Final = 365
"""Days that a protocol lives: it is reviewed once a year."""
RETENTION_DAYS: Final = 90
"""Days that a recipient may keep what it was sent, unless the protocol says otherwise."""


def peer_key_from_directory(client: AgencyClient, peer: str) -> bytes:
    """The identity key that the directory carries for ``peer``: not trusted before typing."""
    return client.stubs.directory.GetAgency(
        directory_pb2.GetAgencyRequest(agency=peer), timeout=DEADLINE_S
    ).agency.identity_key


def propose(
    client: AgencyClient,
    *,
    peer: str,
    peer_fingerprint: str,
    purposes: Sequence[str],
    categories: Sequence[str],
    focal_point: str,
    peer_focal_point: str,
    days: int = PROTOCOL_DAYS,
    retention_days: int = RETENTION_DAYS,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> str:
    """A protocol signed by us alone, as text to hand to the peer.

    ``peer_fingerprint`` was typed from another channel; raises SIGNATURE_INVALID where the
    directory carries another key.
    """
    now = (clock or SystemClock()).wall()
    with suppress(SafehandError):
        client.look_at_peer(peer)
    client.trust.pin_peer(peer, peer_key_from_directory(client, peer), peer_fingerprint)
    ours = Party(client.agency, client.identity_public, focal_point)
    theirs = Party(peer, client.trust.peer(peer), peer_focal_point)
    a, b = sorted((ours, theirs), key=lambda party: party.agency)
    vkey = client.trust.vkey
    protocol = SharingProtocol(
        id=ids.new_id(entropy or SystemEntropy()),
        a=a,
        b=b,
        purposes=tuple(sorted(set(purposes))),
        categories=tuple(sorted(set(categories))),
        retention_days=retention_days,
        not_before=now,
        not_after=now + days * DAY_S,
        ledger=LedgerPin(vkey.split("+", 1)[0], vkey),
    )
    data = protocol.encode()
    return json.dumps(
        {
            "protocol": base64.b64encode(data).decode(),
            "signed_by": client.agency,
            "signature": base64.b64encode(sign_as_party(data, client.identity)).decode(),
        },
        indent=1,
    )


def countersign(
    client: AgencyClient,
    proposal: str,
    *,
    peer_fingerprint: str,
    entropy: Entropy | None = None,
) -> SharingProtocol:
    """Check a proposal, sign it too, keep it, and file it with the directory and with consent.

    Raises SIGNATURE_INVALID where the typed fingerprint is not the proposer's key.
    """
    try:
        found = json.loads(proposal)
        data = base64.b64decode(found["protocol"], validate=True)
        signature = base64.b64decode(found["signature"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise SafehandError(Reason.MALFORMED, "the proposal is not readable") from error
    protocol = SharingProtocol.decode(data)
    a_is_ours = protocol.a.agency == client.agency
    peer = protocol.b if a_is_ours else protocol.a
    if protocol.party(client.agency) != client.identity_public:
        raise SafehandError(Reason.SIGNATURE_INVALID, "the proposal names another key of ours")
    with suppress(SafehandError):
        client.look_at_peer(peer.agency)
    client.trust.pin_peer(peer.agency, peer.key, peer_fingerprint)
    own = sign_as_party(data, client.identity)
    signed = SignedProtocol(data, own if a_is_ours else signature, signature if a_is_ours else own)
    client.trust.keep_protocol(client.agency, signed, [client.identity_public])
    rng = entropy or SystemEntropy()
    client.stubs.directory.PublishProtocol(
        directory_pb2.PublishProtocolRequest(
            request_id=ids.new_request_id(rng),
            protocol=directory_pb2.SignedProtocol(
                protocol=data, signature_a=signed.signature_a, signature_b=signed.signature_b
            ),
        ),
        timeout=DEADLINE_S,
    )
    client.stubs.consent.RegisterProtocol(
        consent_pb2.RegisterProtocolRequest(
            request_id=ids.new_request_id(rng),
            protocol=data,
            signature_a=signed.signature_a,
            signature_b=signed.signature_b,
        ),
        timeout=DEADLINE_S,
    )
    return protocol


def collect(client: AgencyClient) -> list[SharingProtocol]:
    """Fetch our protocols from the directory; keep those that both signed under pinned keys.

    Raises why, where one is refused and no newer one is in its place, once the others are kept.
    """
    kept = []
    refused: list[tuple[SharingProtocol, SafehandError]] = []
    token = ""
    while True:
        page = client.stubs.directory.ListProtocols(
            directory_pb2.ListProtocolsRequest(page_token=token), timeout=DEADLINE_S
        )
        for item in page.protocols:
            signed = SignedProtocol(item.protocol, item.signature_a, item.signature_b)
            try:
                kept.append(_keep(client, signed))
            except SafehandError as error:
                refused.append((signed.protocol, error))
        token = page.next_page_token
        if not token:
            break
    for protocol, refusal in refused:
        # What a newer one has taken the place of need not count any more: one from before a key
        # was lost, such as.
        if not any(_replaces(newer, protocol) for newer in kept):
            raise refusal
    return kept


def _replaces(newer: SharingProtocol, older: SharingProtocol) -> bool:
    parties = [(each.a.agency, each.b.agency) for each in (newer, older)]
    return parties[0] == parties[1] and newer.not_before >= older.not_before


def _keep(client: AgencyClient, signed: SignedProtocol) -> SharingProtocol:
    protocol = signed.protocol
    a, b = protocol.a.agency, protocol.b.agency
    client.look_at_peer(b if a == client.agency else a)
    own = [key.key for key in client.own_identity_keys() if key.revoked_at is None]
    return client.trust.keep_protocol(client.agency, signed, [*own, client.identity_public])
