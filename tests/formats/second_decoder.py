"""A second reader of every format, written from docs/formats.md alone.

It imports the standard library and ``cryptography``, nothing of safehand, and shares no code with
it: canonical JSON, HPKE and X-Wing are spelled out here. ``DECODERS[format](inputs)`` returns the
value of one case of ``tests/vectors`` or raises ``Refused``.

The page has its own words for everything; where this file and the page differ, the page holds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Refused(Exception):
    """The input is not what the page describes."""


def need(condition: bool, why: str) -> None:
    if not condition:
        raise Refused(why)


def words(text: str) -> list[str]:
    return text.split()


# --- section 1: conventions -------------------------------------------------------------------

AGENCY = r"[a-z][a-z0-9-]{1,39}"
RANDOM_ID = r"[0-9a-f]{32}"
DIGEST = r"[0-9a-f]{64}"
WORKER = r"[a-z0-9][a-z0-9-]{3,63}"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SERVICE = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
KEY_NAME = r"[!-*,-~]{1,255}"
TOP = 2**53 - 1

CATEGORIES = words(
    "CARD NAME CONTACT LOCATION HEALTH EVENTS PAPERS CHILDREN MONEY_WORK SAFETY_PLAN "
    "LANGUAGE_ACCESS"
)
PURPOSES = words("housing legal health counselling economic children case_management")
URGENCIES = words("emergency urgent normal")
DECLINES = words(
    "no_capacity not_eligible out_of_area language_unavailable conflict_of_interest "
    "survivor_declined other_service_better"
)
GIVEN_HOW = words("read heard interpreter sign_language")
PRESENT = words("alone with_worker with_trusted_person")


def h(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def lp(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _string(value: str) -> str:
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    out = []
    for character in value:
        code = ord(character)
        need(not 0xD800 <= code <= 0xDFFF, "lone surrogate")
        out.append(short.get(code) or (f"\\u{code:04x}" if code < 32 else character))
    return '"' + "".join(out) + '"'


def cj_encode(value: Any, enclosing: int = 0) -> str:
    need(enclosing <= 8, "too deep")
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            need(-TOP <= value <= TOP, "integer")
            return str(value)
        case str():
            return _string(value)
        case list():
            return "[" + ",".join(cj_encode(item, enclosing + 1) for item in value) + "]"
        case dict():
            need(all(key.isascii() for key in value), "key")
            pairs = (_string(k) + ":" + cj_encode(value[k], enclosing + 1) for k in sorted(value))
            return "{" + ",".join(pairs) + "}"
    raise Refused("a value outside the subset")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    need(len({key for key, _ in pairs}) == len(pairs), "duplicate key")
    return dict(pairs)


def cj(data: bytes, limit: int) -> Any:
    need(len(data) <= limit, "too large")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise Refused("not JSON") from error
    need(cj_encode(value).encode("utf-8") == data, "not canonical")
    return value


def keys(value: Any, names: str) -> Any:
    need(isinstance(value, dict) and set(value) == set(names.split()), "keys")
    return value


def text(value: Any, pattern: str) -> None:
    need(isinstance(value, str) and re.fullmatch(pattern, value) is not None, "text")


def integer(value: Any, low: int = 0, high: int = TOP) -> None:
    need(type(value) is int and low <= value <= high, "integer")


def word(value: Any, words: list[str]) -> None:
    need(isinstance(value, str) and value in words, "word")


def word_list(value: Any, words: list[str]) -> None:
    need(isinstance(value, list) and len(value) > 0, "list")
    for item in value:
        word(item, words)
    need(value == sorted(set(value)), "order")


def b64(value: Any) -> bytes:
    need(isinstance(value, str) and value.isascii(), "base64")
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError as error:
        raise Refused("base64") from error
    need(base64.b64encode(data).decode() == value, "base64")
    return data


def b64url(value: Any) -> bytes:
    text(value, r"[A-Za-z0-9_-]*")
    need(len(value) % 4 != 1, "base64url")
    data = base64.urlsafe_b64decode(value + "===")
    need(base64.urlsafe_b64encode(data).decode().rstrip("=") == value, "base64url")
    return data


def b64url32(value: Any) -> bytes:
    data = b64url(value)
    need(len(data) == 32, "32 bytes")
    return data


PRIME = 2**255 - 19


def _small_order_y() -> set[int]:
    """The encoded y of every point P with 8P = 0, found by the curve equation (RFC 8032 5.1)."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    root = pow(2, (PRIME - 1) // 4, PRIME)
    out = {0, 1, PRIME - 1, PRIME, PRIME + 1}
    # a point of order 8 doubles to one with y = 0, so x^2 = -y^2 and d y^4 + 2 y^2 - 1 = 0
    disc = (1 + d) % PRIME
    s = pow(disc, (PRIME + 3) // 8, PRIME)
    s = s if s * s % PRIME == disc else s * root % PRIME
    for sign in (s, -s):
        square = (-1 + sign) * pow(d, -1, PRIME) % PRIME
        y = pow(square, (PRIME + 3) // 8, PRIME)
        for candidate in (y, y * root % PRIME):
            if candidate * candidate % PRIME == square:
                out |= {candidate, PRIME - candidate}
    return out


SMALL_ORDER_Y = _small_order_y()


def check_signature(public: bytes, context: str, message: bytes, signature: bytes) -> None:
    need(len(public) == 32 and len(signature) == 64, "signature sizes")
    need(int.from_bytes(public, "little") % 2**255 not in SMALL_ORDER_Y, "small order")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(
            signature, context.encode() + b"\x00" + message
        )
    except (InvalidSignature, ValueError) as error:
        raise Refused("signature") from error


def signature_case(i: dict[str, Any]) -> Any:
    text(i["context"], r"safehand/v1/[a-z-]{1,32}")
    public = bytes.fromhex(i["public"])
    check_signature(
        public, i["context"], bytes.fromhex(i["message"]), bytes.fromhex(i["signature"])
    )
    return {"key_id": h(public).hex()}


# --- section 2: the ledger --------------------------------------------------------------------

KINDS = words(
    "GRANT NARROW STOP RESUME REVOKE EXPIRE REFUSE REFER DISCLOSE RECALL_ANSWER BASIS KEY "
    "ERASE PAD SHARD CONFIRM"
)


def _check_language(value: Any) -> None:
    text(value, r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
    need(len(value) <= 35, "language")


def _is(pattern: str) -> Callable[[Any], None]:
    return lambda value: text(value, pattern)


def _in(words: list[str]) -> Callable[[Any], None]:
    return lambda value: word(value, words)


BODY_VALUES: dict[str, Callable[[Any], None]] = {
    "grant": _is(RANDOM_ID), "referral": _is(RANDOM_ID),
    "releasing": _is(AGENCY), "recipient": _is(AGENCY), "sender": _is(AGENCY),
    "agency": _is(AGENCY), "purpose": _in(PURPOSES), "category": _in(CATEGORIES),
    "categories": lambda value: word_list(value, CATEGORIES),
    "stage": _in(["card", "identity"]), "redisclosure": _in(["none"]),
    "notice": _is(DIGEST), "protocol": _is(DIGEST), "manifest": _is(DIGEST),
    "record": _is(DIGEST), "request": _is(DIGEST), "accept": _is(f"({DIGEST})?"),
    "language": _check_language, "given_how": _in(GIVEN_HOW), "present": _in(PRESENT),
    "ask": _is(RANDOM_ID), "supersedes": _is(RANDOM_ID), "reseals": _is(DIGEST),
    "recorded_by": _is(AGENCY), "recorder_ref": _is(WORKER), "second_ref": _is(WORKER),
    "check": _in(["understood", "explained_again", "wants_person"]),
    "medium": _in(["paper", "spoken", "interpreter"]), "confirm_by": integer, "cosign_by": integer,
    "channel": _in(["phone", "in_person", "message"]), "why": _in(["coercion"]),
    "strength": _in(["strong", "weak"]),
    "part": lambda value: integer(value, 0, 15), "worker_ref": _is(WORKER),
    "counter": integer, "sequence": integer, "stop_index": integer, "issued_at": integer,
    "expires_at": integer, "erase_by": integer, "final_at": integer, "at": integer,
    "not_after": integer,
}  # fmt: skip
BODIES = {
    "GRANT": "kind grant releasing recipient purpose categories issued_at expires_at erase_by "
    "redisclosure notice language given_how present protocol",
    "STOP": "kind grant counter by strength at final_at",
    "RESUME": "kind grant counter by at",
    "NARROW": "kind grant counter categories expires_at by at",
    "REFUSE": "kind ask releasing recipient purpose categories notice language given_how present "
    "at",
    "CONFIRM": "kind grant counter by at",
    "REVOKE": "kind grant cause stop_index at",
    "EXPIRE": "kind grant expires_at at",
    "REFER": "kind grant counter manifest referral sender recipient purpose categories not_after "
    "at",
    "DISCLOSE": "kind grant counter manifest part category stage recipient worker_ref request "
    "accept at",
    "KEY": "kind agency sequence record at",
}
GROUPS = {
    "GRANT": ["ask", "supersedes", "check", "recorded_by recorder_ref medium record confirm_by",
              "cosign_by"],
    "STOP": ["agency worker_ref channel", "why"],
    "RESUME": ["agency worker_ref second_ref"],
    "EXPIRE": ["cause"],
    "REFER": ["reseals"],
    "CONFIRM": ["agency worker_ref record"],
}  # fmt: skip
OWN_VALUES: dict[tuple[str, str], Callable[[Any], None]] = {
    ("NARROW", "by"): _in(["self"]), ("STOP", "by"): _in(["self", "worker", "representative"]),
    ("RESUME", "by"): _in(["self", "staff"]),
    ("CONFIRM", "by"): _in(["self", "second", "guardian"]),
    ("REVOKE", "cause"): _in(["window", "destroy_now", "invalidated"]),
    ("EXPIRE", "cause"): _in(["unconfirmed"]),
}  # fmt: skip


def body_keys(kind: str, value: Any) -> dict[str, Any]:
    """The keys of the kind, and of each optional group all or none."""
    need(isinstance(value, dict), "object")
    wanted = BODIES[kind]
    for group in GROUPS.get(kind, []):
        if set(group.split()) & set(value):
            wanted += f" {group}"
    found: dict[str, Any] = keys(value, wanted)
    return found


def leaf(data: bytes) -> dict[str, Any]:
    need(len(data) == 104, "leaf size")
    need(data[0] == 1 and data[2:8] == bytes(6), "leaf head")
    need(1 <= data[1] <= len(KINDS), "leaf kind")
    return {
        "kind": KINDS[data[1] - 1],
        "tag": data[8:40].hex(),
        "commitment": data[40:72].hex(),
        "aux": data[72:].hex(),
    }


def tag_case(i: dict[str, Any]) -> Any:
    """The tag of one entry: of a grant, or of a KEY entry."""
    integer(i["counter"])
    if i["kind"] == "KEY":
        text(i["agency"], AGENCY)
        start = b"safehand/v1/tag/KEY\x00" + lp(i["agency"].encode())
    else:
        need(i["kind"] in BODIES, "kind")
        secret = bytes.fromhex(i["secret"])
        need(len(secret) == 32, "secret")
        start = b"safehand/v1/tag/" + i["kind"].encode() + b"\x00" + secret
    return {"tag": h(start + i["counter"].to_bytes(8, "big")).hex()}


def opening_case(i: dict[str, Any]) -> Any:
    data = i["opening"].encode("utf-8")
    need(data.endswith(b"\n"), "newline")
    value = keys(cj(data[:-1], 5120), "body index kind salt")
    integer(value["index"])
    text(value["salt"], DIGEST)
    need(isinstance(value["kind"], str) and value["kind"] in BODIES, "kind")
    body = body_keys(value["kind"], value["body"])
    for name, item in body.items():
        if name == "kind":
            need(item == value["kind"], "kind")
        else:
            (OWN_VALUES.get((value["kind"], name)) or BODY_VALUES[name])(item)
    encoded = cj_encode(body).encode("utf-8")
    need(len(encoded) <= 4096, "body size")
    seen = leaf(bytes.fromhex(i["leaf"]))
    salt = bytes.fromhex(value["salt"])
    need(seen["kind"] == value["kind"], "kind")
    need(seen["commitment"] == h(b"safehand/v1/body\x00" + salt + encoded).hex(), "commitment")
    return {"index": value["index"], "kind": value["kind"]}


def _decimal(value: str) -> int:
    text(value, r"0|[1-9][0-9]{0,18}")
    need(int(value) < 2**63, "decimal")
    return int(value)


def _note_key(vkey: str) -> tuple[str, bytes, bytes]:
    pieces = vkey.split("+", 2)
    need(len(pieces) == 3, "vkey")
    name, key_id, key = pieces[0], pieces[1], b64(pieces[2])
    text(name, KEY_NAME)
    need(len(key) == 33 and key[0] == 1, "vkey")
    need(h(name.encode() + b"\n" + key)[:4].hex() == key_id, "vkey id")
    return name, bytes.fromhex(key_id), key[1:]


def checkpoint(note: str, vkey: str) -> dict[str, Any]:
    name, key_id, public = _note_key(vkey)
    need(len(note.encode()) <= 65536, "note size")
    head, gap, tail = note.rpartition("\n\n")
    need(gap != "" and tail.endswith("\n"), "note")
    signed = head + "\n"
    good = False
    lines = tail[:-1].split("\n")
    need(len(lines) <= 64, "signature lines")
    for line in lines:
        match = re.fullmatch("\u2014 ([^ +]+) ([^ ]+)", line)
        need(match is not None, "signature line")
        assert match is not None
        raw = b64(match[2])
        need(len(raw) >= 5, "signature line")
        if match[1] == name and raw[:4] == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], signed.encode())
            except InvalidSignature as error:
                raise Refused("signature") from error
            good = True
    need(good, "not signed")
    body = signed.split("\n")
    need(len(body) == 4 and body[3] == "", "three lines")
    root = b64(body[2])
    need(len(root) == 32 and body[0] == name, "root or origin")
    size = _decimal(body[1])
    need(size > 0 or root == h(b""), "empty root")
    return {"origin": name, "size": size, "root": root.hex()}


def _root_by_path(index: int, size: int, leaf_hash: bytes, path: list[bytes]) -> bytes:
    """Recompute the root by recursion on the tree's shape (RFC 6962 section 2.1.1)."""
    if size == 1:
        need(not path, "proof too long")
        return leaf_hash
    need(bool(path), "proof too short")
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        left = _root_by_path(index, split, leaf_hash, path[:-1])
        return h(b"\x01" + left + path[-1])
    right = _root_by_path(index - split, size - split, leaf_hash, path[:-1])
    return h(b"\x01" + path[-1] + right)


def proof_case(i: dict[str, Any]) -> Any:
    head, gap, note = i["proof"].partition("\n\n")
    lines = head.split("\n")
    need(gap != "" and lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) >= 2, "proof head")
    need(lines[1].startswith("index "), "proof index")
    index = _decimal(lines[1][6:])
    path = [b64(line) for line in lines[2:]]
    need(len(path) <= 63 and all(len(item) == 32 for item in path), "proof hashes")
    seen = checkpoint(note, i["vkey"])
    data = bytes.fromhex(i["leaf"])
    leaf(data)
    need(index < seen["size"], "index")
    root = _root_by_path(index, seen["size"], h(b"\x00" + data), path)
    need(root.hex() == seen["root"], "root")
    return {"index": index, "size": seen["size"]}


