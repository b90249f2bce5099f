"""NotifyService, the operator's part: dead letters. Proto to letters and back."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from safehand.notify.v1 import notify_pb2 as pb
from safehand_bus.dead_letter import Letter
from safehand_bus.letters import Letters
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc import call
from safehand_rpc.paging import Pager, page_size


class LetterMethods:
    """Mixin of the NotifyService servicer. What writes runs beside the loop."""

    _letters: Letters
    _pager: Pager

    async def ListDeadLetters(  # noqa: N802
        self, request: pb.ListDeadLettersRequest, context: Any
    ) -> pb.ListDeadLettersResponse:
        """One page of the open ones."""
        scope = call.current().principal.spiffe_id
        size = page_size(request.page_size)
        behind = self._pager.position(request, scope=scope)
        found, total = await asyncio.to_thread(
            self._letters.open_after, 0 if behind is None else int(behind), size + 1
        )
        token = ""
        if len(found) > size:
            found = found[:size]
            token = self._pager.token(str(found[-1].number), request, scope=scope)
        return pb.ListDeadLettersResponse(
            letters=map(_letter, found), next_page_token=token, open=total
        )

    async def GetDeadLetter(  # noqa: N802
        self, request: pb.GetDeadLetterRequest, context: Any
    ) -> pb.GetDeadLetterResponse:
        """One, whatever its state."""
        found = await asyncio.to_thread(self._letters.get, request.letter)
        if found is None:
            raise _none(request.letter)
        return pb.GetDeadLetterResponse(letter=_letter(found))

    async def ReplayDeadLetters(  # noqa: N802
        self, request: pb.ReplayDeadLettersRequest, context: Any
    ) -> pb.ReplayDeadLettersResponse:
        """Apply them after all. Refused as a whole where a number names none."""
        numbers = sorted(set(request.numbers))
        for number in numbers:
            if await asyncio.to_thread(self._letters.get, number) is None:
                raise _none(number)
        found = await asyncio.to_thread(self._letters.replay, numbers)
        return pb.ReplayDeadLettersResponse(letters=map(_letter, found))


def _letter(letter: Letter) -> pb.DeadLetter:
    return pb.DeadLetter(
        letter=letter.number,
        state=pb.DeadLetterState.ValueType(letter.state),
        source=letter.source,
        stream_sequence=letter.stream_sequence,
        error=letter.code,
        attempts=letter.attempts,
        time=Timestamp(seconds=letter.time),
        event=letter.event,
        size=letter.size,
        sha256=letter.sha256.hex(),
    )


def _none(number: int) -> SafehandError:
    return SafehandError(
        Reason.NOT_FOUND,
        "there is no dead letter of that number",
        metadata={"letter": str(number)},
    )
