"""Vectors of the ledger: section 2 of docs/formats.md. A small story of eight entries."""

from __future__ import annotations

from typing import Any

from safehand_core import canonical
from safehand_core.canonical import Json
from safehand_core.entropy import SeededEntropy
from safehand_formats import merkle, note
from safehand_formats.bodies import encode_body
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.kinds import COUNTED, Kind, grant_tag, key_tag
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.note import NoteSigner
from safehand_formats.opening import Opening
from safehand_formats.proof import TlogProof

from tests.vectors import parties as p
from tests.vectors.shapes import MALFORMED, Field, Vectors, flipped, per_field

PROOF_INVALID = "PROOF_INVALID"
SECRET = SeededEntropy(b"grant secret").bytes(32)
SIGNER = NoteSigner(p.ORIGIN, p.LEDGER_KEY)
STRANGER = NoteSigner("witness.example", p.STRANGER)
GRANT = p.HEADER.grant

BODIES: dict[Kind, dict[str, Json]] = {
    Kind.KEY: {
        "kind": "KEY",
        "agency": "legal-aid-7",
        "sequence": 0,
        "record": p.digest("record"),
        "at": p.NOW,
    },
    Kind.GRANT: {
        "kind": "GRANT",
        "grant": GRANT,
        "releasing": "harbour-house",
        "recipient": "legal-aid-7",
        "purpose": "legal",
        "categories": ["CARD", "NAME"],
        "issued_at": p.NOW,
        "expires_at": p.NOW + 90 * p.DAY,
        "erase_by": p.NOW + 120 * p.DAY,
        "redisclosure": "none",
        "notice": p.digest("notice"),
        "language": "es-419",
        "given_how": "heard",
        "present": "alone",
        "protocol": p.digest("protocol"),
    },
    Kind.REFER: {
        "kind": "REFER",
        "grant": GRANT,
        "counter": 0,
        "manifest": p.digest("manifest"),
        "referral": p.HEADER.referral,
        "sender": "harbour-house",
        "recipient": "legal-aid-7",
        "purpose": "legal",
        "categories": ["CARD", "NAME"],
        "not_after": p.NOW + 30 * p.DAY,
        "at": p.NOW + 60,
    },
    Kind.DISCLOSE: {
        "kind": "DISCLOSE",
        "grant": GRANT,
        "counter": 0,
        "manifest": p.digest("manifest"),
        "part": 0,
        "category": "CARD",
        "stage": "card",
        "recipient": "legal-aid-7",
        "worker_ref": "w-0091",
        "request": p.digest("request"),
        "accept": "",
        "at": p.NOW + 90,
    },
    Kind.STOP: {
        "kind": "STOP",
        "grant": GRANT,
        "counter": 0,
        "by": "self",
        "strength": "strong",
        "at": p.NOW + 120,
        "final_at": p.NOW + 120 + p.DAY,
    },
    Kind.RESUME: {
        "kind": "RESUME",
        "grant": GRANT,
        "counter": 0,
        "by": "self",
        "at": p.NOW + 180,
    },
    Kind.REVOKE: {
        "kind": "REVOKE",
        "grant": GRANT,
        "cause": "destroy_now",
        "stop_index": 4,
        "at": p.NOW + 240,
    },
    Kind.EXPIRE: {
        "kind": "EXPIRE",
        "grant": GRANT,
        "expires_at": p.NOW + 90 * p.DAY,
        "at": p.NOW + 90 * p.DAY,
    },
    Kind.NARROW: {
        "kind": "NARROW",
        "grant": GRANT,
        "counter": 0,
        "categories": ["CARD", "HEALTH"],
        "expires_at": p.NOW + 60 * p.DAY,
        "by": "self",
        "at": p.NOW + 100,
    },
    Kind.REFUSE: {
        "kind": "REFUSE",
        "ask": p.random_id("ask"),
        "releasing": "harbour-house",
        "recipient": "legal-aid-7",
        "purpose": "legal",
        "categories": ["CARD", "NAME"],
        "notice": p.digest("notice"),
        "language": "es-419",
        "given_how": "heard",
        "present": "alone",
        "at": p.NOW + 100,
    },
    Kind.CONFIRM: {
        "kind": "CONFIRM",
        "grant": GRANT,
        "counter": 0,
        "by": "self",
        "at": p.NOW + 100,
    },
}
MORE: dict[Kind, dict[str, Json]] = {
    Kind.GRANT: {
        "ask": p.random_id("ask"),
        "supersedes": p.random_id("older"),
        "check": "explained_again",
        "recorded_by": "harbour-house",
        "recorder_ref": "w-0017",
        "medium": "paper",
        "record": p.digest("record"),
        "confirm_by": p.NOW + 14 * p.DAY,
        "cosign_by": p.NOW + 14 * p.DAY,
    },
    Kind.STOP: {
        "agency": "harbour-house",
        "worker_ref": "w-0017",
        "channel": "phone",
        "why": "coercion",
    },
    Kind.RESUME: {"agency": "harbour-house", "worker_ref": "w-0017", "second_ref": "w-0018"},
    Kind.EXPIRE: {"cause": "unconfirmed"},
    Kind.REFER: {"reseals": p.digest("older manifest")},
    Kind.CONFIRM: {
        "agency": "harbour-house",
        "worker_ref": "w-0018",
        "record": p.digest("second"),
    },
}
"""Every optional key of each kind. What they must say together is the ledger's rule, not the
format's."""
ALONE = {"ask", "supersedes", "check", "cosign_by", "why", "cause", "reseals"}
"""Optional keys that are a group of their own."""
VALUES: dict[str, tuple[Any, Any]] = {
    # key: (another valid value, a value that never is one)
    "kind": ("PAD", 1),
    "ask": (p.random_id("other"), "ask"),
    "supersedes": (p.random_id("other"), ""),
    "check": ("understood", "no"),
    "recorded_by": ("legal-aid-8", ""),
    "recorder_ref": ("w-0092", "Maria Lopez"),
    "second_ref": ("w-0092", "Maria Lopez"),
    "medium": ("spoken", "text"),
    "confirm_by": (p.NOW + 1, "soon"),
    "cosign_by": (p.NOW + 1, "soon"),
    "channel": ("in_person", "pigeon"),
    "why": ("", "anger"),
    "reseals": (p.digest("other"), ""),
    "grant": (p.random_id("other"), "grant"),
    "referral": (p.random_id("other"), p.digest("long")),
    "agency": ("legal-aid-8", "Legal Aid"),
    "releasing": ("harbour-home", ""),
    "recipient": ("legal-aid-8", "9-lives"),
    "sender": ("harbour-home", "x"),
    "purpose": ("housing", "immigration"),
    "categories": (["CARD"], ["NAME", "CARD"]),
    "category": ("NAME", "card"),
    "stage": ("identity", "late"),
    "issued_at": (p.NOW + 1, -1),
    "expires_at": (p.NOW + 91 * p.DAY, "never"),
    "erase_by": (p.NOW + 121 * p.DAY, False),
    "redisclosure": ("any", ""),
    "notice": (p.digest("other"), "notice"),
    "protocol": (p.digest("other"), p.digest("other").upper()),
    "manifest": (p.digest("other"), ""),
    "record": (p.digest("other"), ""),
    "request": (p.digest("other"), ""),
    "accept": (p.digest("other"), "yes"),
    "language": ("en", "x" * 36),
    "given_how": ("read", "shouted"),
    "present": ("with_worker", "crowd"),
    "by": ("worker", ""),
    "strength": ("weak", ""),
    "cause": ("window", "because"),
    "part": (1, 16),
    "worker_ref": ("w-0092", "Maria Lopez"),
    "counter": (1, -1),
    "sequence": (1, -1),
    "stop_index": (5, -1),
    "not_after": (p.NOW + 31 * p.DAY, [1]),
    "final_at": (p.NOW + 121 + p.DAY, "soon"),
    "at": (p.NOW + 91, -1),
}
_FIXED = {"kind", "redisclosure"}
"""Keys with one value only: another one is not the format."""
_BY = {Kind.NARROW, Kind.RESUME, Kind.CONFIRM}
"""Kinds that no worker does alone."""


