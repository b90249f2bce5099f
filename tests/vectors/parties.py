"""Fixed parties, keys and values that every vector is made of. None of these keys is a secret."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import ids
from safehand_core.entropy import SeededEntropy
from safehand_formats import manifest, sealing, signing

NOW: Final = 1_790_000_000
DAY: Final = 24 * 3600


def identity(name: str) -> Ed25519PrivateKey:
    """The Ed25519 key of a party of the vectors."""
    return Ed25519PrivateKey.from_private_bytes(
        SeededEntropy(b"identity " + name.encode()).bytes(32)
    )


def random_id(name: str) -> str:
    return ids.new_id(SeededEntropy(b"id " + name.encode()))


def digest(name: str) -> str:
    """64 hex that stand for a digest of something."""
    return SeededEntropy(b"digest " + name.encode()).bytes(32).hex()


def recipient_seed(name: str) -> bytes:
    return SeededEntropy(b"recipient " + name.encode()).bytes(32)


SENDER: Final = identity("harbour-house")
RECIPIENT: Final = identity("legal-aid-7")
STRANGER: Final = identity("stranger")
TOKEN_KEY: Final = identity("consent token key")
LEDGER_KEY: Final = identity("ledger")
ORIGIN: Final = "ledger.safehand.example/consent"

SENDER_PUBLIC: Final = signing.public_bytes(SENDER)
RECIPIENT_PUBLIC: Final = signing.public_bytes(RECIPIENT)
STRANGER_PUBLIC: Final = signing.public_bytes(STRANGER)
TOKEN_PUBLIC: Final = signing.public_bytes(TOKEN_KEY)

SEED: Final = recipient_seed("legal-aid-7")
HPKE_PUBLIC: Final = sealing.recipient_public(SEED)
OTHER_SEED: Final = recipient_seed("legal-aid-7, the next key")
OTHER_HPKE_PUBLIC: Final = sealing.recipient_public(OTHER_SEED)

HEADER: Final = manifest.Header(
    referral=random_id("referral"),
    grant=random_id("grant"),
    sender="harbour-house",
    sender_key=signing.identity_key_id(SENDER_PUBLIC),
    recipient="legal-aid-7",
    recipient_key=sealing.recipient_key_id(HPKE_PUBLIC),
    purpose="legal",
    service="svc-0042",
    urgency="urgent",
    created=NOW,
    not_after=NOW + 30 * DAY,
)
CARD_LABEL: Final = manifest.PartLabel(0, "CARD", "card", 1, 1024)
NAME_LABEL: Final = manifest.PartLabel(1, "NAME", "identity", 1, 1024)
CARD_CONTENT: Final = b"need=legal;language=es;area=12"
NAME_CONTENT: Final = "María Ejemplo".encode()
