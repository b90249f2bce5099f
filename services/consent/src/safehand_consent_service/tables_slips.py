"""Check codes: which entries have one, so that a code that is read out finds its entry."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index

from safehand_consent_service.tables import new_table, number_column, text_column

slip_code: Final = new_table(
    "slip_code",
    number_column("leaf_index", primary_key=True),
    text_column("code"),  # XXXX-XXXX; of public bytes alone
)
Index("slip_code_code", slip_code.c.code, slip_code.c.leaf_index)
