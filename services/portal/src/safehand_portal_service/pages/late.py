"""What a form with a PIN was answered that nobody looked at, on a page of its own (``later``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.page import Page
from safehand_portal_service.pages import errors

MOST: Final = 30
"""Minutes: no wait is as long, with eight places in the line at three minutes each. An address that
somebody sends her says no more than can be true."""
_MINUTES: Final = re.compile(r"[0-9]{1,2}")


def told(page: Page, shown: Callable[[int], Response], *, sent: bool = False) -> Response:
    """The page that ``shown`` makes of the minutes in the address; without any, that nobody could
    be asked. ``sent``: nobody knows whether the form was taken. Raises ``NotFound``."""
    found = _MINUTES.fullmatch(page.params["m"])
    if found is None or int(found[0]) > MOST:
        raise backend.NotFound
    minutes = int(found[0])
    return shown(minutes) if minutes else errors.past(page, sent)