def _salt(kind: Kind) -> bytes:
    return SeededEntropy(b"salt " + kind.name.encode()).bytes(32)


def tag(kind: Kind) -> bytes:
    return key_tag("legal-aid-7", 0) if kind is Kind.KEY else grant_tag(kind, SECRET, 0)


def leaf(kind: Kind) -> bytes:
    commitment = body_commitment(_salt(kind), encode_body(kind, BODIES[kind]))
    aux = SeededEntropy(b"aux " + kind.name.encode()).bytes(32)
    return Leaf(kind, tag(kind), commitment, aux).encode()


LEAVES = [leaf(kind) for kind in BODIES]


def leaves() -> Vectors:
    good = LEAVES[1]
    v = Vectors("leaf", "The 104 bytes of a leaf (section 2.2).", {"leaf": good.hex()})
    for number, kind in enumerate(BODIES):
        data = LEAVES[number]
        parts = {"tag": data[8:40], "commitment": data[40:72], "aux": data[72:]}
        value = {"kind": kind.name, **{key: item.hex() for key, item in parts.items()}}
        v.ok(kind.name, value, leaf=data.hex())
    for kind in Kind:
        if kind not in BODIES:
            data = bytes([1, kind]) + good[2:]
            value = {"kind": kind.name, "tag": data[8:40].hex()}
            value |= {"commitment": data[40:72].hex(), "aux": data[72:].hex()}
            v.ok(f"the reserved kind {kind.name} is read", value, leaf=data.hex())
    for name, data in {
        "version 0": b"\x00" + good[1:],
        "version 2": b"\x02" + good[1:],
        "kind 0": good[:1] + b"\x00" + good[2:],
        "kind 17": good[:1] + b"\x11" + good[2:],
        "kind 255": good[:1] + b"\xff" + good[2:],
        "flags, high byte": good[:2] + b"\x80" + good[3:],
        "flags, low byte": good[:3] + b"\x01" + good[4:],
        "reserved, first byte": good[:4] + b"\x01" + good[5:],
        "reserved, last byte": good[:7] + b"\x01" + good[8:],
        "103 bytes": good[:-1],
        "105 bytes": good + b"\x00",
        "nothing": b"",
    }.items():
        v.refused(name, MALFORMED, leaf=data.hex())
    return v


