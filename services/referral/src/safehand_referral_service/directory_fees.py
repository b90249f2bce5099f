"""What a service costs: its package says it in free words, or says nothing.

HSDS has one free text for it (``services.fees_description``), which nobody can reckon with: "free"
counts only where the whole text is one of a few words for it. Who says nothing is not free, and who
says anything else is left out of nothing: it may be free for her.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, case, func

from safehand_referral_service.directory_tables import TABLES

FREE: Final = (
    *("free", "free of charge", "free of cost", "no charge", "no charges", "no cost", "no costs"),
    *("no fee", "no fees", "gratis", "gratuito", "sin costo", "sin costos"),
)
"""Whole texts that say that it is free, in the languages of the packages that are known; ASCII, as
each database tells its capitals from small letters."""
_ENDS: Final = ".!"
"""What such a text may end with."""


def is_free(text: str) -> bool:
    """Whether ``text`` says that it is free, and nothing else."""
    return text.strip(" ").lower().rstrip(_ENDS) in FREE


def free_first(withheld: ColumnElement[bool]) -> ColumnElement[int]:
    """An order: who is free, who says nothing, who says anything else.

    Of a ``withheld`` service it is as if nothing were said: its place in the order would tell of
    words that are not shown.
    """
    said = TABLES.service.c.fees_description
    plain = func.rtrim(func.lower(func.trim(said, " ")), _ENDS)
    return case((withheld, 1), (plain.in_(FREE), 0), (said == "", 1), else_=2)
