"""The worker process: the outbox to the bus, and the bus as a hint to ask consent again."""

from __future__ import annotations

from safehand_bus.link import service_link
from safehand_bus.worker_main import run_worker
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.observe import observed

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
    with observed(settings, "worker"):
        run_worker(
            database=settings.database,
            source=SOURCE,
            link=service_link(
                settings.nats_url,
                SOURCE,
                seed_file=settings.nats_seed_file,
                tls=settings.bus_tls,
                profile=settings.profile,
            ),
            wake_path=settings.relay_wake,
            hint_wake_path=settings.follow_wake,
        )