def tags() -> Vectors:
    v = Vectors(
        "tag",
        "The tag of an entry (section 2.3).",
        {"kind": "GRANT", "secret": SECRET.hex(), "counter": 0, "agency": "legal-aid-7"},
    )
    for kind in BODIES:
        v.ok(f"{kind.name}, counter 0", {"tag": tag(kind).hex()}, kind=kind.name)
        if kind in COUNTED:
            value = {"tag": grant_tag(kind, SECRET, 7).hex()}
            v.ok(f"{kind.name}, counter 7", value, kind=kind.name, counter=7)
    v.ok("KEY, sequence 3", {"tag": key_tag("legal-aid-7", 3).hex()}, kind="KEY", counter=3)
    v.refused("a counter below 0", MALFORMED, counter=-1)
    v.refused("a counter above 2^53-1", MALFORMED, counter=2**53)
    v.refused("a short secret", MALFORMED, secret=SECRET[:-1].hex())
    v.refused("a reserved kind", MALFORMED, kind="PAD")
    return v


def openings() -> Vectors:
    v = Vectors(
        "opening",
        "What a leaf's commitment was made over (section 2.4).",
        {"opening": _opening(1, Kind.GRANT), "leaf": LEAVES[1].hex()},
    )
    for number, kind in enumerate(BODIES):
        value = {"index": number, "kind": kind.name}
        inputs = {"opening": _opening(number, kind), "leaf": LEAVES[number].hex()}
        v.ok(kind.name, value, **inputs)
        body = BODIES[kind]
        table = [Field(key, *VALUES[key]) for key in body]
        for entry, other, bad, missing in per_field(table, body):
            key, own = entry.path, {"leaf": LEAVES[number].hex()}
            fixed = key in _FIXED or (key == "by" and kind in _BY)
            reason = MALFORMED if fixed else PROOF_INVALID
            v.refused(
                f"{kind.name}.{key}: another value",
                reason,
                opening=_text(number, kind, other),
                **own,
            )
            _committed(v, f"{kind.name}.{key}: bad value, committed", number, kind, bad)
            _committed(v, f"{kind.name}.{key}: missing, committed", number, kind, missing)
        _committed(v, f"{kind.name}: a further key, committed", number, kind, {**body, "zz": 1})
    _with_more(v)
    good = _opening(1, Kind.GRANT)
    salt = _salt(Kind.GRANT)
    for name, reason, text in (
        ("salt: a bit changed", PROOF_INVALID, good.replace(salt.hex(), flipped(salt).hex())),
        ("salt: short", MALFORMED, good.replace(salt.hex(), salt[1:].hex())),
        ("salt: upper case", MALFORMED, good.replace(salt.hex(), salt.hex().upper())),
        (
            "kind: another one",
            MALFORMED,
            good.replace('"kind":"GRANT","salt"', '"kind":"KEY","salt"'),
        ),
        ("kind: reserved", MALFORMED, good.replace('"kind":"GRANT","salt"', '"kind":"PAD","salt"')),
        ("kind: lower case", MALFORMED, good.replace('"GRANT","salt"', '"grant","salt"')),
        ("index: negative", MALFORMED, good.replace('"index":1', '"index":-1')),
        ("index: text", MALFORMED, good.replace('"index":1', '"index":"1"')),
        ("index: missing", MALFORMED, good.replace('"index":1,', "")),
        ("salt: missing", MALFORMED, good.replace(f',"salt":"{salt.hex()}"', "")),
        ("no newline", MALFORMED, good[:-1]),
        ("two newlines", MALFORMED, good + "\n"),
        ("white space", MALFORMED, good.replace(":", ": ", 1)),
        ("a key twice", MALFORMED, good.replace('"index":1', '"index":1,"index":1')),
        ("nothing", MALFORMED, ""),
    ):
        v.refused(name, reason, opening=text)
    v.refused("of another leaf", PROOF_INVALID, leaf=LEAVES[2].hex())
    changed = flipped(LEAVES[1], 50)
    v.refused("leaf: commitment changed", PROOF_INVALID, leaf=changed.hex())
    return v


