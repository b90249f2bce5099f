"""What we signed and have not yet seen filed: kept, so that a repeat sends the very same bytes.

A signature over a new time, or a new key, is another statement: the service that holds the first
one refuses it. So the first one is written down before anybody is asked, and sent again until
everybody has it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safehand_core.keystore import fsync_directory, make_private_dir, write_atomic
from safehand_core.reasons import Reason

PASSING: Final = frozenset(
    {
        # try again later
        Reason.UNAVAILABLE,
        Reason.LEDGER_STARTING,
        Reason.INTERNAL,
        Reason.OVERLOADED,
        Reason.THROTTLED,
        Reason.DEADLINE_INVALID,
        # somebody has to mend a machine, a certificate or a clock first
        Reason.CLOCK_SUSPECT,
        Reason.LEDGER_ROLLED_BACK,
        Reason.LEDGER_CORRUPT,
        Reason.PROOF_INVALID,
        Reason.UNAUTHENTICATED,
        # the next try brings a fresh token
        Reason.TOKEN_INVALID,
        Reason.TOKEN_EXPIRED,
    }
)
"""Refusals that say nothing about what was asked: the same bytes may pass later."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Canonical bytes and our signature of them."""

    data: bytes
    signature: bytes


class Pending:
    """Files ``<name>.json`` in ``folder``, each one statement on its way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> Statement | None:
        """The statement of that name that is still on its way."""
        try:
            found = json.loads(self._path(name).read_text())
        except FileNotFoundError:
            return None
        return Statement(
            base64.b64decode(found["data"], validate=True),
            base64.b64decode(found["signature"], validate=True),
        )

    def keep(self, name: str, statement: Statement) -> Statement:
        """Write it down, durably; the one that was there first where there is one.

        Of two processes that say the same thing at once, both send what the first one signed.
        """
        make_private_dir(self._folder)
        path = self._path(name)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        encoded = {
            "data": base64.b64encode(statement.data).decode(),
            "signature": base64.b64encode(statement.signature).decode(),
        }
        write_atomic(temporary, json.dumps(encoded).encode())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return self.get(name) or statement
        finally:
            temporary.unlink()
        fsync_directory(self._folder)
        return statement

    def forget(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
