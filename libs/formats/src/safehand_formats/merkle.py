"""Merkle tree hashing and proofs: RFC 6962 section 2.1, verification as RFC 9162 section 2.1.

Pure functions over 32-byte hashes. A proof that does not verify raises PROOF_INVALID; nothing
else escapes, whatever the input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

HASH_BYTES: Final = 32
MAX_SIZE: Final = 2**63 - 1
"""Sizes and indexes stay below 2^63 (docs/formats.md 2.1)."""
MAX_PROOF_HASHES: Final = 63
"""An audit path of a tree below 2^63 leaves is never longer."""
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of the empty tree (RFC 6962 section 2.1)."""

NodeAt = Callable[[int, int], bytes]
"""``(level, index)`` of a complete subtree to its hash; level 0 are the leaf hashes."""


def leaf_hash(leaf: bytes) -> bytes:
    """``H(00 || leaf)``."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """``H(01 || left || right)``."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from_hashes(hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes in order; ``EMPTY_ROOT`` for none."""
    frontier = Frontier()
    for value in hashes:
        frontier.append(value)
    return frontier.root()


def root_from_leaves(leaves: Iterable[bytes]) -> bytes:
    """The root over whole leaves in order (each is hashed first)."""
    return root_from_hashes(leaf_hash(leaf) for leaf in leaves)


# --- the right edge -------------------------------------------------------------------------


@dataclass(slots=True)
class Frontier:
    """The compact range from 0: the roots of the complete subtrees, largest first.

    There is one per 1-bit of ``size``, so appending and the root cost O(log size) and need no
    other node of the tree.
    """

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE or len(self.hashes) != self.size.bit_count():
            raise SafehandError(Reason.MALFORMED, "a frontier has one hash per 1-bit of its size")

    def copy(self) -> Frontier:
        return Frontier(self.size, list(self.hashes))

    def append(self, value: bytes) -> list[tuple[int, int, bytes]]:
        """Add one leaf hash. Returns the subtrees it completes: ``(level, index, hash)``."""
        index = self.size
        completed = [(0, index, value)]
        level = 0
        while index & 1:
            value = node_hash(self.hashes.pop(), value)
            index >>= 1
            level += 1
            completed.append((level, index, value))
        self.hashes.append(value)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The tree's root at ``size``."""
        if not self.hashes:
            return EMPTY_ROOT
        value = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            value = node_hash(left, value)
        return value

    def nodes(self) -> Iterator[tuple[int, int, bytes]]:
        """The subtrees it holds: ``(level, index, hash)``, largest first."""
        return (
            (level, index, value)
            for (level, index), value in zip(frontier_nodes(self.size), self.hashes, strict=True)
        )


def frontier_nodes(size: int) -> list[tuple[int, int]]:
    """``(level, index)`` of the complete subtrees that make up a tree of ``size`` leaves."""
    out: list[tuple[int, int]] = []
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            out.append((level, start >> level))
            start += 1 << level
    return out


def root_at(size: int, node: NodeAt) -> bytes:
    """The root of the tree of the first ``size`` leaves, from stored complete subtrees."""
    if size == 0:
        return EMPTY_ROOT
    return _subtree(0, size, node)


# --- making proofs --------------------------------------------------------------------------


def inclusion_proof(index: int, size: int, node: NodeAt) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1, from the leaf to the root.

    Raises MALFORMED unless ``0 <= index < size``. Asks ``node`` for O(log size) hashes.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise SafehandError(Reason.MALFORMED, "the index is not in the tree")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low = middle
    path.reverse()
    return path


def consistency_proof(size1: int, size2: int, node: NodeAt) -> list[bytes]:
    """PROOF(size1, D[size2]) of RFC 6962 section 2.1.2; empty when the sizes are equal.

    Raises MALFORMED unless ``0 < size1 <= size2``.
    """
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise SafehandError(Reason.MALFORMED, "the sizes are not in order")
    path: list[bytes] = []
    low, high = 0, size2
    whole = True  # the first tree is a whole subtree of the second so far
    while size1 != high:
        middle = low + _split(high - low)
        if size1 <= middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low = middle
            whole = False
    if not whole:
        path.append(_subtree(low, high, node))
    path.reverse()
    return path


def _split(count: int) -> int:
    """The largest power of two below ``count`` (``count`` > 1)."""
    return 1 << (count - 1).bit_length() - 1


def _subtree(low: int, high: int, node: NodeAt) -> bytes:
    """MTH(D[low:high]), where ``low`` is a multiple of the smallest power of two >= the width."""
    width = high - low
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node(level, low >> level)
    parts: list[bytes] = []
    while low < high:
        level = (high - low).bit_length() - 1
        parts.append(node(level, low >> level))
        low += 1 << level
    value = parts.pop()
    while parts:
        value = node_hash(parts.pop(), value)
    return value


# --- checking proofs ------------------------------------------------------------------------


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise PROOF_INVALID unless ``leaf`` (a leaf hash) is at ``index`` under ``root``.

    RFC 9162 section 2.1.3.2.
    """
    _require(0 <= index < size <= MAX_SIZE, "the index is not in the tree")
    _require_hashes(leaf, root, *proof)
    position, last = index, size - 1
    value = leaf
    for sibling in proof:
        _require(last > 0, "the proof is too long")
        if position & 1 or position == last:
            value = node_hash(sibling, value)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        position >>= 1
        last >>= 1
    _require(last == 0, "the proof is too short")
    _require(value == root, "the proof leads to another root")


def verify_consistency(
    size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes
) -> None:
    """Raise PROOF_INVALID unless the tree of ``size2`` only adds to that of ``size1``.

    RFC 9162 section 2.1.4.2. ``size1`` = 0 is refused: an empty tree proves nothing, and a
    caller that allows it says so itself.
    """
    _require(0 < size1 <= size2 <= MAX_SIZE, "the sizes are not in order")
    _require_hashes(root1, root2, *proof)
    if size1 == size2:
        _require(not proof, "the proof is too long")
        _require(root1 == root2, "the roots of one size differ")
        return
    path = list(proof)
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)
    _require(bool(path), "the proof is too short")
    first, last = size1 - 1, size2 - 1
    while first & 1:
        first >>= 1
        last >>= 1
    old = new = path[0]
    for value in path[1:]:
        _require(last > 0, "the proof is too long")
        if first & 1 or first == last:
            old = node_hash(value, old)
            new = node_hash(value, new)
            while not first & 1 and first:
                first >>= 1
                last >>= 1
        else:
            new = node_hash(new, value)
        first >>= 1
        last >>= 1
    _require(last == 0, "the proof is too short")
    _require(old == root1, "the proof leads to another first root")
    _require(new == root2, "the proof leads to another second root")


def _require(condition: bool, detail: str) -> None:
    if not condition:
        raise SafehandError(Reason.PROOF_INVALID, detail)


def _require_hashes(*values: bytes) -> None:
    _require(len(values) <= MAX_PROOF_HASHES + 2, "the proof is too long")
    _require(all(len(value) == HASH_BYTES for value in values), "a hash is 32 bytes")
