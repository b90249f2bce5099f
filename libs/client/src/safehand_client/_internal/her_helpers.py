"""Whom she lets stop for her, the word that undoes it, and who stopped what."""

from __future__ import annotations

from safehand.consent.v1 import stops_pb2
from safehand_core import ids
from safehand_core.entropy import Entropy

from safehand_client._internal.calls import DEADLINE_S, Stubs


class HerHelpers:
    """Mixin of the client of one signed-in person."""

    stubs: Stubs
    session: bytes
    _entropy: Entropy

    def add_representative(self, relation: str) -> stops_pb2.AddRepresentativeResponse:
        """Name somebody who may stop for her; the code is in this answer and nowhere else."""
        return self.stubs.consent.AddRepresentative(
            stops_pb2.AddRepresentativeRequest(
                request_id=ids.new_request_id(self._entropy),
                session=self.session,
                relation=relation,
            ),
            timeout=DEADLINE_S,
        )

    def representatives(self) -> list[stops_pb2.Representative]:
        """Those that hold a code now."""
        return list(
            self.stubs.consent.ListRepresentatives(
                stops_pb2.ListRepresentativesRequest(session=self.session), timeout=DEADLINE_S
            ).representatives
        )

    def remove_representative(self, representative: str) -> None:
        """Take a code back: it stops nothing any more."""
        self.stubs.consent.RemoveRepresentative(
            stops_pb2.RemoveRepresentativeRequest(
                request_id=ids.new_request_id(self._entropy),
                session=self.session,
                representative=representative,
            ),
            timeout=DEADLINE_S,
        )

    def set_code_word(self, word: str) -> None:
        """Set the word without which no worker can resume for her. Raises MALFORMED."""
        self.stubs.consent.SetCodeWord(
            stops_pb2.SetCodeWordRequest(
                request_id=ids.new_request_id(self._entropy), session=self.session, code_word=word
            ),
            timeout=DEADLINE_S,
        )

    def stops(self) -> list[stops_pb2.StopNote]:
        """Every stop, resume and wish to stop, hers and others', newest first."""
        out: list[stops_pb2.StopNote] = []
        token = ""
        while True:
            page = self.stubs.consent.ListStops(
                stops_pb2.ListStopsRequest(session=self.session, page_token=token),
                timeout=DEADLINE_S,
            )
            out += page.notes
            token = page.next_page_token
            if not token:
                return out

    def stop_as_representative(self, code: str) -> int:
        """Stop by a code of hers, at the portal and without her session; when it was taken down.

        The answer is the same for a right, a wrong and a removed code.
        """
        return int(
            self.stubs.consent.StopAsRepresentative(
                stops_pb2.StopAsRepresentativeRequest(
                    request_id=ids.new_request_id(self._entropy), representative_code=code
                ),
                timeout=DEADLINE_S,
            ).recorded_at.seconds
        )
