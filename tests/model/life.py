"""What every part of a life stands on: one service, one person, two agencies, and the end of it.

``does`` is the heart: what the model allows must happen, and what it does not must be refused, for
one of the reasons that are right for it. While answers get lost, everything that succeeded is
asked for again with the same request id, and must change nothing.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from safehand.consent.v1 import asks_pb2, ledger_pb2, stops_pb2
from safehand.consent.v1 import consent_pb2 as pb
from safehand_client import slips
from safehand_client._internal.questions import read_refusal
from safehand_client.survivor import read_receipt
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import checkcode, merkle
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.proof import TlogProof
from safehand_ledger.check import fsck

from tests.consent.release.world import A, Sent, World, new_request_id
from tests.model.model import DAY, Grant, Referral

LONGEST: Final = 300 * DAY
"""The protocol ends after a year; lives end before it."""
NAMED: Final = ("CONTACT", "EVENTS", "HEALTH", "LOCATION", "NAME")
NO_ANSWER: Final = frozenset({Reason.UNAVAILABLE, Reason.OVERLOADED, Reason.LEDGER_STARTING})
TRIES: Final = 5
PAUSE_S: Final = 0.5
"""How often something is asked on a machine that is too busy to answer, and the pause between."""
REF: Final = "her-own-ref-0001"
WORD: Final = "seven green bottles"

some_categories = st.sets(st.sampled_from(NAMED), min_size=1, max_size=4)
which = st.integers(0, 10**6)


@dataclass(frozen=True)
class Refused:
    """A no to a question: to which categories, and what she was given for it."""

    categories: frozenset[str]
    receipt: ledger_pb2.Receipt


class Life(RuleBasedStateMachine):
    """One person, two agencies, and time; the rules are in the modules beside this one."""

    lived: ClassVar[Counter[str]] = Counter()
    """What happened in all lives of this process, by the words of ``words.WORDS``."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="safehand-life-"))
        self.world = World(self.folder).start().set_up()
        self.card = self.world.new_card()
        self.world.agency(A).RegisterSubject(
            pb.RegisterSubjectRequest(
                request_id=new_request_id(),
                subject_ref=REF,
                card_number=self.card.number,
                pin=self.card.pin,
            )
        )
        self._session: tuple[object, bytes] | None = None
        session = self.hers()
        portal = self.world.portal()
        portal.SetCodeWord(
            stops_pb2.SetCodeWordRequest(
                request_id=new_request_id(), session=session, code_word=WORD
            )
        )
        self.code = portal.AddRepresentative(
            stops_pb2.AddRepresentativeRequest(
                request_id=new_request_id(), session=session, relation="friend"
            )
        ).representative_code
        self.grants: list[Grant] = []
        self.referrals: list[tuple[Referral, Sent]] = []
        self.refused: dict[str, Refused] = {}
        self.answers_get_lost = False
        self.passed = 0
        self.latest = 0

    def teardown(self) -> None:
        try:
            self._at_the_end()
        finally:
            self.world.stop()
            self.world.store.drop()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- pieces -------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The ledger's time."""
        return self.world.app.context.now

    @property
    def suspect(self) -> bool:
        return self.world.app.context.writer.clock_suspect

    def hers(self) -> bytes:
        """Her session: she signs in again whenever a clock has moved."""
        clocks = (self.now, self.world.clock.wall(), self.world.clock.monotonic())
        if self._session is None or self._session[0] != clocks:
            self._session = (clocks, self.answered(lambda: self.world.sign_in(self.card)))
        return self._session[1]

    def pick(self, number: int) -> Grant:
        return self.grants[number % len(self.grants)]

    def pick_live(self, number: int) -> Grant:
        """One that is on, where there is one; now and then any other."""
        live = [grant for grant in self.grants if grant.is_live(self.now)]
        return live[number % len(live)] if live and number % 5 else self.pick(number)

    def happened(self, word: str) -> None:
        self.lived[word] += 1

    def answered(self, act: Callable[[], Any]) -> Any:
        """What ``act`` says. No answer is none: it is asked again, as every client must."""
        for _ in range(TRIES - 1):
            try:
                return act()
            except SafehandError as error:
                if error.reason not in NO_ANSWER:
                    raise
            time.sleep(PAUSE_S)
        return act()

    def does(self, word: str, allowed: bool, act: Callable[[], Any], *refusals: Reason) -> Any:
        """``act`` succeeds exactly when the model allows it, else with one of ``refusals``.

        It asks with a request id of its own, so that it can be asked again.
        """
        refusal: Reason | None = None
        done = None
        try:
            done = self.answered(act)
        except SafehandError as error:
            refusal = error.reason
        if allowed:
            assert refusal is None, f"the model allows it: {word}: {refusal}"
            if self.answers_get_lost:
                self.answered(act)
            self.happened(word)
        else:
            assert refusal is not None, f"the model does not allow it: {word}"
            assert refusal in refusals, f"{word}: {refusal}"
        return done

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def time_never_runs_backwards(self) -> None:
        stored = self.world.app.context.writer.head.ledger_time
        assert stored >= self.latest
        self.latest = stored

    @invariant()
    def a_key_is_there_exactly_while_it_may_be_needed(self) -> None:
        now = self.now
        for grant in self.grants:
            for category in grant.categories:
                there = self.world.category_key(grant.id, category) is not None
                if grant.is_final():
                    assert not there, "a key outlived its consent"
                elif not grant.due(now):
                    assert there, "a key was destroyed before the end"
            for category in grant.removed:
                assert self.world.category_key(grant.id, category) is None

    # --- the end ------------------------------------------------------------------------------

    def set_the_clock_right(self) -> None:
        """To what the ledger says, and the operator confirms it."""
        self.world.clock.jump_wall(self.now - self.world.clock.wall())
        self.world.operator().ConfirmClock(pb.ConfirmClockRequest(request_id=new_request_id()))

    def _at_the_end(self) -> None:
        self.set_the_clock_right()
        session = self.hers()
        self._her_list_is_the_model(session)
        self.world.app.sweep()
        verifier = NoteVerifier.from_vkey(self.world.app.context.ledger.vkey)
        secrets = {}
        for grant in self.grants:
            grant.settle(self.now)
            receipt = self.world.portal().GetReceipt(
                pb.GetReceiptRequest(session=session, grant=grant.id)
            )
            lines, _ = read_receipt(receipt, grant.id, verifier)
            kinds = [line.kind.name for line in lines]
            assert grant.shown(kinds), f"her receipt shows {kinds}, not {grant.entries}"
            secrets[grant.id] = receipt.secret
        report = fsck(
            self.world.store.location,
            verifier.vkey,
            self.world.settings.anchor,
            grant_secrets=secrets,
            clock=self.world.clock,
        )
        assert report.ok, report.problems
        self._every_no_is_proven(session, verifier)
        self._its_agency_sees_whether_it_is_on()

    def _every_no_is_proven(self, session: bytes, verifier: NoteVerifier) -> None:
        """Each is an entry of its own that she can show, and its code names that entry alone."""
        ledger = self.world.ledger()
        seen = set()
        for ask, no in self.refused.items():
            wanted = asks_pb2.GetRefusalReceiptRequest(session=session, ask=ask)
            answer = self.world.portal().GetRefusalReceipt(wanted)
            index, body = read_refusal(answer, ask, verifier)
            leaf = Leaf.decode(answer.receipt.leaf)
            assert leaf.kind is Kind.REFUSE
            assert body["categories"] == sorted(no.categories)
            assert (index, answer.receipt.leaf) == (no.receipt.index, no.receipt.leaf)
            seen.add(index)
            code = checkcode.of_leaf_hash(merkle.leaf_hash(answer.receipt.leaf))
            assert slips.of_refusal(answer, ask, verifier).code == code
            named = ledger.CheckCode(ledger_pb2.CheckCodeRequest(code=code)).receipts
            (found,) = (one for one in named if one.index == index)
            assert found.leaf == answer.receipt.leaf
            TlogProof.from_text(found.proof).verify(found.leaf, verifier)
        assert len(seen) == len(self.refused)

    def _her_list_is_the_model(self, session: bytes) -> None:
        request = pb.ListGrantsRequest(session=session, page_size=200)
        now = self.now
        seen = {}
        for view in self.world.portal().ListGrants(request).grants:
            seen[view.grant] = view
        assert seen.keys() == {grant.id for grant in self.grants}
        for grant in self.grants:
            view = seen[grant.id]
            assert set(view.terms.categories) == grant.categories
            assert view.terms.expires_at.seconds == grant.expires_at
            if not grant.due(now):
                name = pb.GrantState.Name(view.state).removeprefix("GRANT_STATE_").lower()
                assert name == grant.state
                if grant.state == "stopped":
                    assert view.final_at.seconds == grant.final_at

    def _its_agency_sees_whether_it_is_on(self) -> None:
        """Agency A hears one word about each, whatever ended it."""
        request = pb.ListAgencyGrantsRequest(page_size=200)
        seen = {
            view.grant: view.live for view in self.world.agency(A).ListAgencyGrants(request).grants
        }
        assert seen == {grant.id: grant.is_live(self.now) for grant in self.grants}
