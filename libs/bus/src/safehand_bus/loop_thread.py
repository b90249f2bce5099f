"""An asyncio program in its own thread, for synchronous owners: services and tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

STOP_TIMEOUT_S: Final = 15.0
"""Longest wait for an orderly end: a server's drain, a cursor write, closing a connection."""

Started = Callable[[], None]
Program = Callable[[asyncio.Event, Started], Coroutine[Any, Any, None]]
"""Runs until the event is set; calls the second argument when it is ready."""


class LoopThread:
    """Runs ``program`` in a new thread and event loop between ``start`` and ``stop``."""

    def __init__(self, program: Program, *, name: str) -> None:
        self._program = program
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._body, name=name)

    def start(self) -> None:
        """Return when the program is ready; raises what it raised before that."""
        self._thread.start()
        self._ready.wait()
        self._raise()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask the program to end and wait for it; raises what it raised."""
        if not self._thread.is_alive() and self._loop is None:
            return
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(timeout_s)
        self._loop = None
        self._raise()

    def alive(self) -> bool:
        """Whether the program still runs."""
        return self._thread.is_alive()

    def _body(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await self._program(self._stopping, self._ready.set)

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
