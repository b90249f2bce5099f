"""Any life that a consent can have, against the model, on SQLite and on PostgreSQL.

Everything goes over gRPC to one consent service in this process, with a clock that the machine
moves in both directions. What the model allows must happen, what it does not must be refused, and
``Explain`` must have foretold it. At the end the ledger is whole, her receipts show exactly what
happened and in which order, and no key is gone that the clock had not ended.
"""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from tests.harness import database
from tests.model.ending import Ending
from tests.model.giving import Giving
from tests.model.life import Life, some_categories
from tests.model.sending import Sending
from tests.model.surroundings import Surroundings

EXAMPLES: Final = int(os.environ.get("SAFEHAND_MODEL_EXAMPLES", "3"))
"""Lives on each database: each is a service of its own. A nightly run takes hundreds."""
STEPS: Final = 50
BEGINNINGS: Final = ("accepted", "accepted", "granted", "sent")
ENOUGH: Final = 150
"""Lives in which everything happens at least once."""
WORDS: Final = {
    "ask", "answer yes", "answer part", "answer no", "answer later", "grant",
    "record", "second", "confirm yes", "confirm no", "confirm not sure", "lapse",
    "narrow", "stop by her", "destroy by her", "invalidate by her", "stop by a worker",
    "stop by a representative", "resume", "resume by staff", "final", "expire",
    "refer", "accept", "decline", "withdraw", "release", "reseal",
    "roll keys", "restart", "clock ahead", "clock back",
}  # fmt: skip
"""Everything that can happen to a consent."""


class ConsentLife(Giving, Ending, Sending, Surroundings):
    """One person, two agencies, and time."""

    @initialize(categories=some_categories, begun=st.sampled_from(BEGINNINGS))
    def it_begins(self, categories: set[str], begun: str) -> None:
        """Most lives begin with a referral: few would come so far by chance."""
        self.says_yes(categories, 90)
        if begun != "granted":
            self.a_referral_is_sent(1, categories)
        if begun == "accepted":
            self.it_is_answered(0, "accept")


@pytest.mark.slow
@pytest.mark.timeout(900 + 30 * EXAMPLES)
@pytest.mark.parametrize("engine", database.conformance())
def test_every_life_of_a_consent(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(database.VARIABLE, database.require(engine))
    Life.lived.clear()
    run_state_machine_as_test(
        ConsentLife,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    print(f"{EXAMPLES} lives on {engine}:", dict(sorted(Life.lived.items())))
    assert set(Life.lived) <= WORDS
    if EXAMPLES >= ENOUGH:
        assert set(Life.lived) == WORDS, "something never happened"
