"""Vectors of sealing and wrapping: section 4 of docs/formats.md.

HPKE takes its randomness from the library and nowhere else, so inner wraps cannot be made again:
they lie in ``fixed-inner-wraps.json`` and every build reads them from there. They are bound to
header, label, ciphertext and recipient key; where one of those changes, ``build --new-wraps``
writes new ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from safehand_core import canonical
from safehand_core.entropy import SeededEntropy
from safehand_formats import fields, sealing, signing, wraps
from safehand_formats import manifest as manifests

from tests.vectors import parties as p
from tests.vectors.shapes import (
    MALFORMED,
    SIGNATURE_INVALID,
    Vectors,
    flipped,
    replaced,
)

FIXED = Path(__file__).with_name("fixed-inner-wraps.json")
PUBLISHED = Path(__file__).with_name("published-xwing.json")
"""A key pair and an encapsulation that are not of our making."""
WRAP_INVALID = "WRAP_INVALID"
MISMATCH = "MANIFEST_MISMATCH"


def ciphertexts() -> dict[str, bytes]:
    """Every ciphertext of the vectors by name; the same bytes each time."""
    dirty = bytearray(sealing.pad(p.CARD_CONTENT, 1024))
    dirty[-1] = 1
    long = (1021).to_bytes(4, "big") + bytes(1020)
    aad = sealing.content_aad(p.HEADER, p.CARD_LABEL)
    return {
        "card": _seal(p.CARD_LABEL, p.CARD_CONTENT, "card").ciphertext,
        "name": _seal(p.NAME_LABEL, p.NAME_CONTENT, "name").ciphertext,
        "dirty": AESGCM(_key("card")).encrypt(bytes(12), bytes(dirty), aad),
        "long": AESGCM(_key("card")).encrypt(bytes(12), long, aad),
        "short": AESGCM(_key("card")).encrypt(bytes(12), sealing.pad(b"", 512), aad),
        "no aad": AESGCM(_key("card")).encrypt(bytes(12), sealing.pad(b"", 1024), b""),
    }


def _key(name: str) -> bytes:
    return sealing.new_content_key(SeededEntropy(b"content " + name.encode()))


def _seal(label: manifests.PartLabel, content: bytes, name: str) -> sealing.SealedPart:
    entropy = SeededEntropy(b"content " + name.encode())
    return sealing.seal_part(p.HEADER, label, content, p.HPKE_PUBLIC, entropy)


def make_fixed() -> bytes:
    """Fresh inner wraps for every ciphertext, as the file that is committed."""
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    recipient = sealing.load_recipient_public(p.HPKE_PUBLIC)
    out: dict[str, str] = {}
    for name, ciphertext in ciphertexts().items():
        label = p.NAME_LABEL if name == "name" else p.CARD_LABEL
        info = sealing.inner_info(p.HEADER, label, ciphertext)
        key = _key("name" if name == "name" else "card")
        out[name] = suite.encrypt(key, recipient, info=info).hex()
    info = sealing.inner_info(p.HEADER, p.CARD_LABEL, ciphertexts()["card"])
    out["another content key"] = suite.encrypt(_key("other"), recipient, info=info).hex()
    out["no info"] = suite.encrypt(_key("card"), recipient).hex()
    return (json.dumps(out, indent=1, sort_keys=True) + "\n").encode()


def fixed() -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in json.loads(FIXED.read_text()).items()}


def _part(label: manifests.PartLabel, ciphertext: bytes, wrap: bytes) -> manifests.Part:
    return manifests.Part(label, fields.sha256(ciphertext), fields.sha256(wrap))


def signed_manifest() -> manifests.SignedManifest:
    """The manifest of the vectors: a CARD part and a NAME part."""
    sealed, wrap = ciphertexts(), fixed()
    parts = (
        _part(p.CARD_LABEL, sealed["card"], wrap["card"]),
        _part(p.NAME_LABEL, sealed["name"], wrap["name"]),
    )
    return manifests.SignedManifest.sign(manifests.Manifest(p.HEADER, parts), p.SENDER)


def outer_wraps() -> list[bytes]:
    """The outer wraps of ``signed_manifest``, in order of part id."""
    digest = signed_manifest().digest
    return [
        wraps.outer_wrap(_category_key(name), digest, number, fixed()[name], _nonce(name))
        for number, name in enumerate(("card", "name"))
    ]


def _category_key(name: str) -> bytes:
    return SeededEntropy(b"category key " + name.encode()).bytes(32)


def _nonce(name: str) -> SeededEntropy:
    return SeededEntropy(b"nonce " + name.encode())


def sealed_part() -> Vectors:
    signed = signed_manifest()
    sealed, wrap = ciphertexts(), fixed()
    value: Any = canonical.decode(signed.manifest_bytes, max_bytes=manifests.MAX_MANIFEST_BYTES)

    def resigned(changed: Any) -> dict[str, str]:
        data = canonical.encode(changed)
        signature = signing.sign(p.SENDER, manifests.CONTEXT, data)
        return {"manifest": data.decode(), "signature": signature.hex()}

    def carrying(ciphertext: bytes, inner: bytes) -> dict[str, str]:
        """The card part replaced by other bytes, all of it signed for."""
        part = {
            "ciphertext": fields.sha256(ciphertext).hex(),
            "label": value["parts"][0]["label"],
            "wrap": fields.sha256(inner).hex(),
        }
        return {
            **resigned(replaced(value, ["parts", 0], part)),
            "ciphertext": ciphertext.hex(),
            "inner_wrap": inner.hex(),
        }

    v = Vectors(
        "sealed-part",
        "A part opened by its recipient, from the signed manifest on (sections 3 and 4).",
        {
            "manifest": signed.manifest_bytes.decode(),
            "signature": signed.signature.hex(),
            "public": p.SENDER_PUBLIC.hex(),
            "part": 0,
            "ciphertext": sealed["card"].hex(),
            "inner_wrap": wrap["card"].hex(),
            "seed": p.SEED.hex(),
        },
    )
    v.ok("the card part", {"content": p.CARD_CONTENT.hex()})
    name_part: dict[str, Any] = {
        "part": 1,
        "ciphertext": sealed["name"].hex(),
        "inner_wrap": wrap["name"].hex(),
    }
    v.ok("the name part", {"content": p.NAME_CONTENT.hex()}, **name_part)

    header = {
        "referral": p.random_id("other"),
        "grant": p.random_id("other"),
        "sender": "harbour-home",
        "recipient": "legal-aid-8",
        "recipient_key": sealing.recipient_key_id(p.OTHER_HPKE_PUBLIC),
        "purpose": "housing",
        "service": "svc-0043",
        "urgency": "normal",
        "created": p.NOW + 1,
        "not_after": p.NOW + 31 * p.DAY,
    }
    for key, other in header.items():
        v.refused(
            f"header.{key}: another value, signed",
            WRAP_INVALID,
            **resigned(replaced(value, ["header", key], other)),
        )
    v.refused(
        "header.sender_key: another value, signed",
        SIGNATURE_INVALID,
        **resigned(replaced(value, ["header", "sender_key"], p.digest("other"))),
    )
    label = value["parts"][0]["label"]
    relabelled = {
        "schema": {**label, "schema": 2},
        "bucket": {**label, "bucket": 4096},
        "category and stage": {**label, "category": "HEALTH", "stage": "identity"},
    }
    for key, changed in relabelled.items():
        v.refused(
            f"label {key}: another value, signed",
            WRAP_INVALID,
            **resigned(replaced(value, ["parts", 0, "label"], changed)),
        )
    v.refused(
        "label stage: relabelled as identity, signed",
        MALFORMED,
        **resigned(replaced(value, ["parts", 0, "label", "stage"], "identity")),
    )
    name_as_first = {
        "header": value["header"],
        "parts": [{**value["parts"][1], "label": {**value["parts"][1]["label"], "id": 0}}],
    }
    v.refused(
        "label id: the name part as part 0, signed",
        WRAP_INVALID,
        **{**name_part, "part": 0, **resigned(name_as_first)},
    )
    v.refused("part: the manifest has no such part", MISMATCH, part=2)
    v.refused("part: another part's label", MISMATCH, part=1)
    moved = {**name_part, "part": 0}
    v.refused("ciphertext and wrap of another part", MISMATCH, **moved)
    v.refused("ciphertext: a bit changed", MISMATCH, ciphertext=flipped(sealed["card"], 9).hex())
    v.refused("ciphertext: cut", MISMATCH, ciphertext=sealed["card"][:-1].hex())
    v.refused("wrap: a bit changed", MISMATCH, inner_wrap=flipped(wrap["card"], 9).hex())
    v.refused(
        "ciphertext: a bit changed, signed",
        WRAP_INVALID,
        **carrying(flipped(sealed["card"], 9), wrap["card"]),
    )
    for position, what in ((9, "lattice part"), (1100, "curve part"), (1130, "sealed key")):
        v.refused(
            f"wrap: a bit of its {what} changed, signed",
            WRAP_INVALID,
            **carrying(sealed["card"], flipped(wrap["card"], position)),
        )
    v.refused("wrap: cut, signed", WRAP_INVALID, **carrying(sealed["card"], wrap["card"][:-1]))
    v.refused("wrap: empty, signed", WRAP_INVALID, **carrying(sealed["card"], b""))
    v.refused(
        "wrap: of another part, signed", WRAP_INVALID, **carrying(sealed["card"], wrap["name"])
    )
    v.refused(
        "wrap: sealed without info", WRAP_INVALID, **carrying(sealed["card"], wrap["no info"])
    )
    v.refused(
        "wrap: of another content key",
        MISMATCH,
        **carrying(sealed["card"], wrap["another content key"]),
    )
    v.refused("seed: another recipient key", WRAP_INVALID, seed=p.OTHER_SEED.hex())
    for name, what in {
        "dirty": "filling that is not zero",
        "long": "a length beyond the bucket",
        "short": "a size that is no bucket",
        "no aad": "sealed without aad",
    }.items():
        v.refused(f"content: {what}", MISMATCH, **carrying(sealed[name], wrap[name]))
    return v


def outer_wrap() -> Vectors:
    signed, outer = signed_manifest(), outer_wraps()
    v = Vectors(
        "outer-wrap",
        "An outer wrap under its category key (section 4).",
        {
            "category_key": _category_key("card").hex(),
            "manifest": signed.digest.hex(),
            "part": 0,
            "outer": outer[0].hex(),
        },
    )
    v.ok("part 0", {"inner": fixed()["card"].hex()})
    second: dict[str, Any] = {
        "part": 1,
        "outer": outer[1].hex(),
        "category_key": _category_key("name").hex(),
    }
    v.ok("part 1", {"inner": fixed()["name"].hex()}, **second)
    v.refused("another category's key", WRAP_INVALID, category_key=_category_key("name").hex())
    v.refused("another manifest", WRAP_INVALID, manifest=p.digest("other"))
    v.refused("another part's number", WRAP_INVALID, part=1)
    v.refused("another part's wrap", WRAP_INVALID, outer=outer[1].hex())
    v.refused("a part that cannot be", MALFORMED, part=16)
    for position, what in ((0, "nonce"), (12, "sealed bytes"), (1195, "tag")):
        changed = flipped(outer[0], position).hex()
        v.refused(f"a bit of its {what} changed", WRAP_INVALID, outer=changed)
    v.refused("cut", WRAP_INVALID, outer=outer[0][:-1].hex())
    v.refused("longer", WRAP_INVALID, outer=(outer[0] + b"\x00").hex())
    return v


def outer_digest() -> Vectors:
    outer = outer_wraps()
    v = Vectors(
        "outer-wraps-digest",
        "The digest over all outer wraps of a manifest (section 4). Every list has one.",
        {"wraps": [item.hex() for item in outer]},
    )

    def add(name: str, items: list[bytes]) -> None:
        value = {"digest": wraps.outer_wraps_digest(items).hex()}
        v.ok(name, value, wraps=[item.hex() for item in items])

    add("two wraps", outer)
    add("the other order", outer[::-1])
    add("one wrap", outer[:1])
    add("two that concatenate to the same bytes", [outer[0] + outer[1][:1], outer[1][1:]])
    add("none", [])
    return v


def category_key() -> Vectors:
    kek = SeededEntropy(b"kek 7").bytes(32)
    key = _category_key("card")
    grant = p.HEADER.grant
    sealed = wraps.seal_category_key(kek, 7, grant, "CARD", key, _nonce("category"))
    v = Vectors(
        "category-key",
        "A category key at rest, under the KEK of its epoch (section 4).",
        {"kek": kek.hex(), "epoch": 7, "grant": grant, "category": "CARD", "sealed": sealed.hex()},
    )
    corrupt = "LEDGER_CORRUPT"
    v.ok("as sealed", {"key": key.hex()})
    v.refused("another KEK", corrupt, kek=SeededEntropy(b"kek 8").bytes(32).hex())
    v.refused("another epoch", corrupt, epoch=8)
    v.refused("another grant", corrupt, grant=p.random_id("other"))
    v.refused("another category", corrupt, category="NAME")
    v.refused("an unknown category", MALFORMED, category="RELIGION")
    v.refused("no grant id", MALFORMED, grant="g")
    v.refused("a negative epoch", MALFORMED, epoch=-1)
    for position, what in ((0, "nonce"), (12, "sealed bytes"), (59, "tag")):
        v.refused(f"a bit of its {what} changed", corrupt, sealed=flipped(sealed, position).hex())
    v.refused("cut", corrupt, sealed=sealed[:-1].hex())
    return v


def recipient_key() -> Vectors:
    v = Vectors(
        "recipient-key",
        "The hash of the 1216-byte public key of an X-Wing seed (section 4).",
        {"seed": p.SEED.hex()},
    )
    draft = json.loads(PUBLISHED.read_text())
    seed = draft["sk"]
    published = fields.sha256(bytes.fromhex(draft["pk"])).hex()
    v.ok("the draft's first vector", {"public": published, "key_id": published}, seed=seed)
    key_id = sealing.recipient_key_id(p.HPKE_PUBLIC)
    v.ok("ours", {"public": key_id, "key_id": key_id})
    v.refused("a short seed", MALFORMED, seed=seed[:-2])
    v.refused("a long seed", MALFORMED, seed=seed + "00")
    return v
