"""Write the vectors: ``python -m tests.vectors.build [--new-wraps]``.

One file per format. The same files come out each time; a test compares them with those that are
committed. ``--new-wraps`` first makes new inner wraps: needed only when what they bind changes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.vectors import agency_words, ledger, messages, sealed, tickets, tokens
from tests.vectors.shapes import Vectors

HERE = Path(__file__).parent

BUILDERS: tuple[Callable[[], Vectors], ...] = (
    messages.signature,
    ledger.leaves,
    ledger.tags,
    ledger.openings,
    ledger.checkpoints,
    ledger.proofs,
    lambda: messages.manifest(sealed.signed_manifest()),
    sealed.sealed_part,
    sealed.outer_wrap,
    sealed.outer_digest,
    sealed.category_key,
    sealed.recipient_key,
    messages.key_record,
    messages.protocol,
    messages.answers,
    messages.answer_ack,
    messages.release,
    agency_words.records,
    agency_words.seconds,
    agency_words.resumes,
    agency_words.successions,
    tokens.vectors,
    tickets.vectors,
)


def files() -> dict[str, bytes]:
    """Every vector file by name."""
    out: dict[str, bytes] = {}
    for builder in BUILDERS:
        vectors = builder()
        text = json.dumps(vectors.document(), indent=1, sort_keys=True, ensure_ascii=False)
        out[f"{vectors.format}.json"] = (text + "\n").encode("utf-8")
    return out


def main(arguments: list[str]) -> None:
    if "--new-wraps" in arguments:
        sealed.FIXED.write_bytes(sealed.make_fixed())
    for name, data in files().items():
        (HERE / name).write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1:])