def _with_more(v: Vectors) -> None:
    """Bodies with their optional keys: whole groups, each alone and all at once."""
    for kind, more in MORE.items():
        body = {**BODIES[kind], **more}
        v.ok(f"{kind.name} with every optional key", {"index": 0, "kind": kind.name},
             **_own(kind, body))  # fmt: skip
        for key in more:
            if key in ALONE:
                alone = {**BODIES[kind], key: more[key]}
                v.ok(f"{kind.name} with {key}", {"index": 0, "kind": kind.name},
                     **_own(kind, alone))  # fmt: skip
            else:
                less = {name: value for name, value in body.items() if name != key}
                _committed(v, f"{kind.name}: its group without {key}", 0, kind, less)
            bad = {**body, key: "because" if key == "cause" else VALUES[key][1]}
            _committed(v, f"{kind.name}.{key}: bad value, committed", 0, kind, bad)


def _own(kind: Kind, body: dict[str, Json]) -> dict[str, str]:
    commitment = body_commitment(_salt(kind), encode_body(kind, body))
    data = Leaf(kind, tag(kind), commitment, bytes(32)).encode()
    return {"opening": _text(0, kind, body), "leaf": data.hex()}


def _text(index: int, kind: Kind, body: Any) -> str:
    document = {"body": body, "index": index, "kind": kind.name, "salt": _salt(kind).hex()}
    return canonical.encode(document).decode() + "\n"


def _opening(index: int, kind: Kind) -> str:
    return Opening(index, kind, _salt(kind), BODIES[kind]).to_bytes().decode()


def _committed(v: Vectors, name: str, index: int, kind: Kind, body: Any) -> None:
    """A body that is not the format, under a leaf that commits to exactly it."""
    commitment = body_commitment(_salt(kind), canonical.encode(body))
    data = Leaf(kind, tag(kind), commitment, bytes(32)).encode()
    v.refused(name, MALFORMED, opening=_text(index, kind, body), leaf=data.hex())


