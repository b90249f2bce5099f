"""Every guard that must have a red test."""

from __future__ import annotations

from typing import Final

from tests.mutants import (
    guards_client,
    guards_consent,
    guards_her,
    guards_ledger,
    guards_libs,
    guards_referral,
)
from tests.mutants.guard import Guard

GUARDS: Final[tuple[Guard, ...]] = (
    *guards_consent.GUARDS,
    *guards_her.GUARDS,
    *guards_ledger.GUARDS,
    *guards_libs.GUARDS,
    *guards_referral.GUARDS,
    *guards_client.GUARDS,
)