# --- section 3: manifest ----------------------------------------------------------------------

BUCKETS = (1024, 4096, 16384, 65536)


def check_header(value: Any) -> None:
    need(isinstance(value, dict), "object")
    keys(
        value,
        "v referral grant sender sender_key recipient recipient_key purpose service urgency "
        "created not_after" + (" reseals" if "reseals" in value else ""),
    )
    if "reseals" in value:
        text(value["reseals"], DIGEST)
    integer(value["v"], 1, 1)
    text(value["referral"], RANDOM_ID)
    text(value["grant"], RANDOM_ID)
    text(value["sender"], AGENCY)
    text(value["sender_key"], DIGEST)
    text(value["recipient"], AGENCY)
    text(value["recipient_key"], DIGEST)
    word(value["purpose"], PURPOSES)
    text(value["service"], SERVICE)
    word(value["urgency"], URGENCIES)
    integer(value["created"])
    integer(value["not_after"])
    need(value["sender"] != value["recipient"], "one agency")
    need(value["created"] < value["not_after"], "times")
    need(len(cj_encode(value).encode()) <= 2048, "header size")


def check_label(value: Any) -> None:
    keys(value, "id category stage schema bucket")
    integer(value["id"], 0, 15)
    word(value["category"], CATEGORIES)
    need(value["stage"] == ("card" if value["category"] == "CARD" else "identity"), "stage")
    integer(value["schema"], 1, 65535)
    need(type(value["bucket"]) is int and value["bucket"] in BUCKETS, "bucket")


