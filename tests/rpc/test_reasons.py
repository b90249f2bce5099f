"""One enum of reasons: in the code, in its table, in the schema."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from safehand_core.reasons import TABLE, Reason

from tests.rpc.conftest import REPO

PROTO = REPO / "protos" / "safehand" / "common" / "v1" / "reason.proto"
SOURCES = sorted([*(REPO / "libs").rglob("src/**/*.py"), *(REPO / "services").rglob("src/**/*.py")])


def test_the_table_has_every_reason() -> None:
    assert TABLE.keys() == set(Reason)


def test_the_schema_has_exactly_the_tables_reasons() -> None:
    in_schema = re.findall(r"^\s*REASON_([A-Z_]+) = (\d+);", PROTO.read_text(), re.MULTILINE)
    numbers = [int(number) for _, number in in_schema]
    names = {name for name, _ in in_schema}
    assert names - {"UNSPECIFIED"} == {reason.value for reason in TABLE}
    assert len(numbers) == len(set(numbers))


def test_the_generated_enum_agrees() -> None:
    from safehand.common.v1 import reason_pb2

    names = {name.removeprefix("REASON_") for name in reason_pb2.Reason.keys()}  # noqa: SIM118
    assert names - {"UNSPECIFIED"} == {reason.value for reason in TABLE}


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reason_fits_errorinfo_and_says_how_to_mend_it(reason: Reason) -> None:
    info = TABLE[reason]
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{1,62}", reason.value)  # AIP-193
    assert reason.value == reason.name
    assert grpc.StatusCode[info.status] is not grpc.StatusCode.OK
    for line in (info.message, info.fix):
        assert line
        assert "\n" not in line
        assert "{" not in line


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPO)))
def test_only_the_chain_sets_a_status(path: Path) -> None:
    """A status that a handler sets itself carries no ErrorInfo, and its text is unchecked."""
    if path.name == "chain.py" and path.parent.name == "safehand_rpc":
        return
    found = re.findall(
        # A socket's transport has an abort of its own.
        r"(?<!\.transport)\.(?:abort|abort_with_status|set_code|set_details)\(",
        path.read_text(),
    )
    assert found == []
