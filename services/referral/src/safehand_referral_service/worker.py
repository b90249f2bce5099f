"""The worker process: the outbox to the bus, and the bus as a hint to ask consent again."""

from __future__ import annotations

from safehand_bus.connection import NatsLink
from safehand_bus.worker_main import run_worker
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_referral_service.rpc_referral import SOURCE
from safehand_referral_service.settings import ReferralSettings


def run(settings: ReferralSettings) -> None:
    """Be the worker until SIGTERM or SIGINT. Raises CONFIG_INVALID."""
    if not settings.nats_url:
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "the worker needs the bus",
            metadata={"settings": settings.env_prefix() + "NATS_URL"},
        )
    run_worker(
        database=settings.database,
        source=SOURCE,
        link=NatsLink(settings.nats_url, SOURCE, settings.nats_seed_file),
        wake_path=settings.relay_wake,
        hint_wake_path=settings.follow_wake,
    )