# --- checkpoints and proofs -------------------------------------------------------------------


def _checkpoint(size: int) -> Checkpoint:
    return Checkpoint(p.ORIGIN, size, merkle.root_from_leaves(LEAVES[:size]))


def _raw_note(text: str, signer: NoteSigner = SIGNER) -> str:
    """A note over any text, also one that the writer would refuse."""
    line = note.encode_base64(signer.verifier.key_id + signer.private_key.sign(text.encode()))
    return f"{text}\n\u2014 {signer.name} {line}\n"


def checkpoints() -> Vectors:
    head = _checkpoint(7)
    good = head.sign(SIGNER)
    text = head.to_text()
    root = note.encode_base64(head.root)
    v = Vectors(
        "checkpoint",
        "A signed checkpoint under the pinned vkey (section 2.1).",
        {"note": good, "vkey": SIGNER.verifier.vkey},
    )
    value = {"origin": p.ORIGIN, "size": 7, "root": head.root.hex()}
    v.ok("as signed", value)
    empty = _checkpoint(0)
    v.ok(
        "the empty tree",
        {"origin": p.ORIGIN, "size": 0, "root": empty.root.hex()},
        note=empty.sign(SIGNER),
    )
    other_line = _raw_note(text, STRANGER).split("\n\n")[1]
    own_line = good.split("\n\n")[1]
    v.ok("another key signed too", value, note=good + other_line)
    v.ok("sixteen signature lines", value, note=good + other_line * 15)
    unknown = NoteSigner(p.ORIGIN, p.STRANGER)
    v.ok(
        "another key of the same name", value, note=good + _raw_note(text, unknown).split("\n\n")[1]
    )
    bad_line = own_line[:-6] + ("AAA" if own_line[-6:-3] != "AAA" else "BBB") + own_line[-3:]
    for name, changed in {
        "signed by another key only": _raw_note(text, STRANGER),
        "the right name and another key": _raw_note(text, unknown),
        "one good and one bad line of the pinned key": f"{text}\n{own_line}{bad_line}",
        "the size changed": good.replace("\n7\n", "\n6\n"),
        "the root changed": good.replace(root, note.encode_base64(flipped(head.root))),
        "the origin changed": good.replace(p.ORIGIN + "\n7", "other.example\n7"),
        "another origin, signed": _raw_note(text.replace(p.ORIGIN, "other.example")),
    }.items():
        v.refused(name, PROOF_INVALID, note=changed)
    for name, changed in {
        "no signature": text,
        "no signature line": text + "\n",
        "an extension line, signed": _raw_note(text + "extension\n"),
        "two lines, signed": _raw_note(f"{p.ORIGIN}\n7\n"),
        "size with a leading zero, signed": _raw_note(text.replace("\n7\n", "\n07\n")),
        "size with a sign, signed": _raw_note(text.replace("\n7\n", "\n+7\n")),
        "size of 2^63, signed": _raw_note(text.replace("\n7\n", f"\n{2**63}\n")),
        "size as words, signed": _raw_note(text.replace("\n7\n", "\nseven\n")),
        "root without padding, signed": _raw_note(text.replace(root, root.rstrip("="))),
        "root of 31 bytes, signed": _raw_note(
            text.replace(root, note.encode_base64(head.root[:31]))
        ),
        "an empty tree with another root, signed": _raw_note(text.replace("\n7\n", "\n0\n")),
        "carriage returns": good.replace("\n", "\r\n"),
        "text after the signatures": good + "more\n",
        "a hyphen for the dash": good.replace("\u2014", "-"),
        "a signature that is not base64": good[:-3] + "!=\n",
        "no newline at the end": good[:-1],
        "more than 64 KiB": good + other_line * 700,
        "nothing": "",
    }.items():
        v.refused(name, MALFORMED, note=changed)
    vkey = SIGNER.verifier.vkey
    v.refused("vkey: of another key", PROOF_INVALID, vkey=unknown.verifier.vkey)
    v.refused(
        "vkey: of another name", PROOF_INVALID, vkey=NoteSigner("x", p.LEDGER_KEY).verifier.vkey
    )
    name, key_id, key = vkey.split("+", 2)
    for what, changed in {
        "a wrong key id": f"{name}+{flipped(bytes.fromhex(key_id)).hex()}+{key}",
        "no key": f"{name}+{key_id}",
        "a cut key": vkey[:-4],
        "upper case": f"{name}+{key_id.upper()}+{key}",
    }.items():
        v.refused(f"vkey: {what}", MALFORMED, vkey=changed)
    return v


