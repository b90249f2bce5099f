"""Check an export directory with nothing but itself and, better, a key pinned before.

Every file must be there, be canonical, and follow from the others; a changed byte anywhere
fails. The directory names its own key in ``vkey``: only a pinned key says whose ledger it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle, note
from safehand_formats.checkpoint import Checkpoint, open_checkpoint
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.opening import Opening
from safehand_formats.proof import TlogProof

from safehand_ledger import bundle
from safehand_ledger.report import Problems, Report
from safehand_ledger.rules import Rules

MAX_FILE_BYTES: Final = 2 * 1024 * 1024
"""Larger than any file of an export; a larger one is not read."""


def audit(
    out_dir: Path, *, vkey: str | None = None, grant_secrets: Mapping[str, bytes] | None = None
) -> Report:
    """Check everything in ``out_dir``; what is wrong becomes problems.

    ``vkey``: the pinned verifier key; without it the directory's own is believed.
    Raises CONFIG_INVALID when there is no such directory, MALFORMED for a bad ``vkey``.
    """
    pinned = None if vkey is None else NoteVerifier.from_vkey(vkey)
    if not out_dir.is_dir():
        raise SafehandError(Reason.CONFIG_INVALID, "there is no such directory")
    return _Audit(_read(out_dir), pinned, grant_secrets).run()


def _read(out_dir: Path) -> dict[str, bytes | None]:
    """Name to content; None for what is no plain file of a sane size, or cannot be read."""
    found: dict[str, bytes | None] = {}
    for path in sorted(out_dir.iterdir()):
        found[path.name] = None
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            continue
        try:
            found[path.name] = path.read_bytes()
        except OSError:
            continue
    return found


class _Audit:
    def __init__(
        self,
        files: dict[str, bytes | None],
        pinned: NoteVerifier | None,
        secrets: Mapping[str, bytes] | None,
    ) -> None:
        self._problems = Problems()
        self._files: dict[str, bytes] = {}
        self._pinned = pinned
        self._rules = Rules(self._problems, secrets)
        self._kinds: dict[int, Kind] = {}
        self._opened = 0
        self._steps = 0
        for name, data in files.items():
            if data is None:
                self._problems.add("FILE", name, "not a plain file")
            else:
                self._files[name] = data

    def run(self) -> Report:
        self._sums()
        checkpoint: Checkpoint | None = None
        verifier: NoteVerifier | None = None
        with self._file(bundle.VKEY) as data:
            verifier = self._vkey(data)
        with self._file(bundle.CHECKPOINT) as data:
            if verifier is not None:
                checkpoint = open_checkpoint(note.decode_utf8(data), verifier)
        root = merkle.EMPTY_ROOT
        if checkpoint is not None and verifier is not None:
            root = self._entries(checkpoint, verifier)
        with self._file(bundle.STORY) as data:
            self._story(data)
        return Report(
            size=len(self._kinds),
            root=root.hex(),
            opened=self._opened,
            forgotten=len(self._kinds) - self._opened,
            steps=self._steps,
            problem_count=self._problems.count,
            problems=tuple(self._problems.kept),
        )

    @contextmanager
    def _file(self, name: str) -> Iterator[bytes]:
        """The content of ``name``; what its check raises becomes a problem of that file."""
        try:
            yield self._files.get(name, b"")
        except SafehandError as error:
            self._problems.add(error.reason.value, name, error.detail)

    def _sums(self) -> None:
        listed: dict[str, str] = {}
        with self._file(bundle.SUMS) as data:
            listed = bundle.decode_sums(data)
        there = {name for name in self._files if name != bundle.SUMS}
        for name in sorted(there | set(listed)):
            if name not in there:
                self._problems.add("FILE", name, "missing")
            elif name not in listed:
                self._problems.add("FILE", name, "not in the list of sums")
            elif hashlib.sha256(self._files[name]).hexdigest() != listed[name]:
                self._problems.add("FILE", name, "changed")

    def _vkey(self, data: bytes) -> NoteVerifier:
        text = note.decode_utf8(data)
        if not text.endswith("\n"):
            raise SafehandError(Reason.MALFORMED, "a verifier key is one line")
        verifier = NoteVerifier.from_vkey(text[:-1])
        if self._pinned is not None and verifier.vkey != self._pinned.vkey:
            raise SafehandError(Reason.PROOF_INVALID, "not the pinned key")
        return verifier

    def _entries(self, checkpoint: Checkpoint, verifier: NoteVerifier) -> bytes:
        expected = {bundle.CHECKPOINT, bundle.VKEY, bundle.STORY, bundle.SUMS}
        leaves = sum(name.endswith(".leaf") for name in self._files)
        self._problems.require(leaves == checkpoint.size, "LEAF", "-", "not the signed number")
        frontier = merkle.Frontier()
        for index in range(min(checkpoint.size, leaves)):
            names = bundle.entry_names(index)
            expected.update(names)
            data = self._files.get(names[0], b"")
            frontier.append(merkle.leaf_hash(data))
            with self._file(names[0]):
                leaf = Leaf.decode(data)
                self._kinds[index] = leaf.kind
                self._entry(index, leaf, names[2])
            with self._file(names[1]) as text:
                self._proof(index, data, text, verifier)
        self._rules.finish()
        root = frontier.root()
        self._problems.require(root == checkpoint.root, "ROOT", "-", "not the signed root")
        for name in sorted(set(self._files) - expected):
            self._problems.add("FILE", name, "does not belong here")
        return root

    def _entry(self, index: int, leaf: Leaf, name: str) -> None:
        body = None
        if name in self._files:
            self._opened += 1
            with self._file(name) as data:
                opening = Opening.from_bytes(data)
                if opening.index != index:
                    raise SafehandError(Reason.PROOF_INVALID, "the opening of another entry")
                opening.require_match(leaf)
                body = opening.body
        self._rules.entry(index, leaf, body)

    def _proof(self, index: int, leaf: bytes, data: bytes, verifier: NoteVerifier) -> None:
        text = note.decode_utf8(data)
        proof = TlogProof.from_text(text)
        if proof.checkpoint_note.encode() != self._files[bundle.CHECKPOINT]:
            raise SafehandError(Reason.PROOF_INVALID, "against another checkpoint")
        if proof.index != index or proof.to_text() != text:
            raise SafehandError(Reason.PROOF_INVALID, "the proof of another entry")
        proof.verify(leaf, verifier)

    def _story(self, data: bytes) -> None:
        for step in bundle.decode_story(data):
            self._steps += 1
            self._problems.require(
                step.agrees(self._kinds), "STORY", step.index, "a step that its entry contradicts"
            )
