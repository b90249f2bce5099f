"""Believing a receipt: its proof, its opening, and that it says what was asked for."""

from __future__ import annotations

from collections.abc import Mapping

from safehand.consent.v1 import ledger_pb2
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.bodies import decode_body
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof

from safehand_client._internal.heads import SeenHead


def verify_receipt(
    receipt: ledger_pb2.Receipt,
    kind: Kind,
    expected: Mapping[str, Json],
    verifier: NoteVerifier,
    *,
    head: SeenHead | None = None,
    asked_at: Checkpoint | None = None,
) -> dict[str, Json]:
    """The opened body, if every check holds; raises PROOF_INVALID otherwise.

    ``expected``: values that the body must have. With ``head``, the proof's checkpoint must also
    continue the head that was seen when the request was made (``asked_at``).
    """
    try:
        proof = TlogProof.from_text(receipt.proof)
        checkpoint = proof.verify(receipt.leaf, verifier)
        leaf = Leaf.decode(receipt.leaf)
        body = decode_body(kind, receipt.body)
    except SafehandError as error:
        raise SafehandError(Reason.PROOF_INVALID, error.detail) from error
    if proof.index != receipt.index:
        raise SafehandError(Reason.PROOF_INVALID, "the proof is for another index")
    if leaf.kind is not kind:
        raise SafehandError(Reason.PROOF_INVALID, "the leaf is of another kind")
    if body_commitment(receipt.salt, receipt.body) != leaf.commitment:
        raise SafehandError(Reason.PROOF_INVALID, "the opening is not of this leaf")
    for key, value in expected.items():
        if body.get(key) != value:
            raise SafehandError(
                Reason.PROOF_INVALID, "the leaf says something else", metadata={"field": key}
            )
    if head is not None:
        head.accept(checkpoint, proof.checkpoint_note, asked_at)
    return body
