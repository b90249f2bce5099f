"""Reading referrals: only their two ends may, and sealed parts only while sharing is live."""

from __future__ import annotations

from collections.abc import Sequence

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.engine import begin_read

from safehand_referral_service import referral_store
from safehand_referral_service.context import Context
from safehand_referral_service.referral_store import Referral, SealedPart
from safehand_referral_service.states import REFUSED, Side


def state(context: Context, agency: str, referral: str) -> Referral:
    """The referral without parts: both ends see its course at any time, stopped or not.

    Raises NOT_ALLOWED for anybody else, and for a referral that is not there.
    """
    with begin_read(context.engine) as connection:
        found, _ = referral_store.require(connection, referral, agency)
    return found


def with_parts(
    context: Context, agency: str, referral: str
) -> tuple[Referral, Sequence[SealedPart]]:
    """The referral and its sealed parts, for the recipient. Stores nothing.

    Raises NOT_ALLOWED, CONSENT_ENDED (sharing is stopped, or the manifest is over),
    REFERRAL_CLOSED (declined or withdrawn), UNAVAILABLE (consent's events were not read since the
    start).
    """
    context.require_followed()
    with begin_read(context.engine) as connection:
        found, side = referral_store.require(connection, referral, agency)
        if side is not Side.RECIPIENT:
            raise SafehandError(Reason.NOT_ALLOWED)
        stopped = found.sharing_stopped or referral_store.grant_stopped(
            connection, found.consent_grant
        )
        if stopped or context.clock.wall() >= found.not_after:
            raise SafehandError(Reason.CONSENT_ENDED)
        if found.state in REFUSED:
            raise SafehandError(Reason.REFERRAL_CLOSED)
        return found, referral_store.parts(connection, referral)


def page(context: Context, agency: str, before: int | None, limit: int) -> Sequence[Referral]:
    """At most ``limit`` referrals of ``agency``, newest first, behind position ``before``."""
    with begin_read(context.engine) as connection:
        return referral_store.page(connection, agency, before, limit)
