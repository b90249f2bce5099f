"""The notice that she is shown, and its hash."""

from __future__ import annotations

import hashlib
from typing import Final

NOTICE_V1: Final = (
    "You choose what is shared, with whom, for what and until when. You can stop it at any time, "
    "with your card and PIN, or through any worker. Saying no or stopping never takes help away."
)
"""The notice whose hash a grant pins. A changed text is a new notice with a new hash."""
NOTICE_SHA256: Final = hashlib.sha256(NOTICE_V1.encode()).hexdigest()
