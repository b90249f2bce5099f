"""A NATS server for tests: the embedded one as a local process, and what only tests do to it."""

from __future__ import annotations

import shutil

from safehand_bus.server import NatsServer


class Nats(NatsServer):
    """One NATS server and its directory. A start after an end is on the same port and store."""

    def restart(self) -> None:
        """End it in an orderly way, and start it again."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """End it by force and take its whole store away: the next start knows of nothing."""
        self.kill()
        shutil.rmtree(self.store)
