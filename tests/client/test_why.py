"""Why a try was refused, as her own receipt shows it."""

from __future__ import annotations

import pytest
from safehand_client import why
from safehand_client.survivor import ReceiptLine
from safehand_consent_service.refused_looks import RECORDED
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

GRANTED = ReceiptLine(
    3,
    Kind.GRANT,
    {"issued_at": 100, "categories": ["CARD", "NAME"], "expires_at": 1000},
)
NARROWED = ReceiptLine(4, Kind.NARROW, {"at": 200, "categories": ["CARD"], "expires_at": 900})
STOPPED = ReceiptLine(5, Kind.STOP, {"at": 300})
RESUMED = ReceiptLine(6, Kind.RESUME, {"at": 400})
OVER = ReceiptLine(7, Kind.EXPIRE, {"at": 950, "expires_at": 900})
LINES = [GRANTED, NARROWED, STOPPED, RESUMED, OVER]


@pytest.mark.parametrize(
    ("at", "category", "words", "entry"),
    [
        (150, "NAME", why.TRIED[Reason.CONSENT_ENDED], None),
        (200, "NAME", "you had taken this out", 4),
        (300, "CARD", "it was stopped then", 5),
        (500, "CARD", why.TRIED[Reason.CONSENT_ENDED], None),
        (900, "CARD", "it was allowed until 1970-01-01 00:15 UTC", 4),
        (950, "CARD", "it was over for good then", 7),
    ],
)
def test_what_had_ended_it_at_that_moment(
    at: int, category: str, words: str, entry: int | None
) -> None:
    found = why.tried(LINES, at, category, Reason.CONSENT_ENDED)
    assert (found.words, found.entry) == (words, entry)


def test_every_reason_that_is_kept_has_words_for_her() -> None:
    assert why.TRIED.keys() == RECORDED
    for reason in RECORDED - {Reason.CONSENT_ENDED}:
        assert why.tried(LINES, 500, "CARD", reason) == why.Refused(why.TRIED[reason])
