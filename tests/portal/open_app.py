"""The portal alone, for pages that need nobody signed in: behind it a directory of the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from safehand.referral.v1 import directory_pb2 as pb
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_portal_service.app import App, build
from safehand_portal_service.backend import Backend
from safehand_portal_service.settings import PortalSettings

PHONE = "+1 555 0100"


@dataclass
class Directory:
    """Answers a search; ``asked`` keeps each request."""

    answer: Callable[[pb.SearchServicesRequest], pb.SearchServicesResponse]
    asked: list[pb.SearchServicesRequest] = field(default_factory=list)

    @property
    def directory(self) -> Directory:
        return self

    def SearchServices(  # noqa: N802 - the stub's name
        self, request: pb.SearchServicesRequest, timeout: float | None = None
    ) -> pb.SearchServicesResponse:
        self.asked.append(request)
        return self.answer(request)

    def close(self) -> None:
        """Nothing is open."""


def nobody() -> Directory:
    """A directory that knows no service."""
    return Directory(lambda _: pb.SearchServicesResponse())


def settings(folder: Path, **changed: Any) -> PortalSettings:
    """Settings of a portal that reaches no service."""
    values: dict[str, Any] = {
        "profile": "test",
        "data_dir": folder,
        "tls_cert": folder / "cert",
        "tls_key": folder / "key",
        "tls_ca": folder / "ca",
        "consent_address": "127.0.0.1:1",
        "referral_address": "127.0.0.1:1",
        "phone": PHONE,
        **changed,
    }
    return PortalSettings(**values)


@contextmanager
def opened(folder: Path, directory: Directory, **changed: Any) -> Iterator[int]:
    """The port of a portal that serves until the block ends."""
    app = build(settings(folder, **changed), clock=SystemClock(), entropy=SystemEntropy())
    app = App(replace(app.portal, backend=cast(Backend, directory)))
    port = app.start()
    try:
        yield port
    finally:
        app.stop()
