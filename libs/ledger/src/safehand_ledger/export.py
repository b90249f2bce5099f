"""Write what an outsider needs to check the whole ledger (docs/formats.md 2.5)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.checkpoint import open_checkpoint
from safehand_formats.merkle import Frontier
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof
from safehand_store.engine import begin_read
from sqlalchemy import Engine

from safehand_ledger import bundle, stored
from safehand_ledger.bundle import Step

PAGE: Final = 1000
"""Leaves read at a time."""


def export(engine: Engine, out_dir: Path, *, vkey: str, story: Iterable[Step] | None = None) -> int:
    """Write the ledger in ``engine`` to the new or empty directory ``out_dir``.

    Every proof is against the one checkpoint. Without a ``story`` the file holds an empty list.
    Files are 0600, because openings say what she agreed to. Returns the number of entries.

    Raises CONFIG_INVALID for a directory that holds something, PROOF_INVALID when the head is not
    signed by ``vkey``, LEDGER_CORRUPT when the leaves do not lead to its root.
    """
    files = _files(engine, NoteVerifier.from_vkey(vkey), list(story or ()))
    out_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(out_dir.iterdir()):
        raise SafehandError(Reason.CONFIG_INVALID, "the directory is not empty")
    for name, data in files.items():
        descriptor = os.open(out_dir / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    return sum(name.endswith(".leaf") for name in files)


def _files(engine: Engine, verifier: NoteVerifier, story: list[Step]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    frontier = Frontier()
    nodes: dict[tuple[int, int], bytes] = {}
    with begin_read(engine) as connection:
        head = stored.require_head(connection)
        checkpoint = open_checkpoint(head.note, verifier)
        while page := stored.leaves(connection, frontier.size, PAGE):
            for index, leaf in page:
                leaf_name, _, opening_name = bundle.entry_names(index)
                files[leaf_name] = leaf
                for level, place, value in frontier.append(merkle.leaf_hash(leaf)):
                    nodes[(level, place)] = value
                opening = stored.opening(connection, index)
                if opening is not None:
                    files[opening_name] = opening.to_bytes()
    if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
        raise SafehandError(Reason.LEDGER_CORRUPT, "the leaves do not lead to the signed root")

    def node(level: int, place: int) -> bytes:
        return nodes[(level, place)]

    for index in range(checkpoint.size):
        path = tuple(merkle.inclusion_proof(index, checkpoint.size, node))
        proof = TlogProof(index, path, head.note)
        files[bundle.entry_names(index)[1]] = proof.to_text().encode()
    files[bundle.CHECKPOINT] = head.note.encode()
    files[bundle.VKEY] = verifier.vkey.encode() + b"\n"
    files[bundle.STORY] = bundle.encode_story(story)
    files[bundle.SUMS] = bundle.encode_sums(files)
    return files
