"""Two readers that share no code agree on every vector, and the vectors are what is committed."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safehand_core.errors import SafehandError

from tests.formats import first_decoder, second_decoder
from tests.vectors import build, sealed

FOLDER = Path(build.__file__).parent
FORMATS = sorted(first_decoder.DECODERS)


def _load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return document


def _cases() -> Iterator[Any]:
    for name in FORMATS:
        document = _load(name)
        for case in document["cases"]:
            inputs = {**document["base"], **case["change"]}
            yield pytest.param(name, inputs, case, id=f"{name}: {case['name']}")


@pytest.mark.parametrize(("name", "inputs", "case"), list(_cases()))
def test_both_readers_arrive_at_what_the_vector_says(
    name: str, inputs: dict[str, Any], case: dict[str, Any]
) -> None:
    if case["expect"] == "ok":
        assert first_decoder.DECODERS[name](inputs) == case["value"]
        assert second_decoder.DECODERS[name](inputs) == case["value"]
        return
    with pytest.raises(SafehandError) as refusal:
        first_decoder.DECODERS[name](inputs)
    assert refusal.value.reason == case["expect"]
    with pytest.raises(second_decoder.Refused):
        second_decoder.DECODERS[name](inputs)


def test_the_committed_vectors_are_what_the_builder_writes() -> None:
    built = build.files()
    assert sorted(built) == sorted(f"{name}.json" for name in FORMATS)
    for name, data in built.items():
        assert (FOLDER / name).read_bytes() == data, f"run python -m tests.vectors.build ({name})"


def test_every_format_has_cases_on_both_sides() -> None:
    assert second_decoder.DECODERS.keys() == first_decoder.DECODERS.keys()
    for name in FORMATS:
        expected = [case["expect"] for case in _load(name)["cases"]]
        assert "ok" in expected
        assert name == "outer-wraps-digest" or expected.count("ok") < len(expected)


FIELDS_OF = {
    "manifest": [
        "header.v", "header.referral", "header.grant", "header.sender", "header.sender_key",
        "header.recipient", "header.recipient_key", "header.purpose", "header.service",
        "header.urgency", "header.created", "header.not_after", "parts", "parts.0.label.id",
        "parts.0.label.category", "parts.0.label.stage", "parts.0.label.schema",
        "parts.0.label.bucket", "parts.0.ciphertext", "parts.0.wrap",
    ],
    "key-record": [
        "v", "agency", "sequence", "kid", "suite", "public", "not_before", "not_after",
    ],
    "protocol": [
        "v", "id", "a.agency", "a.key", "a.focal_point", "b.agency", "b.key", "b.focal_point",
        "purposes", "categories", "retention_days", "not_before", "not_after", "ledger.origin",
        "ledger.vkey",
    ],
    "answer": ["v", "answer", "manifest", "referral", "agency", "reason", "at"],
    "answer-ack": ["v", "answer", "at"],
    "release-request": [
        "v", "manifest", "referral", "part", "recipient", "worker_ref", "request_id",
    ],
    "record": [
        "v", "agency", "worker_ref", "subject_ref", "medium", "terms", "terms.releasing",
        "terms.recipient", "terms.purpose", "terms.categories", "terms.expires_at",
        "terms.erase_by", "terms.notice", "terms.language", "terms.given_how", "terms.present",
        "request_id", "at",
    ],
    "second": ["v", "agency", "worker_ref", "subject_ref", "record", "request_id", "at"],
    "resume": ["v", "agency", "grant", "worker_ref", "second_ref", "request_id", "at"],
    "succession": ["v", "agency", "old", "new", "not_before", "old_until"],
    "token": [
        "iss", "aud", "iat", "nbf", "exp", "jti", "cnf", "authorization_details",
        "authorization_details.0.type", "authorization_details.0.recipient",
        "authorization_details.0.purpose", "authorization_details.0.categories", "mfd", "owd",
        "led.org", "led.idx", "led.lh", "rvt",
    ],
    "steps-ticket": ["iss", "aud", "iat", "exp", "jti", "cnf", "referrals"],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FIELDS_OF))
def test_every_field_has_a_changed_a_bad_and_a_missing_vector(name: str) -> None:
    names = {case["name"] for case in _load(name)["cases"]}
    for field in FIELDS_OF[name]:
        assert f"{field}: another value, old signature" in names
        assert f"{field}: bad value, signed" in names
        assert f"{field}: missing, signed" in names


def test_the_second_reader_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(second_decoder.__file__).read_text("utf-8"))
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            roots.add(str(node.module).split(".")[0])
    assert roots <= {*sys.stdlib_module_names, "cryptography"}


def test_the_second_reader_opens_what_the_x_wing_draft_published() -> None:
    draft = json.loads(sealed.PUBLISHED.read_text("utf-8"))
    seed = bytes.fromhex(draft["sk"])
    assert second_decoder.xwing_public(seed).hex() == draft["pk"]
    assert second_decoder.xwing_open(seed, bytes.fromhex(draft["ct"])).hex() == draft["ss"]