def _proof(index: int, size: int) -> str:
    hashes = [merkle.leaf_hash(item) for item in LEAVES[:size]]

    def node(level: int, position: int) -> bytes:
        width = 1 << level
        return merkle.root_from_hashes(hashes[position * width : (position + 1) * width])

    path = tuple(merkle.inclusion_proof(index, size, node))
    return TlogProof(index, path, _checkpoint(size).sign(SIGNER)).to_text()


def proofs() -> Vectors:
    good = _proof(2, 7)
    v = Vectors(
        "proof",
        "A receipt's proof for a leaf, under the pinned vkey (section 2.1).",
        {"proof": good, "leaf": LEAVES[2].hex(), "vkey": SIGNER.verifier.vkey},
    )
    for size in (1, 2, 7, 8):
        for index in range(size):
            v.ok(
                f"leaf {index} of {size}",
                {"index": index, "size": size},
                proof=_proof(index, size),
                leaf=LEAVES[index].hex(),
            )
    lines = good.split("\n")
    hashes = lines[2:5]
    other = note.encode_base64(SeededEntropy(b"hash").bytes(32))
    checkpoint = good.split("\n\n", 1)[1]
    for name, text in {
        "the index changed": good.replace("index 2", "index 3"),
        "the index beyond the tree": good.replace("index 2", "index 7"),
        "a hash changed": good.replace(hashes[0], other),
        "the last hash changed": good.replace(hashes[2], other),
        "two hashes swapped": good.replace(
            f"{hashes[0]}\n{hashes[1]}", f"{hashes[1]}\n{hashes[0]}"
        ),
        "a hash missing": good.replace(hashes[2] + "\n", ""),
        "a hash too many": good.replace(hashes[2], f"{hashes[2]}\n{other}"),
        "the checkpoint of another size": good.replace(checkpoint, _checkpoint(8).sign(SIGNER)),
        "a checkpoint by another key": good.replace(
            checkpoint, _raw_note(_checkpoint(7).to_text(), STRANGER)
        ),
        "a checkpoint with another size, not signed": good.replace("\n7\n", "\n6\n"),
    }.items():
        v.refused(name, PROOF_INVALID, proof=text)
    for name, text in {
        "another first line": good.replace("@v1", "@v2"),
        "no index": good.replace("index 2\n", ""),
        "index with a leading zero": good.replace("index 2", "index 02"),
        "a negative index": good.replace("index 2", "index -2"),
        "an extra line": good.replace("index 2", f"extra {other}\nindex 2"),
        "a hash of 31 bytes": good.replace(hashes[0], note.encode_base64(bytes(31))),
        "a hash without padding": good.replace(hashes[0], hashes[0].rstrip("=")),
        "64 hashes": good.replace(hashes[0], "\n".join([hashes[0]] * 62)),
        "no empty line": good.replace("\n\n", "\n", 1),
        "no checkpoint": good.split("\n\n", 1)[0] + "\n\n",
        "carriage returns": good.replace("\n", "\r\n"),
        "nothing": "",
    }.items():
        v.refused(name, MALFORMED, proof=text)
    v.refused("another leaf", PROOF_INVALID, leaf=LEAVES[3].hex())
    v.refused("a bit of the leaf changed", PROOF_INVALID, leaf=flipped(LEAVES[2], 20).hex())
    v.refused(
        "vkey: of another key", PROOF_INVALID, vkey=NoteSigner(p.ORIGIN, p.STRANGER).verifier.vkey
    )
    return v
