"""A short run on each engine: whatever breaks, every promise is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.chaos.run import run
from tests.harness import database

SECONDS: Final = 40.0
SEED: Final = 11
ALWAYS: Final = (
    "acknowledged GRANT, there once and in its order",
    "acknowledged REFER, there once and in its order",
    "acknowledged DISCLOSE, there once and in its order",
    "acknowledged STOP, there once and in its order",
    "acknowledged RESUME, there once and in its order",
    "times that sharing was off: nothing was opened in any of them",
    "referrals that stand where they were answered to stand",
    "people whose receipts show what was answered, and nothing else",
    "events of consent that agency-a heard, each once and in order",
    "events of consent that agency-b heard, each once and in order",
    "events of referral that agency-a heard, each once and in order",
    "events of referral that agency-b heard, each once and in order",
    "consents of which each agency heard all that her receipt shows",
    "ledger entries that fsck read and found whole",
)
"""What a run has, however short: each actor lives at least one life to its end."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", database.conformance())
def test_every_promise_is_kept(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(database.VARIABLE, database.require(engine))
    done = run(tmp_path / "sandbox", engine=engine, seconds=SECONDS, seed=SEED)
    assert sum(done.trouble.values()) > 0
    assert done.load["grant"] + done.load["yes"] + done.load["record"] > 0
    assert done.load["open"] > 0
    for what in ALWAYS:
        assert done.kept.get(what, 0) > 0, what
