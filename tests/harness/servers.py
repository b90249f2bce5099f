"""The servers that tests need beside our own: one interface, in a container or as a local process.

A test asks for ``nats(directory)`` or ``postgres()`` and cannot tell which it got: the classes are
``Nats`` and ``Cluster``, and what runs in a container differs in nothing but how its process
begins. Which one it is is decided once per session (``SAFEHAND_TEST_SERVERS``, see ``engine``).
"""

from __future__ import annotations

from pathlib import Path

from safehand_bus.link import BusTls

from tests.harness import engine
from tests.harness.nats import Nats
from tests.harness.postgres import Cluster


def nats(directory: Path, *, port: int = 0, tls: BusTls | None = None) -> Nats:
    """A NATS server that is not started yet; the arguments are ``NatsServer``'s."""
    if engine.choice().docker:
        from tests.harness.containers import DockerNats  # it needs an engine

        return DockerNats(directory, port=port, tls=tls)
    return Nats(directory, port=port, tls=tls)


def postgres(version: str = "pg18", **settings: str) -> Cluster:
    """An empty PostgreSQL cluster of its own that is not started yet. Raises MissingError."""
    return Cluster.create(version, parent=None, **settings)
