"""Our own code behind the same names as ``second_decoder``: one reader per format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safehand_formats import (
    answer,
    fields,
    keyrecord,
    kinds,
    manifest,
    note,
    proof,
    record,
    release_request,
    resume,
    sealing,
    sharing_protocol,
    signing,
    steps_ticket,
    succession,
    token,
    wraps,
)
from safehand_formats.checkpoint import open_checkpoint
from safehand_formats.leaf import Leaf
from safehand_formats.opening import Opening

raw = bytes.fromhex
Inputs = dict[str, Any]


def _signature(i: Inputs) -> Any:
    public = raw(i["public"])
    signing.verify(public, i["context"], raw(i["message"]), raw(i["signature"]))
    return {"key_id": signing.identity_key_id(public)}


def _leaf(i: Inputs) -> Any:
    leaf = Leaf.decode(raw(i["leaf"]))
    return {
        "kind": leaf.kind.name,
        "tag": leaf.tag.hex(),
        "commitment": leaf.commitment.hex(),
        "aux": leaf.aux.hex(),
    }


def _tag(i: Inputs) -> Any:
    if i["kind"] == "KEY":
        return {"tag": kinds.key_tag(i["agency"], i["counter"]).hex()}
    kind = kinds.kind_named(i["kind"])
    return {"tag": kinds.grant_tag(kind, raw(i["secret"]), i["counter"]).hex()}


def _opening(i: Inputs) -> Any:
    opening = Opening.from_bytes(i["opening"].encode())
    opening.require_match(Leaf.decode(raw(i["leaf"])))
    return {"index": opening.index, "kind": opening.kind.name}


def _checkpoint(i: Inputs) -> Any:
    text = note.decode_utf8(i["note"].encode())
    head = open_checkpoint(text, note.NoteVerifier.from_vkey(i["vkey"]))
    return {"origin": head.origin, "size": head.size, "root": head.root.hex()}


def _proof(i: Inputs) -> Any:
    receipt = proof.TlogProof.from_text(note.decode_utf8(i["proof"].encode()))
    head = receipt.verify(raw(i["leaf"]), note.NoteVerifier.from_vkey(i["vkey"]))
    return {"index": receipt.index, "size": head.size}


def _signed_manifest(i: Inputs) -> manifest.SignedManifest:
    return manifest.SignedManifest(i["manifest"].encode(), raw(i["signature"]))


def _manifest(i: Inputs) -> Any:
    signed = _signed_manifest(i)
    read = signed.verify(raw(i["public"]))
    return {
        "digest": signed.digest.hex(),
        "categories": list(read.categories),
        "header": read.header.to_object(),
    }


def _sealed_part(i: Inputs) -> Any:
    read = _signed_manifest(i).verify(raw(i["public"]))
    part = read.part(i["part"])
    ciphertext, wrap = raw(i["ciphertext"]), raw(i["inner_wrap"])
    part.match_ciphertext(ciphertext)
    part.match_wrap(wrap)
    content = sealing.open_part(read.header, part.label, ciphertext, wrap, raw(i["seed"]))
    return {"content": content.hex()}


def _outer_wrap(i: Inputs) -> Any:
    key, digest = raw(i["category_key"]), raw(i["manifest"])
    return {"inner": wraps.outer_unwrap(key, digest, i["part"], raw(i["outer"])).hex()}


def _outer_wraps_digest(i: Inputs) -> Any:
    return {"digest": wraps.outer_wraps_digest([raw(item) for item in i["wraps"]]).hex()}


def _category_key(i: Inputs) -> Any:
    key = wraps.open_category_key(
        raw(i["kek"]), i["epoch"], i["grant"], i["category"], raw(i["sealed"])
    )
    return {"key": key.hex()}


def _recipient_key(i: Inputs) -> Any:
    public = sealing.recipient_public(raw(i["seed"]))
    return {"public": fields.sha256(public).hex(), "key_id": sealing.recipient_key_id(public)}


def _key_record(i: Inputs) -> Any:
    signed = keyrecord.SignedKeyRecord(i["message"].encode(), raw(i["signature"]))
    record = signed.verify(raw(i["public"]))
    return {"digest": signed.digest.hex(), "kid": record.kid}


def _protocol(i: Inputs) -> Any:
    signed = sharing_protocol.SignedProtocol(
        i["message"].encode(), raw(i["signature_a"]), raw(i["signature_b"])
    )
    signed.verify()
    return {"digest": signed.digest.hex()}


def _answer(i: Inputs) -> Any:
    signed = answer.SignedAnswer(i["message"].encode(), raw(i["signature"]))
    signed.verify(raw(i["public"]))
    return {"digest": signed.digest.hex()}


def _answer_ack(i: Inputs) -> Any:
    signed = answer.SignedAnswerAck(i["message"].encode(), raw(i["signature"]))
    signed.verify(raw(i["public"]))
    return {"digest": signed.digest.hex()}


def _release_request(i: Inputs) -> Any:
    signed = release_request.SignedReleaseRequest(i["message"].encode(), raw(i["signature"]))
    signed.verify(raw(i["public"]))
    return {"digest": signed.digest.hex()}


def _record(i: Inputs) -> Any:
    signed = record.SignedRecord(i["message"].encode(), raw(i["signature"]))
    signed.verify(raw(i["public"]))
    return {"digest": signed.digest.hex()}


def _second(i: Inputs) -> Any:
    signed = record.SignedSecond(i["message"].encode(), raw(i["signature"]))
    signed.verify(raw(i["public"]))
    return {"digest": signed.digest.hex()}


def _resume(i: Inputs) -> Any:
    signed = resume.SignedResume(i["message"].encode(), raw(i["signature"]))
    signed.verify(raw(i["public"]))
    return {"digest": signed.digest.hex()}


def _succession(i: Inputs) -> Any:
    signed = succession.SignedSuccession(
        i["message"].encode(), raw(i["signature_old"]), raw(i["signature_new"])
    )
    said = signed.verify(i["agency"], raw(i["public"]))
    return {"new": said.new.hex(), "old_until": said.old_until}


def _token(i: Inputs) -> Any:
    claims = token.verify(
        i["token"],
        keys={kid: raw(public) for kid, public in i["keys"].items()},
        issuer=i["issuer"],
        audience=i["audience"],
        now=i["now"],
        peer_cert_der=raw(i["peer_cert"]),
    )
    claims.match(_signed_manifest(i), [raw(item) for item in i["outer_wraps"]])
    return {
        "jti": claims.jti,
        "index": claims.ledger_index,
        "categories": list(claims.categories),
    }


def _steps_ticket(i: Inputs) -> Any:
    referrals = steps_ticket.verify(
        i["ticket"],
        {kid: raw(public) for kid, public in i["keys"].items()},
        issuer=i["issuer"],
        audience=i["audience"],
        certificate_sha256=token.certificate_thumbprint(raw(i["peer_cert"])),
        now=i["now"],
    )
    return {"referrals": list(referrals)}


DECODERS: dict[str, Callable[[Inputs], Any]] = {
    "signature": _signature,
    "leaf": _leaf,
    "tag": _tag,
    "opening": _opening,
    "checkpoint": _checkpoint,
    "proof": _proof,
    "manifest": _manifest,
    "sealed-part": _sealed_part,
    "outer-wrap": _outer_wrap,
    "outer-wraps-digest": _outer_wraps_digest,
    "category-key": _category_key,
    "recipient-key": _recipient_key,
    "key-record": _key_record,
    "protocol": _protocol,
    "answer": _answer,
    "answer-ack": _answer_ack,
    "release-request": _release_request,
    "record": _record,
    "second": _second,
    "resume": _resume,
    "succession": _succession,
    "token": _token,
    "steps-ticket": _steps_ticket,
}
