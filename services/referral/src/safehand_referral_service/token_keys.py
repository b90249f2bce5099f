"""Consent's token keys as this service knows them: asked for over mTLS, followed, never guessed.

Consent publishes a key long before it signs, so a look a minute is enough. A key that is not known
is asked for at once all the same: an operator may have replaced a stolen one. Whoever answers must
hold consent's own certificate. Until consent has answered once, the pinned file counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from safehand_core import logs
from safehand_core.clock import Clock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.token import token_key_id

POLL_S: Final = 60.0
"""Seconds between two looks."""
ASKS: Final = 10
ASK_AGAIN_S: Final = 1.0
"""Unknown keys are asked for at most so often in a row, and then once in so many seconds: nobody
makes us flood consent with made-up keys."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One public key (32 bytes); ``ends_at``: when it verifies no more, None while it is open."""

    public: bytes
    ends_at: int | None


class Source(Protocol):
    """Whom to ask."""

    def token_keys(self) -> list[TokenKey]:
        """The keys that verify now; raises SafehandError where nobody answers."""
        ...

    def close(self) -> None:
        """Ask no more."""
        ...


class TokenKeys(Mapping[str, bytes]):
    """``kid`` to public key, those that verify now. Safe to share between threads.

    Args:
        pinned: keys to begin with, until ``source`` has answered once.
        source: asks consent; ``close`` closes it too. None: the pinned keys are all there is.
    """

    def __init__(
        self,
        pinned: Mapping[str, bytes],
        clock: Clock,
        source: Source | None = None,
    ) -> None:
        self._known = {kid: TokenKey(public, None) for kid, public in pinned.items()}
        self._clock = clock
        self._source = source
        self._lock = threading.Lock()
        self._changes = 0
        self._asks = float(ASKS)
        self._asked_at = clock.monotonic()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._silent = False

    # --- what verifies ---------------------------------------------------------------------

    def __getitem__(self, kid: str) -> bytes:
        found = self._usable().get(kid)
        if found is None:
            # Whether this asked or another thread just did: look again.
            self.refresh()
            found = self._usable().get(kid)
        if found is None:
            raise KeyError(kid)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._usable())

    def __len__(self) -> int:
        return len(self._usable())

    def _usable(self) -> dict[str, bytes]:
        now = self._clock.wall()
        return {
            kid: key.public
            for kid, key in self._known.items()
            if key.ends_at is None or key.ends_at > now
        }

    # --- following consent -----------------------------------------------------------------

    @property
    def changes(self) -> int:
        """How often what is known has changed: by whichever thread."""
        return self._changes

    def refresh(self) -> None:
        """Ask consent, unless that was done too often. What changed shows in ``changes``."""
        if self._source is None:
            return
        with self._lock:
            if not self._may_ask():
                return
            try:
                found = self._source.token_keys()
                if not found:
                    raise SafehandError(Reason.UNAVAILABLE, "consent lists no token key")
                fresh = {token_key_id(key.public): key for key in found}
            except SafehandError:
                if not self._silent:
                    logs.get().warning("token_keys.failed")
                self._silent = True
                return
            self._silent = False
            if fresh == self._known:
                return
            self._known = fresh
            self._changes += 1
        logs.get().info("token_keys.changed", count=len(fresh))

    def _may_ask(self) -> bool:
        now = self._clock.monotonic()
        self._asks = min(ASKS, self._asks + (now - self._asked_at) / ASK_AGAIN_S)
        self._asked_at = now
        if self._asks < 1:
            return False
        self._asks -= 1
        return True

    def start(self) -> None:
        """Ask once, and then every ``POLL_S`` in a thread."""
        self.refresh()
        self._thread = threading.Thread(target=self._run, name="token-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and let go of the source."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._source is not None:
            self._source.close()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_S):
            self.refresh()
