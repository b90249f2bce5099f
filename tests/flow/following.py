"""Following an agency's events as its system does, and asking for all of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from safehand.notify.v1 import notify_pb2
from safehand_client import AgencyClient
from safehand_core.errors import SafehandError


def everything(agency: AgencyClient) -> list[notify_pb2.Delivery]:
    """All that ``agency`` was ever told, in cursor order."""
    found: list[notify_pb2.Delivery] = []
    while page := agency.deliveries(found[-1].cursor if found else 0):
        found += page
    return found


class Follower:
    """One open stream, and what came out of it."""

    def __init__(self, agency: AgencyClient, after: int) -> None:
        self._lock = threading.Lock()
        self._seen: list[notify_pb2.Delivery] = []
        self._stream = agency.stubs.notify.Follow(notify_pb2.FollowRequest(after=after))
        self._thread = threading.Thread(target=self._read, name="follower")
        self._thread.start()

    def _read(self) -> None:
        # The end of the stream: it was closed here, or its service went away.
        with contextlib.suppress(SafehandError):
            for answer in self._stream:
                with self._lock:
                    self._seen.append(answer.delivery)

    @property
    def seen(self) -> list[notify_pb2.Delivery]:
        with self._lock:
            return list(self._seen)

    @property
    def open(self) -> bool:
        """Whether the stream still stands."""
        return self._thread.is_alive()

    def close(self) -> None:
        self._stream.cancel()
        self._thread.join(10)


@contextlib.contextmanager
def follow(agency: AgencyClient) -> Iterator[Follower]:
    """A stream of what is new for ``agency`` from now on."""
    before = everything(agency)
    follower = Follower(agency, before[-1].cursor if before else 0)
    try:
        yield follower
    finally:
        follower.close()
