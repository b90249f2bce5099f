"""What every page of an item reads from its address and its form."""

from __future__ import annotations

import re
from typing import Final

from safehand_portal_service import backend
from safehand_portal_service.page import Page

_NUMBER: Final = re.compile(r"[0-9]{10}")
PIN: Final = re.compile(r"[0-9]{6}")


def of_path(page: Page, name: str = "n") -> str:
    """The item's number. Raises ``NotFound`` for what cannot be one."""
    found = page.params[name]
    if not _NUMBER.fullmatch(found):
        raise backend.NotFound
    return found


def request_id(page: Page) -> str:
    """The id that the form was made with; its shape is consent's to refuse."""
    return page.form.field("request_id")


def pin(page: Page) -> str:
    """Six digits, or empty for what is no PIN."""
    typed = page.form.digits("pin")
    return typed if PIN.fullmatch(typed) else ""
