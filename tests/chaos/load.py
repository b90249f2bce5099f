"""The load: whole lives of consents, one person after another.

She says yes at the portal, to a question, or through a worker; agencies send, answer, open, seal
again and close; she narrows; she, workers and representatives stop; she and staff resume; in the
end it is destroyed. Each actor goes on through whatever happens: a call that gets no answer is
made again with the same request id, and what was answered is written into the journal.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from safehand.consent.v1 import consent_pb2, stops_pb2
from safehand_cli.story import PURPOSE, SERVICE, TEST_FORM
from safehand_client import AgencyClient, Fetched, Sent, SurvivorClient
from safehand_core import ids
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.resume import Resume, SignedResume

from tests.chaos.journal import Journal, Look, Refusal, Story
from tests.chaos.patience import Patience
from tests.harness.world import CATEGORIES, WORKER, Person, World

CODE_WORD: Final = "a word that she chose"
SECOND: Final = "worker-test-02"
DEADLINE_S: Final = 15.0
WAYS_TO_SAY_YES: Final = ("grant", "grant", "ask", "record")
WAYS_TO_STOP: Final = ("her", "her", "worker", "recipient", "representative")


class Actor(threading.Thread):
    """One life after another, until ``stopping`` is set."""

    def __init__(
        self, world: World, journal: Journal, stopping: threading.Event, seed: int
    ) -> None:
        super().__init__(name=f"actor-{seed}", daemon=True)
        self._world = world
        self._a, self._b = world.agency_a, world.agency_b
        self._journal = journal
        self._patience = Patience(world, journal)
        self._stopping = stopping
        self._dice = random.Random(seed)
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._one_life()
        except BaseException as error:
            self.failure = error
            self._stopping.set()

    def _one_life(self) -> None:
        try:
            person = self._patience.again("person", self._world.person)
            story = self._says_yes(person)
            code = self._her_helpers(person)
            fetched = self._accepted(story, self._sent(story))
            for _ in range(self._dice.randint(1, 3)):
                self._look(story, fetched, "NAME")
                self._stop_and_go(story, fetched, code)
            if self._maybe():
                self._narrow(story, fetched)
            self._destroy(story, fetched)
            if self._maybe():
                story, fetched = self._sealed_again(person, fetched)
                self._look(story, fetched, "NAME")
                self._destroy(story, fetched)
            if self._maybe():
                self._close(story, fetched)
        except SafehandError as error:
            # A PIN that was tried while its service died counts as tried: she waits, we do not.
            if error.reason is not Reason.THROTTLED:
                raise
            self._journal.count("throttled")

    def _maybe(self) -> bool:
        return self._dice.random() < 0.5

    # --- yes ----------------------------------------------------------------------------------

    def _says_yes(self, person: Person, way: str = "") -> Story:
        way = way or self._dice.choice(WAYS_TO_SAY_YES)
        if way == "ask":
            if self._maybe():
                self._says_no(person)
            return self._asked(person)
        if way == "record":
            return self._recorded(person)
        given = self._patience.hers(
            person,
            "grant",
            lambda her: her.grant(
                releasing="agency-a", recipient="agency-b", purpose=PURPOSE, categories=CATEGORIES
            ),
        )
        return self._journal.open(person, given.grant.grant, given.receipt.index)

    def _ask(self, person: Person, purpose: str) -> str:
        request_id = ids.new_request_id(SystemEntropy())
        asked = self._patience.again(
            "ask",
            lambda: self._a.ask_consent(
                subject_ref=person.subject_ref,
                worker_ref=WORKER,
                releasing="agency-a",
                recipient="agency-b",
                purpose=purpose,
                categories=CATEGORIES,
                days=90,
                request_id=request_id,
            ),
        )
        return asked.ask

    def _says_no(self, person: Person) -> None:
        # About something else: the same question is not asked again for a month after a no.
        ask = self._ask(person, "housing")
        self._patience.hers(person, "no", lambda her: her.say_no(ask))
        index, _ = self._patience.hers(
            person, "refusal receipt", lambda her: her.verified_refusal(ask)
        )
        self._journal.refused(Refusal(person, ask, index))

    def _asked(self, person: Person) -> Story:
        ask = self._ask(person, PURPOSE)
        done = self._patience.hers(person, "yes", lambda her: her.say_yes(ask, CATEGORIES))
        return self._journal.open(person, done.grant.grant, done.receipt.index)

    def _recorded(self, person: Person) -> Story:
        done = self._patience.again(
            "record",
            lambda: self._a.record_consent(
                subject_ref=person.subject_ref,
                worker_ref=WORKER,
                medium="paper",
                releasing="agency-a",
                recipient="agency-b",
                purpose=PURPOSE,
                categories=CATEGORIES,
            ),
        )
        story = self._journal.open(person, done.grant, None)
        story.want(Kind.CONFIRM)
        said = self._patience.hers(person, "confirm", lambda her: her.confirm(done.grant, "yes"))
        story.got(said.confirm_receipt.index)
        return story

    def _her_helpers(self, person: Person) -> str:
        """She sets the word for staff, and gives a code to a friend; the code."""
        self._patience.hers(person, "code word", lambda her: her.set_code_word(CODE_WORD))
        added = self._patience.hers(
            person, "representative", lambda her: her.add_representative("friend")
        )
        return added.representative_code

    # --- what is sent -------------------------------------------------------------------------

    def _sent(self, story: Story) -> Sent:
        story.want(Kind.REFER)
        sent = self._patience.again("send", lambda: self._send(story.grant))
        story.got(sent.refer_index)
        story.referral = sent.referral
        return sent

    def _send(self, grant: str) -> Sent:
        """Send, or finish what an earlier try began: its draft names this grant."""
        for referral in self._a.drafts:
            if self._drafted(referral, grant):
                return self._a.resend(referral)
        return self._a.send(
            grant=grant,
            recipient="agency-b",
            purpose=PURPOSE,
            service=SERVICE,
            form=TEST_FORM,
            categories=CATEGORIES,
        )

    def _drafted(self, referral: str, grant: str) -> bool:
        try:
            return self._a._manifest_of(referral).manifest.header.grant == grant
        except SafehandError:
            return False  # it was closed meanwhile

    def _accepted(self, story: Story, sent: Sent) -> Fetched:
        fetched = self._patience.again("fetch", lambda: self._b.fetch(sent.referral))
        self._patience.again("accept", lambda: self._b.accept(fetched))
        story.accepted.append(sent.referral)
        return fetched

    def _look(self, story: Story, fetched: Fetched, category: str) -> None:
        look = self._b.prepare_look(fetched, category, worker_ref=WORKER)
        story.want(Kind.DISCLOSE)
        asked = time.monotonic()
        opened = self._patience.again("open", lambda: self._b.finish_look(look))
        story.looks.append(Look(category, asked, time.monotonic()))
        story.got(opened.disclose_index)

    def _sealed_again(self, person: Person, fetched: Fetched) -> tuple[Story, Fetched]:
        """She says yes again, and the same referral goes on under the new consent."""
        referral = fetched.referral
        story = self._says_yes(person, "grant")
        story.want(Kind.REFER)

        def reseal() -> Sent:
            if self._drafted(referral, story.grant):
                return self._a.resend(referral)
            return self._a.reseal(referral, grant=story.grant)

        sent = self._patience.again("reseal", reseal)
        story.got(sent.refer_index)
        story.referral = referral
        story.accepted.append(referral)
        return story, self._patience.again("fetch", lambda: self._b.fetch(referral))

    def _close(self, story: Story, fetched: Fetched) -> None:
        def complete() -> None:
            try:
                self._b.complete(fetched.referral, "received_service")
            except SafehandError as error:
                if error.reason not in (Reason.STATE_CONFLICT, Reason.REFERRAL_CLOSED):
                    raise  # else an earlier try was heard, and its answer lost

        self._patience.again("complete", complete)
        story.completed.append(fetched.referral)
        self._patience.again("draft forgotten", lambda: self._a.status(fetched.referral))

    # --- no more, and yes again ---------------------------------------------------------------

    def _narrow(self, story: Story, fetched: Fetched) -> None:
        story.want(Kind.NARROW)
        done = self._patience.hers(
            story.person, "narrow", lambda her: her.narrow(story.grant, ("CARD", "NAME"))
        )
        story.got(done.receipt.index)
        story.taken_out["CONTACT"] = time.monotonic()
        self._must_be_shut(story, fetched, "CONTACT")
        self._look(story, fetched, "NAME")

    def _stop_and_go(self, story: Story, fetched: Fetched, code: str) -> None:
        by = self._dice.choice(WAYS_TO_STOP)
        story.want(Kind.STOP)
        if by == "her":
            done = self._patience.hers(story.person, "stop", lambda her: her.stop(story.grant))
            story.got(done.stop_receipt.index)
        else:
            self._patience.again(f"stop by {by}", self._weakly(story, by, code))
            story.got(None)
        story.stopped()
        for _ in range(self._dice.randint(1, 3)):
            self._must_be_shut(story, fetched, "NAME")
        story.want(Kind.RESUME)
        story.about_to_resume()
        if by != "her" and self._maybe():
            index = self._patience.again("resume by staff", self._staff_resume(story.grant))
        else:
            index = self._patience.hers(
                story.person, "resume", lambda her: her.resume(story.grant).receipt.index
            )
        story.got(index)

    def _weakly(self, story: Story, by: str, code: str) -> Callable[[], object]:
        """A stop by somebody else, which is the same request however often it is made."""
        request_id = ids.new_request_id(SystemEntropy())
        if by == "representative":
            coded = stops_pb2.StopAsRepresentativeRequest(
                request_id=request_id, representative_code=code
            )

            def at_the_portal() -> object:
                her = SurvivorClient(self._world.party("her"))
                try:
                    return her.stubs.consent.StopAsRepresentative(coded, timeout=DEADLINE_S)
                finally:
                    her.close()

            return at_the_portal
        request = stops_pb2.StopForHerRequest(
            request_id=request_id, worker_ref=WORKER, channel="phone"
        )
        agency: AgencyClient = self._b
        if by == "worker":
            agency = self._a
            request.subject_ref = story.person.subject_ref
        else:
            request.grant = story.grant
        return lambda: agency.stubs.consent.StopForHer(request, timeout=DEADLINE_S)

    def _staff_resume(self, grant: str) -> Callable[[], int]:
        said = Resume(
            agency=self._a.agency,
            grant=grant,
            worker_ref=WORKER,
            second_ref=SECOND,
            request_id=ids.new_request_id(SystemEntropy()),
            at=int(time.time()),
        )
        signed = SignedResume.sign(said, self._a._identity)
        request = stops_pb2.ResumeForHerRequest(
            request_id=said.request_id,
            resume=signed.resume_bytes,
            signature=signed.signature,
            code_word=CODE_WORD,
        )
        stub = self._a.stubs.consent
        return lambda: stub.ResumeForHer(request, timeout=DEADLINE_S).receipt.index

    def _destroy(self, story: Story, fetched: Fetched) -> None:
        story.want(Kind.STOP, Kind.REVOKE)

        def destroy(her: SurvivorClient) -> consent_pb2.StopGrantResponse:
            return her.stop(story.grant, destroy_now=True)

        done = self._patience.hers(story.person, "destroy", destroy)
        story.got(done.stop_receipt.index, done.revoke_receipt.index)
        story.stopped()
        self._must_be_shut(story, fetched, "NAME")

    def _must_be_shut(self, story: Story, fetched: Fetched, category: str) -> None:
        """One try after it was closed; whatever it says, it opens nothing."""
        asked = time.monotonic()
        try:
            self._b.open(fetched, category, worker_ref=WORKER)
        except SafehandError as error:
            if error.reason is Reason.INTERNAL:
                raise
            self._journal.count(f"shut: {error.reason}")
        else:
            story.looks.append(Look(category, asked, time.monotonic()))
