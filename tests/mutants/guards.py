"""Every guard that must have a red test."""

from __future__ import annotations

from typing import Final

from tests.mutants import (
    guards_asks,
    guards_bus,
    guards_client,
    guards_consent,
    guards_drafts,
    guards_explain,
    guards_her,
    guards_keys,
    guards_ledger,
    guards_libs,
    guards_lift,
    guards_model,
    guards_network,
    guards_pages,
    guards_portal_core,
    guards_portal_pages,
    guards_recorded,
    guards_referral,
    guards_reseal,
    guards_seats,
    guards_steps,
    guards_stops,
    guards_store,
    guards_telemetry,
    guards_words,
)
from tests.mutants.guard import Guard

GUARDS: Final[tuple[Guard, ...]] = (
    *guards_asks.GUARDS,
    *guards_bus.GUARDS,
    *guards_consent.GUARDS,
    *guards_drafts.GUARDS,
    *guards_explain.GUARDS,
    *guards_her.GUARDS,
    *guards_keys.GUARDS,
    *guards_ledger.GUARDS,
    *guards_libs.GUARDS,
    *guards_lift.GUARDS,
    *guards_model.GUARDS,
    *guards_network.GUARDS,
    *guards_pages.GUARDS,
    *guards_portal_core.GUARDS,
    *guards_portal_pages.GUARDS,
    *guards_recorded.GUARDS,
    *guards_referral.GUARDS,
    *guards_reseal.GUARDS,
    *guards_seats.GUARDS,
    *guards_steps.GUARDS,
    *guards_stops.GUARDS,
    *guards_store.GUARDS,
    *guards_telemetry.GUARDS,
    *guards_client.GUARDS,
    *guards_words.GUARDS,
)