def manifest(i: dict[str, Any]) -> tuple[Any, bytes]:
    """The verified manifest's value, and the manifest digest."""
    data = i["manifest"].encode("utf-8")
    value = keys(cj(data, 16384), "header parts")
    check_header(value["header"])
    parts = value["parts"]
    need(isinstance(parts, list) and 1 <= len(parts) <= 16, "parts")
    for number, part in enumerate(parts):
        keys(part, "ciphertext label wrap")
        text(part["ciphertext"], DIGEST)
        text(part["wrap"], DIGEST)
        check_label(part["label"])
        need(part["label"]["id"] == number, "ids")
    need(len({part["label"]["category"] for part in parts}) == len(parts), "category twice")
    public, signature = bytes.fromhex(i["public"]), bytes.fromhex(i["signature"])
    need(value["header"]["sender_key"] == h(public).hex(), "sender key")
    check_signature(public, "safehand/v1/manifest", data, signature)
    return value, h(b"safehand/v1/signed-manifest\x00" + lp(data) + signature)


def manifest_case(i: dict[str, Any]) -> Any:
    value, digest = manifest(i)
    categories = sorted(part["label"]["category"] for part in value["parts"])
    return {"digest": digest.hex(), "categories": categories, "header": value["header"]}


# --- section 4: sealing -----------------------------------------------------------------------


