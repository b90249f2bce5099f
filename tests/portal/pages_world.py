"""Her pages in front of a real consent service: two services of one development CA, one clock.

Referral is not there unless a test brings it: its pages have to say so, and nothing else may.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safehand_portal_service.app import App, build
from safehand_portal_service.settings import PortalSettings

from tests.consent.portal.world import ENTROPY, Her, PortalWorld
from tests.portal.browser import Browser

PHONE = "+1 555 0100"
NOBODY = "127.0.0.1:1"
"""Nothing listens there."""


class PagesWorld(PortalWorld):
    """As the world of her pages at consent, with the portal in front."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.portal_app: App
        self.web_port = 0

    def open_portal(self) -> PagesWorld:
        self._tell_port()
        self.portal_app = self.portal_process()
        self.web_port = self.portal_app.start()
        return self

    def portal_process(self, **changed: str) -> App:
        """Her pages, not started; ``changed``: other settings."""
        tls = self.tls("service", "portal")
        values = {
            "PROFILE": "test",
            "DATA_DIR": str(self.directory / "portal"),
            "TLS_CERT": str(tls.cert),
            "TLS_KEY": str(tls.key),
            "TLS_CA": str(tls.ca),
            "CONSENT_ADDRESS_FILE": str(self.directory / "consent.address"),
            "REFERRAL_ADDRESS": NOBODY,
            "PHONE": PHONE,
            "ALLOW_UNREVIEWED": "true",
            **changed,
        }
        settings = PortalSettings.load(
            {f"SAFEHAND_PORTAL_{name}": value for name, value in values.items()}
        )
        return build(settings, clock=self.clock, entropy=ENTROPY)

    def close_portal(self) -> None:
        self.portal_app.stop()

    @contextmanager
    def consent_down(self) -> Iterator[None]:
        """Nobody answers; behind it consent is there again, on another port."""
        self.stop()
        try:
            yield
        finally:
            self.start()
            self._tell_port()

    def _tell_port(self) -> None:
        (self.directory / "consent.address").write_text(f"127.0.0.1:{self.port}\n")

    def browser(self, her: Her, language: str = "") -> Browser:
        """Her window, signed in."""
        session = base64.urlsafe_b64encode(her.session).rstrip(b"=").decode()
        return Browser(self.web_port, session, language)


@contextmanager
def serving(directory: Path) -> Iterator[PagesWorld]:
    """Consent and the portal, until the block ends."""
    made = PagesWorld(directory)
    made.start().set_up()
    try:
        made.open_portal()
        try:
            yield made
        finally:
            made.close_portal()
    finally:
        made.stop()
        made.store.drop()
