"""The field's closed lists: purposes, categories, urgency, decline codes. One file, one place.

Sources: the ten categories are the switches that she sees (docs/concepts.md); CARD is the
anonymous first look and part of every grant. Urgency windows follow the inter-agency referral
form (emergency 24 h, urgent 72 h, normal 14 days).
"""

from __future__ import annotations

from typing import Final

CARD: Final = "CARD"

CATEGORIES: Final[dict[str, str]] = {
    # code: plain words, as she reads them
    "CARD": "what kind of help, language and access needs, area",
    "NAME": "your name",
    "CONTACT": "how to reach you",
    "LOCATION": "where you stay",
    "HEALTH": "your health",
    "EVENTS": "what happened",
    "PAPERS": "your papers",
    "CHILDREN": "your children",
    "MONEY_WORK": "money and work",
    "SAFETY_PLAN": "your safety plan",
    "LANGUAGE_ACCESS": "language and access needs",
}

PURPOSES: Final[dict[str, str]] = {
    "housing": "a safe place to stay",
    "legal": "legal help",
    "health": "health care",
    "counselling": "someone to talk to",
    "economic": "money, work or training",
    "children": "help for your children",
    "case_management": "one worker who keeps it together",
}

STAGES: Final = ("card", "identity")

URGENCY_ANSWER_S: Final[dict[str, int]] = {
    # urgency class: seconds in which the recipient must answer
    "emergency": 24 * 3600,
    "urgent": 72 * 3600,
    "normal": 14 * 24 * 3600,
}

DECLINE_REASONS: Final[dict[str, str]] = {
    "no_capacity": "they have no place now",
    "not_eligible": "this service is for other situations",
    "out_of_area": "they do not work in this area",
    "language_unavailable": "they have nobody for this language",
    "conflict_of_interest": "they cannot help without a conflict",
    "survivor_declined": "you did not want it",
    "other_service_better": "another service fits better",
}

OUTCOMES: Final = (
    "received_service",
    "partly",
    "not_eligible",
    "no_capacity",
    "survivor_declined",
    "unreachable_safely",
    "moved",
    "unknown",
)

CONSENT_GIVEN_HOW: Final = ("read", "heard", "interpreter", "sign_language")
CONSENT_PRESENT: Final = ("alone", "with_worker", "with_trusted_person")

COMPREHENSION: Final = ("understood", "explained_again", "wants_person")
"""How the short check went; it is never a condition."""

SENSITIVE: Final = frozenset({"LOCATION", "EVENTS", "PAPERS"})
"""Categories that never go on one worker's word: where she stays, what happened, her papers.
While a consent is only recorded for her they need her own yes, or a second person's."""

RECORDED_MEDIA: Final = ("paper", "spoken", "interpreter")
"""How a worker took down her consent: on paper, as she said it, or through an interpreter."""

CONFIRMED_BY: Final = ("self", "second", "guardian")
"""Who stands by a recorded or not yet signed consent: she, a second worker, her guardian."""

STOPPED_BY: Final = ("self", "worker", "representative")
STOP_CHANNELS: Final = ("phone", "in_person", "message")
"""How her wish to stop reached whoever recorded it."""
STOP_WHY: Final = ("coercion",)
"""Said only where it changes what follows: a consent under coercion was none."""

REPRESENTATIVES: Final = ("friend", "family", "lawyer", "advocate", "other")