def _extract(salt: bytes, suite: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(prk: bytes, suite: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    out, block, counter = b"", b"", 1
    while len(out) < size:
        block = hmac.digest(prk, block + labelled + bytes([counter]), "sha256")
        out, counter = out + block, counter + 1
    return out[:size]


def xwing_public(seed: bytes) -> bytes:
    wide = hashlib.shake_256(seed).digest(96)
    lattice = MLKEM768PrivateKey.from_seed_bytes(wide[:64]).public_key().public_bytes_raw()
    curve = X25519PrivateKey.from_private_bytes(wide[64:]).public_key().public_bytes_raw()
    return lattice + curve


def xwing_open(seed: bytes, enc: bytes) -> bytes:
    """Decapsulate of draft-connolly-cfrg-xwing-kem section 5.5: the shared secret, 32 bytes."""
    wide = hashlib.shake_256(seed).digest(96)
    curve = X25519PrivateKey.from_private_bytes(wide[64:])
    try:
        secret_m = MLKEM768PrivateKey.from_seed_bytes(wide[:64]).decapsulate(enc[:1088])
        secret_x = curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    except ValueError as error:
        raise Refused("encapsulation") from error
    public_x = curve.public_key().public_bytes_raw()
    return hashlib.sha3_256(secret_m + secret_x + enc[1088:] + public_x + b"\\.//^\\").digest()


def hpke_open(seed: bytes, info: bytes, sealed: bytes) -> bytes:
    """RFC 9180 section 6.1, mode_base, KEM 0x647A, KDF 0x0001, AEAD 0x0002, empty aad."""
    need(len(sealed) == 1168, "inner wrap size")
    suite = b"HPKE\x64\x7a\x00\x01\x00\x02"
    shared = xwing_open(seed, sealed[:1120])
    context = (
        b"\x00"
        + _extract(b"", suite, b"psk_id_hash", b"")
        + _extract(b"", suite, b"info_hash", info)
    )
    secret = _extract(shared, suite, b"secret", b"")
    key = _expand(secret, suite, b"key", context, 32)
    nonce = _expand(secret, suite, b"base_nonce", context, 12)
    return gcm_open(key, nonce, sealed[1120:], b"")


def gcm_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except (InvalidTag, ValueError) as error:
        raise Refused("does not open") from error


def sealed_part_case(i: dict[str, Any]) -> Any:
    """The content of one part, by a recipient who starts from the signed manifest."""
    value, _ = manifest(i)
    need(0 <= i["part"] < len(value["parts"]), "part")
    part = value["parts"][i["part"]]
    header, label = cj_encode(value["header"]).encode(), cj_encode(part["label"]).encode()
    ciphertext, wrap = bytes.fromhex(i["ciphertext"]), bytes.fromhex(i["inner_wrap"])
    need(h(ciphertext).hex() == part["ciphertext"], "ciphertext")
    need(h(wrap).hex() == part["wrap"], "wrap")
    both = lp(header) + lp(label)
    seed = bytes.fromhex(i["seed"])
    key = hpke_open(seed, b"safehand/v1/inner\x00" + both + h(ciphertext), wrap)
    padded = gcm_open(key, bytes(12), ciphertext, b"safehand/v1/content\x00" + both)
    need(len(padded) == part["label"]["bucket"], "bucket")
    end = 4 + int.from_bytes(padded[:4], "big")
    need(end <= len(padded) and padded[end:] == bytes(len(padded) - end), "padding")
    return {"content": padded[4:end].hex()}


def outer_wrap_case(i: dict[str, Any]) -> Any:
    digest, outer = bytes.fromhex(i["manifest"]), bytes.fromhex(i["outer"])
    need(len(digest) == 32 and len(outer) == 1196, "sizes")
    integer(i["part"], 0, 15)
    aad = b"safehand/v1/outer\x00" + digest + bytes([i["part"]])
    return {"inner": gcm_open(bytes.fromhex(i["category_key"]), outer[:12], outer[12:], aad).hex()}


def outer_wraps_case(i: dict[str, Any]) -> Any:
    joined = b"".join(lp(bytes.fromhex(item)) for item in i["wraps"])
    return {"digest": h(b"safehand/v1/outer-wraps\x00" + joined).hex()}


def category_key_case(i: dict[str, Any]) -> Any:
    sealed = bytes.fromhex(i["sealed"])
    need(len(sealed) == 60, "size")
    integer(i["epoch"])
    text(i["grant"], RANDOM_ID)
    word(i["category"], CATEGORIES)
    aad = b"safehand/v1/category-key\x00" + lp(i["grant"].encode()) + lp(i["category"].encode())
    aad += i["epoch"].to_bytes(8, "big")
    return {"key": gcm_open(bytes.fromhex(i["kek"]), sealed[:12], sealed[12:], aad).hex()}


def recipient_key_case(i: dict[str, Any]) -> Any:
    seed = bytes.fromhex(i["seed"])
    need(len(seed) == 32, "seed")
    public = xwing_public(seed)
    return {"public": h(public).hex(), "key_id": h(public).hex()}


# --- section 5: messages ----------------------------------------------------------------------


def _signed(i: dict[str, Any], context: str, names: str) -> tuple[Any, bytes]:
    data = i["message"].encode("utf-8")
    value = keys(cj(data, 4096), names)
    integer(value["v"], 1, 1)
    signature = bytes.fromhex(i["signature"])
    check_signature(bytes.fromhex(i["public"]), context, data, signature)
    return value, h(context.encode() + b"\x00" + lp(data) + signature)


def key_record_case(i: dict[str, Any]) -> Any:
    value, digest = _signed(
        i,
        "safehand/v1/key-record",
        "v agency sequence kid suite public not_before not_after",
    )
    text(value["agency"], AGENCY)
    integer(value["sequence"])
    need(value["suite"] == "647a-0001-0002", "suite")
    public = b64(value["public"])
    need(len(public) == 1216 and value["kid"] == h(public).hex(), "kid")
    # FIPS 203 section 7.2: every 12-bit coefficient of the lattice key is below 3329
    packed = int.from_bytes(public[:1152], "little")
    need(all(packed >> 12 * n & 0xFFF < 3329 for n in range(768)), "lattice key")
    integer(value["not_before"])
    integer(value["not_after"])
    need(value["not_before"] < value["not_after"], "times")
    return {"digest": digest.hex(), "kid": value["kid"]}


def protocol_case(i: dict[str, Any]) -> Any:
    data = i["message"].encode("utf-8")
    value = keys(
        cj(data, 4096),
        "v id a b purposes categories retention_days not_before not_after ledger",
    )
    integer(value["v"], 1, 1)
    text(value["id"], RANDOM_ID)
    for party in (value["a"], value["b"]):
        keys(party, "agency key focal_point")
        text(party["agency"], AGENCY)
        text(party["key"], DIGEST)
        point = party["focal_point"]
        need(isinstance(point, str) and 1 <= len(point) <= 80, "focal point")
        for code in map(ord, point):
            need(not (code < 0x20 or 0x7F <= code < 0xA0), "control")
            need(not (0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x2069), "control")
    need(value["a"]["agency"] < value["b"]["agency"], "order")
    need(value["a"]["key"] != value["b"]["key"], "one key")
    word_list(value["purposes"], PURPOSES)
    word_list(value["categories"], CATEGORIES)
    integer(value["retention_days"], 1, 3650)
    integer(value["not_before"])
    integer(value["not_after"])
    need(value["not_before"] < value["not_after"], "times")
    keys(value["ledger"], "origin vkey")
    text(value["ledger"]["origin"], KEY_NAME)
    need(isinstance(value["ledger"]["vkey"], str), "vkey")
    need(_note_key(value["ledger"]["vkey"])[0] == value["ledger"]["origin"], "origin")
    context = "safehand/v1/protocol"
    signatures = b""
    for side in ("a", "b"):
        signature = bytes.fromhex(i[f"signature_{side}"])
        check_signature(bytes.fromhex(value[side]["key"]), context, data, signature)
        signatures += signature
    return {"digest": h(context.encode() + b"\x00" + lp(data) + signatures).hex()}


def answer_case(i: dict[str, Any]) -> Any:
    value, digest = _signed(i, "safehand/v1/answer", "v answer manifest referral agency reason at")
    word(value["answer"], ["ACCEPT", "DECLINE", "WITHDRAW"])
    text(value["manifest"], DIGEST)
    text(value["referral"], RANDOM_ID)
    text(value["agency"], AGENCY)
    word(value["reason"], [""] if value["answer"] == "ACCEPT" else DECLINES)
    integer(value["at"])
    return {"digest": digest.hex()}


def answer_ack_case(i: dict[str, Any]) -> Any:
    value, digest = _signed(i, "safehand/v1/answer-ack", "v answer at")
    text(value["answer"], DIGEST)
    integer(value["at"])
    return {"digest": digest.hex()}


def release_request_case(i: dict[str, Any]) -> Any:
    value, digest = _signed(
        i, "safehand/v1/release", "v manifest referral part recipient worker_ref request_id"
    )
    text(value["manifest"], DIGEST)
    text(value["referral"], RANDOM_ID)
    integer(value["part"], 0, 15)
    text(value["recipient"], AGENCY)
    text(value["worker_ref"], WORKER)
    text(value["request_id"], UUID)
    return {"digest": digest.hex()}


def record_case(i: dict[str, Any]) -> Any:
    value, digest = _signed(
        i,
        "safehand/v1/record",
        "v agency worker_ref subject_ref medium terms request_id at",
    )
    _check_worker(value)
    word(value["medium"], ["paper", "spoken", "interpreter"])
    terms = keys(
        value["terms"],
        "releasing recipient purpose categories expires_at erase_by notice language given_how "
        "present",
    )
    text(terms["releasing"], AGENCY)
    text(terms["recipient"], AGENCY)
    word(terms["purpose"], PURPOSES)
    word_list(terms["categories"], CATEGORIES)
    integer(terms["expires_at"])
    integer(terms["erase_by"])
    text(terms["notice"], DIGEST)
    _check_language(terms["language"])
    word(terms["given_how"], GIVEN_HOW)
    word(terms["present"], PRESENT)
    return {"digest": digest.hex()}


def second_case(i: dict[str, Any]) -> Any:
    value, digest = _signed(
        i, "safehand/v1/second", "v agency worker_ref subject_ref record request_id at"
    )
    _check_worker(value)
    text(value["record"], DIGEST)
    return {"digest": digest.hex()}


def _check_worker(value: Any) -> None:
    """Who of which agency says it of whom, under which request, and when."""
    text(value["agency"], AGENCY)
    text(value["worker_ref"], WORKER)
    text(value["subject_ref"], WORKER)
    text(value["request_id"], UUID)
    integer(value["at"])


def resume_case(i: dict[str, Any]) -> Any:
    value, digest = _signed(
        i, "safehand/v1/resume", "v agency grant worker_ref second_ref request_id at"
    )
    text(value["agency"], AGENCY)
    text(value["grant"], RANDOM_ID)
    text(value["worker_ref"], WORKER)
    text(value["second_ref"], WORKER)
    need(value["worker_ref"] != value["second_ref"], "one worker twice")
    text(value["request_id"], UUID)
    integer(value["at"])
    return {"digest": digest.hex()}


def succession_case(i: dict[str, Any]) -> Any:
    """The next identity key of an agency whose key ``public`` the reader already holds."""
    data = i["message"].encode("utf-8")
    value = keys(cj(data, 1024), "v agency old new not_before old_until")
    integer(value["v"], 1, 1)
    text(value["agency"], AGENCY)
    text(value["old"], DIGEST)
    text(value["new"], DIGEST)
    need(value["old"] != value["new"], "itself")
    integer(value["not_before"])
    integer(value["old_until"])
    need(0 <= value["old_until"] - value["not_before"] <= 90 * 24 * 3600, "overlap")
    need(value["agency"] == i["agency"] and value["old"] == i["public"], "another key")
    for side in ("old", "new"):
        signature = bytes.fromhex(i[f"signature_{side}"])
        check_signature(bytes.fromhex(value[side]), "safehand/v1/succession", data, signature)
    return {"new": value["new"], "old_until": value["old_until"]}


# --- section 7: the consent token -------------------------------------------------------------


def signed_claims(token: str, known: dict[str, str], typ: str, names: str) -> Any:
    """The claims of a compact JWS of one type under a key that is known."""
    need(len(token) <= 8192 and token.count(".") == 2, "compact")
    head, body, tail = token.split(".")
    header = keys(cj(b64url(head), 8192), "alg kid typ")
    need(header["alg"] == "Ed25519" and header["typ"] == typ, "header")
    need(isinstance(header["kid"], str) and header["kid"] in known, "kid")
    public = bytes.fromhex(known[header["kid"]])
    need(h(b"safehand/v1/token-key\x00" + public)[:4].hex() == header["kid"], "kid")
    signature = b64url(tail)
    need(len(signature) == 64, "signature")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, f"{head}.{body}".encode())
    except InvalidSignature as error:
        raise Refused("signature") from error
    return keys(cj(b64url(body), 8192), names)


def check_for_whom(claims: Any, i: dict[str, Any]) -> None:
    """Names, ``jti`` and certificate: the same for tokens and tickets."""
    for name in ("iss", "aud"):
        text(claims[name], r"[!-~]{1,200}")
    need(claims["iss"] == i["issuer"] and claims["aud"] == i["audience"], "iss or aud")
    text(claims["jti"], RANDOM_ID)
    thumbprint = b64url32(keys(claims["cnf"], "x5t#S256")["x5t#S256"])
    need(thumbprint == h(bytes.fromhex(i["peer_cert"])), "cnf")


def token_case(i: dict[str, Any]) -> Any:
    """The claims, for a verifier that holds ``keys``, ``issuer``, ``audience``, ``now`` …"""
    claims = signed_claims(
        i["token"],
        i["keys"],
        "consent+jwt",
        "iss aud iat nbf exp jti cnf authorization_details mfd owd led rvt",
    )
    check_for_whom(claims, i)
    for name in ("iat", "nbf", "exp"):
        integer(claims[name])
    need(claims["iat"] <= claims["nbf"] < claims["exp"] <= claims["iat"] + 300, "times")
    need(claims["nbf"] <= i["now"] < claims["exp"], "now")
    details = claims["authorization_details"]
    need(isinstance(details, list) and len(details) == 1, "details")
    detail = keys(details[0], "type recipient purpose categories")
    need(detail["type"] == "safehand_referral/v1", "type")
    text(detail["recipient"], AGENCY)
    word(detail["purpose"], PURPOSES)
    word_list(detail["categories"], CATEGORIES)
    led = keys(claims["led"], "org idx lh")
    text(led["org"], KEY_NAME)
    integer(led["idx"])
    b64url32(led["lh"])
    b64url32(claims["rvt"])
    value, digest = manifest(i)
    joined = b"".join(lp(bytes.fromhex(item)) for item in i["outer_wraps"])
    need(b64url32(claims["mfd"]) == digest, "mfd")
    need(b64url32(claims["owd"]) == h(b"safehand/v1/outer-wraps\x00" + joined), "owd")
    need(detail["recipient"] == value["header"]["recipient"], "recipient")
    need(detail["purpose"] == value["header"]["purpose"], "purpose")
    parts = sorted(part["label"]["category"] for part in value["parts"])
    need(detail["categories"] == parts, "categories")
    return {"jti": claims["jti"], "index": led["idx"], "categories": detail["categories"]}


# --- section 8: the steps ticket --------------------------------------------------------------


def steps_ticket_case(i: dict[str, Any]) -> Any:
    """The referrals that it is for, in its order."""
    names = "iss aud iat exp jti cnf referrals"
    claims = signed_claims(i["ticket"], i["keys"], "steps+jwt", names)
    check_for_whom(claims, i)
    for name in ("iat", "exp"):
        integer(claims[name])
    need(claims["iat"] < claims["exp"] <= claims["iat"] + 60, "times")
    need(claims["iat"] <= i["now"] < claims["exp"], "now")
    referrals = claims["referrals"]
    need(isinstance(referrals, list) and 1 <= len(referrals) <= 100, "referrals")
    for referral in referrals:
        text(referral, RANDOM_ID)
    need(len(set(referrals)) == len(referrals), "referrals")
    return {"referrals": referrals}


DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "signature": signature_case,
    "leaf": lambda i: leaf(bytes.fromhex(i["leaf"])),
    "tag": tag_case,
    "opening": opening_case,
    "checkpoint": lambda i: checkpoint(i["note"], i["vkey"]),
    "proof": proof_case,
    "manifest": manifest_case,
    "sealed-part": sealed_part_case,
    "outer-wrap": outer_wrap_case,
    "outer-wraps-digest": outer_wraps_case,
    "category-key": category_key_case,
    "recipient-key": recipient_key_case,
    "key-record": key_record_case,
    "protocol": protocol_case,
    "answer": answer_case,
    "answer-ack": answer_ack_case,
    "release-request": release_request_case,
    "record": record_case,
    "second": second_case,
    "resume": resume_case,
    "succession": succession_case,
    "token": token_case,
    "steps-ticket": steps_ticket_case,
}
