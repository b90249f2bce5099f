"""Hashing and proofs against RFC 6962's own recursive words, and against public vectors."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.merkle import Frontier
from safehand_ledger.check import run_vectors

from tests import shared_data
from tests.formats.refusals import refusal

Hash = bytes


def h(data: bytes) -> Hash:
    return hashlib.sha256(data).digest()


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(d: list[bytes]) -> Hash:
    """RFC 6962 section 2.1."""
    if not d:
        return h(b"")
    if len(d) == 1:
        return h(b"\x00" + d[0])
    k = split(len(d))
    return h(b"\x01" + mth(d[:k]) + mth(d[k:]))


def path(m: int, d: list[bytes]) -> list[Hash]:
    """RFC 6962 section 2.1.1."""
    if len(d) == 1:
        return []
    k = split(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: list[bytes], whole: bool) -> list[Hash]:
    """RFC 6962 section 2.1.2."""
    if m == len(d):
        return [] if whole else [mth(d)]
    k = split(len(d))
    if m <= k:
        return [*subproof(m, d[:k], whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def leaves(n: int) -> list[bytes]:
    return [f"leaf {i}".encode() for i in range(n)]


def reading(found: dict[tuple[int, int], bytes]) -> Callable[[int, int], bytes]:
    return lambda level, index: found[(level, index)]


def nodes(d: list[bytes]) -> dict[tuple[int, int], bytes]:
    frontier, found = Frontier(), {}
    for leaf in d:
        for level, index, value in frontier.append(merkle.leaf_hash(leaf)):
            found[(level, index)] = value
    return found


def test_roots_equal_the_recursive_definition_at_every_size() -> None:
    for n in range(70):
        d = leaves(n)
        assert merkle.root_from_leaves(d) == mth(d)
        found = nodes(d)
        assert merkle.root_at(n, reading(found)) == mth(d)


def test_inclusion_proofs_equal_the_recursive_definition_and_verify() -> None:
    for n in range(1, 34):
        d, found = leaves(n), nodes(leaves(n))
        for m in range(n):
            proof = merkle.inclusion_proof(m, n, reading(found))
            assert proof == path(m, d)
            merkle.verify_inclusion(merkle.leaf_hash(d[m]), m, n, proof, mth(d))


def test_consistency_proofs_equal_the_recursive_definition_and_verify() -> None:
    for n in range(1, 34):
        d, found = leaves(n), nodes(leaves(n))
        for m in range(1, n + 1):
            proof = merkle.consistency_proof(m, n, reading(found))
            assert proof == subproof(m, d, True)
            merkle.verify_consistency(m, n, proof, mth(d[:m]), mth(d))


def test_the_frontier_knows_its_own_nodes() -> None:
    found = nodes(leaves(100))
    for n in range(101):
        frontier = Frontier(n, [found[at] for at in merkle.frontier_nodes(n)])
        assert frontier.root() == mth(leaves(n))
        assert all(found[(level, i)] == value for level, i, value in frontier.nodes())


def test_a_frontier_must_fit_its_size() -> None:
    for size, count in ((1, 0), (0, 1), (3, 1), (-1, 0)):
        with pytest.raises(SafehandError):
            Frontier(size, [bytes(32)] * count)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_inclusion_proof_never_verifies(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    m = data.draw(st.integers(0, n - 1))
    d = leaves(n)
    leaf, proof, root = merkle.leaf_hash(d[m]), path(m, d), mth(d)
    kinds = ["leaf", "index", "size", "root", "longer"] + ["hash", "shorter"] * bool(proof)
    match data.draw(st.sampled_from(kinds)):
        case "leaf":
            leaf = merkle.leaf_hash(b"another")
        case "index":
            other = data.draw(st.integers(-1, 41).filter(lambda i: i != m))
            with pytest.raises(SafehandError):
                merkle.verify_inclusion(leaf, other, n, proof, root)
            return
        case "size":
            # Another size may have the same path for this leaf; the root tells them apart.
            n = data.draw(st.integers(-1, 41).filter(lambda i: i != n))
            root = mth(leaves(max(n, 0)))
        case "root":
            root = h(root)
        case "longer":
            at = data.draw(st.integers(0, len(proof)))
            proof = [*proof[:at], h(b"more"), *proof[at:]]
        case "hash":
            at = data.draw(st.integers(0, len(proof) - 1))
            proof = [*proof[:at], h(proof[at]), *proof[at + 1 :]]
        case "shorter":
            at = data.draw(st.integers(0, len(proof) - 1))
            proof = proof[:at] + proof[at + 1 :]
    with pytest.raises(SafehandError) as refused:
        merkle.verify_inclusion(leaf, m, n, proof, root)
    assert refused.value.reason is Reason.PROOF_INVALID


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-2, 2**64),
    st.integers(-2, 2**64),
    st.lists(st.binary(min_size=30, max_size=33), max_size=70),
    st.binary(min_size=31, max_size=33),
    st.binary(min_size=31, max_size=33),
)
def test_only_refusals_escape_whatever_comes(
    a: int, b: int, proof: list[bytes], x: bytes, y: bytes
) -> None:
    for call in (
        lambda: merkle.verify_inclusion(x, a, b, proof, y),
        lambda: merkle.verify_consistency(a, b, proof, x, y),
    ):
        assert refusal(call) in (None, Reason.PROOF_INVALID)


def test_an_empty_first_tree_proves_nothing() -> None:
    with pytest.raises(SafehandError):
        merkle.verify_consistency(0, 0, [], merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)
    with pytest.raises(SafehandError):
        merkle.verify_consistency(0, 1, [], merkle.EMPTY_ROOT, h(b"x"))


def test_proofs_outside_the_tree_are_refused() -> None:
    def never(level: int, index: int) -> bytes:
        raise AssertionError("asked for a node")

    for index, size in ((0, 0), (1, 1), (-1, 1), (0, 2**63)):
        with pytest.raises(SafehandError):
            merkle.inclusion_proof(index, size, never)
    for first, second in itertools.product((0, 5, -1), (4,)):
        with pytest.raises(SafehandError):
            merkle.consistency_proof(first, second, never)


@pytest.mark.parametrize(("name", "cases"), [("inclusion", 53), ("consistency", 43)])
def test_the_public_vectors_all_pass(name: str, cases: int) -> None:
    report = run_vectors(shared_data.path(f"rfc6962-vectors/{name}.json"))
    assert report.failures == ()
    assert report.passed == cases


def test_a_vector_that_comes_out_otherwise_is_counted(tmp_path: Path) -> None:
    cases = json.loads(shared_data.path("rfc6962-vectors/inclusion.json").read_bytes())
    for case in cases:
        case["wantErr"] = not case["wantErr"]
    turned = tmp_path / "turned.json"
    turned.write_text(json.dumps(cases))
    report = run_vectors(turned)
    assert (report.passed, report.failed) == (0, len(cases))
    assert report.failures == tuple(case["case"] for case in cases)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[{}]", '[{"leafIdx": 0, "proof": 3}]'])
def test_a_file_that_holds_no_vectors_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vectors.json"
    path.write_text(text)
    with pytest.raises(SafehandError) as refused:
        run_vectors(path)
    assert refused.value.reason is Reason.MALFORMED
