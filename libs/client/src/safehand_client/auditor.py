"""What her receipt alone cannot show: that nothing of hers was left out at its end.

A receipt with a look missing in the middle has a gap in a counter. One that ends too early has
none. Whoever may read all leaves (an agency, oversight) and is handed her receipt finds that too:
her secret gives every tag, and each of them that stands in the tree must stand on the receipt.

Not found, and not claimed: a look that was logged under no tag of hers, or not at all. The first
shows when the bodies are checked (``safehand ledger fsck``), the second to nobody alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.checkpoint import Checkpoint, open_checkpoint
from safehand_formats.kinds import BUILT, Kind, grant_tag
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier

from safehand_client._internal.calls import DEADLINE_S, Stubs, dial
from safehand_client.party import Addresses, Party
from safehand_client.survivor import ReceiptLine, read_receipt
from safehand_client.trust import TrustStore

BEYOND: Final = 256
"""Counters tried above the number of leaves of a kind."""


class OversightClient:
    """An oversight party, which may read every leaf. Hand it her receipt, and it says if it is
    whole; it sees no name and no content, only leaves and what she shows it."""

    def __init__(
        self,
        party: Party,
        *,
        addresses: Addresses | None = None,
        stubs: Stubs | None = None,
    ) -> None:
        self.stubs = stubs or dial(addresses or party.addresses, party.tls)
        self._verifier = TrustStore(party.trust).verifier

    def close(self) -> None:
        self.stubs.close()

    def check_complete(self, receipt: consent_pb2.GetReceiptResponse, grant: str) -> int:
        """How many leaves the receipt was held against; raises PROOF_INVALID (``check_complete``).

        Every leaf is fetched and must make up the head that the ledger signed, under the vkey that
        this party pinned.
        """
        ledger = fetch_ledger(self.stubs, self._verifier)
        check_complete(ledger, receipt, grant, self._verifier)
        return len(ledger.leaves)


@dataclass(frozen=True, slots=True)
class WholeLedger:
    """All leaves (104 bytes each) in order, and the signed head that they make up."""

    leaves: tuple[bytes, ...]
    head: Checkpoint


def fetch_ledger(stubs: Stubs, verifier: NoteVerifier) -> WholeLedger:
    """Every leaf, checked against the signed head; raises PROOF_INVALID where they disagree."""
    leaves: list[bytes] = []
    token = ""
    while True:
        page = stubs.ledger.ListLeaves(
            ledger_pb2.ListLeavesRequest(page_token=token), timeout=DEADLINE_S
        )
        if page.start != len(leaves):
            raise SafehandError(Reason.PROOF_INVALID, "leaves are missing between two pages")
        leaves += page.leaves
        token = page.next_page_token
        if not token:
            break
    head = open_checkpoint(page.checkpoint, verifier)
    if head.size != len(leaves) or merkle.root_from_leaves(leaves) != head.root:
        raise SafehandError(Reason.PROOF_INVALID, "the leaves do not make up the signed head")
    return WholeLedger(tuple(leaves), head)


def check_complete(
    ledger: WholeLedger,
    receipt: consent_pb2.GetReceiptResponse,
    grant: str,
    verifier: NoteVerifier,
) -> list[ReceiptLine]:
    """The lines of her receipt, if it lists everything of hers that was in the ledger with it.

    Take the receipt first and the ledger after it. Raises PROOF_INVALID: what ``read_receipt``
    refuses; a head that is not of this ledger's history; a leaf with a tag of hers that is not on
    the receipt.
    """
    lines, head = read_receipt(receipt, grant, verifier)
    known = ledger.leaves[: head.size]
    if head.size > ledger.head.size or merkle.root_from_leaves(known) != head.root:
        raise SafehandError(Reason.PROOF_INVALID, "the receipt is of another history")
    if indexes_of(known, receipt.secret) != [line.index for line in lines]:
        raise SafehandError(Reason.PROOF_INVALID, "the receipt leaves out an entry of hers")
    return lines


def indexes_of(leaves: Sequence[bytes], secret: bytes) -> list[int]:
    """Where leaves with tags of ``secret`` stand, ascending.

    For each kind it tries as many counters as there are leaves of the kind, and ``BEYOND`` more:
    an entry does not hide behind a gap in its counter. (A counter that jumps further breaks the
    format, and shows when the bodies are checked.)
    """
    places: dict[tuple[Kind, bytes], int] = {}
    counts: dict[Kind, int] = {}
    for index, data in enumerate(leaves):
        leaf = Leaf.decode(data)
        places[leaf.kind, leaf.tag] = index
        counts[leaf.kind] = counts.get(leaf.kind, 0) + 1
    return sorted(
        places[kind, tag]
        for kind in BUILT
        if kind.of_grant
        for counter in range(counts.get(kind, 0) + BEYOND)
        if (kind, tag := grant_tag(kind, secret, counter)) in places
    )
