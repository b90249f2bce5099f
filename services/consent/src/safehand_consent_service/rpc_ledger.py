"""``LedgerService``: proofs and leaves for everyone who may read them, and the KEY entries."""

from __future__ import annotations

from typing import Final

import grpc
from safehand.consent.v1 import ledger_pb2, ledger_pb2_grpc
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_ledger import stored
from safehand_rpc import call
from safehand_rpc.paging import page_size
from safehand_store.engine import begin_read

from safehand_consent_service import key_records, slip_codes, wire
from safehand_consent_service.context import Context, request_of

LEAVES_DEFAULT: Final = 500
LEAVES_MAX: Final = 2000
"""Leaves of one answer: 208 KB."""


class LedgerServicer(ledger_pb2_grpc.LedgerServiceServicer):
    """Reads are snapshots of the database; they never wait for the writer."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def AppendKey(  # noqa: N802
        self, request: ledger_pb2.AppendKeyRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.AppendKeyResponse:
        caller = call.current().principal
        receipt = key_records.append(
            self._context,
            caller,
            SignedKeyRecord(request.record, request.signature),
            request_of(self._context.cards, caller.spiffe_id, request),
        )
        return ledger_pb2.AppendKeyResponse(receipt=wire.receipt(receipt))

    def GetCheckpoint(  # noqa: N802
        self, request: ledger_pb2.GetCheckpointRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetCheckpointResponse:
        return ledger_pb2.GetCheckpointResponse(checkpoint=self._context.reader.checkpoint_note())

    def ListLeaves(  # noqa: N802
        self, request: ledger_pb2.ListLeavesRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.ListLeavesResponse:
        scope = call.current().principal.spiffe_id
        size = page_size(request.page_size, default=LEAVES_DEFAULT, maximum=LEAVES_MAX)
        position = self._context.pager.position(request, scope=scope)
        start = request.start if position is None else int(position)
        with begin_read(self._context.engine) as connection:
            head = stored.require_head(connection)
            leaves = [leaf for _, leaf in stored.leaves(connection, start, size)]
        answer = ledger_pb2.ListLeavesResponse(start=start, leaves=leaves, checkpoint=head.note)
        end = start + len(leaves)
        if leaves and end < head.size:
            answer.next_page_token = self._context.pager.token(str(end), request, scope=scope)
        return answer

    def CheckCode(  # noqa: N802
        self, request: ledger_pb2.CheckCodeRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.CheckCodeResponse:
        found = slip_codes.find(self._context, request.code)
        return ledger_pb2.CheckCodeResponse(
            # Whoever has a code is not thereby the person: the opening stays closed.
            receipts=[
                ledger_pb2.Receipt(index=one.index, leaf=one.leaf, proof=one.proof) for one in found
            ]
        )

    def GetConsistencyProof(  # noqa: N802
        self, request: ledger_pb2.GetConsistencyProofRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetConsistencyProofResponse:
        hashes = self._context.reader.consistency(request.from_size, request.to_size)
        return ledger_pb2.GetConsistencyProofResponse(hashes=hashes)
