"""Her rights and the limits of privacy: one text for everybody, with a version.

The version is said on the page, so that a print and a conversation can name what was read. A test
holds it against the text: who changes the English text gives it the next number and its day.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response

from safehand_portal_service.page import Page, Route, Routes

VERSION: Final = 2
"""Of the English text, which is the text of record."""
VERSION_DAY: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""The day of this version, at noon: the same day in nearly every zone."""

SECTIONS: Final = {
    # section: its sentences, as they stand below its heading
    "choice": ("no", "mind", "help", "later", "alone"),
    "people": ("interpreter", "bring", "worker"),
    "yours": ("see", "stop", "worker", "read", "wrong"),
    "how": ("yes", "one", "locked", "list", "stop", "keep"),
    "limits": ("law", "before", "told", "read", "files", "phone", "watch"),
}


def shown(page: Page) -> Response:
    """The same for whoever reads it."""
    return page.render(
        "info.html",
        of="info",
        sections=SECTIONS,
        version=VERSION,
        day=VERSION_DAY.timestamp(),
    )


ROUTES: Final[Routes] = [Route("/info", get=shown, open=True)]
