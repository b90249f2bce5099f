"""What the entries must say together: the order of her stops and every look, from the bodies.

The rules need the opened bodies, so whoever has them (the operator's fsck, oversight with an
export) can check all of it. An entry whose body was forgotten is skipped, and is given the benefit
of the doubt: it may be the missing number of a counter, the stop that a resume needs, the resume
between a stop and a look. Whoever holds the grant's secret knows its tag and is not fooled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from safehand_core.canonical import Json
from safehand_core.words import CARD, SENSITIVE
from safehand_formats.bodies import body_time
from safehand_formats.kinds import COUNTED, Kind, grant_tag, key_tag
from safehand_formats.leaf import Leaf

from safehand_ledger.releases import Releases
from safehand_ledger.report import Problems

STRONG_WINDOWS_S: Final = (24 * 3600, 0)
"""How long her own stop can be undone, seconds (DESIGN 3.4): a day, or never where it is final at
once."""
WEAK_WINDOWS_S: Final = (72 * 3600,)
"""How long a stop that somebody else made can be undone, seconds (DESIGN 3.4)."""
MAX_TERM_S: Final = 180 * 24 * 3600
"""Longest term of a grant, seconds (PROTOCOL step 5)."""
MAX_WAIT_S: Final = 14 * 24 * 3600
"""Longest time, seconds, in which a grant waits for her word or a guardian's: after that silence
would turn into consent (DESIGN 6)."""

Body = Mapping[str, Json]


def _text(body: Body, key: str) -> str:
    return cast(str, body[key])


def _number(body: Body, key: str) -> int:
    return cast(int, body[key])


def _names(body: Body, key: str) -> set[str]:
    return set(cast("list[str]", body[key]))


@dataclass(slots=True)
class _Refer:
    body: Body
    parts: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Grant:
    """One grant's entries so far. ``body`` is None when its GRANT was forgotten; ``index`` is that
    of its first entry that was not."""

    index: int
    body: Body | None
    categories: set[str] = field(default_factory=set)
    expires_at: int = 0
    stop: tuple[int, Body] | None = None
    ended: bool = False
    confirmed: set[str] = field(default_factory=set)
    counters: Counter[Kind] = field(default_factory=Counter)
    refers: dict[str, _Refer] = field(default_factory=dict)
    looks: set[tuple[str, int, str]] = field(default_factory=set)


class Rules:
    """Feed every entry in order; each broken rule becomes a problem at its index.

    ``secrets`` maps grant ids to their 32-byte secrets: where one is known, every tag of that
    grant is derived again. Tags of KEY entries are always derived again.
    """

    def __init__(self, problems: Problems, secrets: Mapping[str, bytes] | None = None) -> None:
        self._problems = problems
        self._secrets = secrets or {}
        self._time = 0
        self._grants: dict[str, _Grant] = {}
        self._keys: dict[str, int] = {}
        self._answered: set[str] = set()
        self._referrals: dict[str, str] = {}
        self._manifests: dict[str, Body] = {}
        self._replaced: set[str] = set()
        self._releases = Releases()
        self._forgotten: dict[Kind, list[int]] = {kind: [] for kind in Kind}
        self._checks: Mapping[Kind, Callable[[int, _Grant, Body], None]] = {
            Kind.NARROW: self._narrow,
            Kind.CONFIRM: self._confirm,
            Kind.STOP: self._stop,
            Kind.RESUME: self._resume,
            Kind.REVOKE: self._revoke,
            Kind.EXPIRE: self._expire,
            Kind.REFER: self._refer,
            Kind.DISCLOSE: self._disclose,
        }

    @property
    def time(self) -> int:
        """The largest time of any entry so far, seconds since the epoch."""
        return self._time

    def entry(self, index: int, leaf: Leaf, body: Body | None) -> None:
        """The next entry. ``body`` passed its schema, or is None when it was forgotten."""
        if not self._require(leaf.kind.built, "KIND", index, "a kind that is not built"):
            return
        if body is None:
            self._forgotten[leaf.kind].append(index)
            return
        at = body_time(leaf.kind, body)
        self._require(at >= self._time, "TIME", index, "earlier than the entry before it")
        self._time = max(self._time, at)
        if leaf.kind is Kind.KEY:
            self._key(index, leaf, body)
            return
        self._tag(index, leaf, body)
        if leaf.kind is Kind.GRANT:
            self._grant(index, body)
            return
        if leaf.kind is Kind.REFUSE:
            self._refuse(index, body)
            return
        name = _text(body, "grant")
        grant = self._grants.get(name)
        if grant is None:
            known = self._may_hide(Kind.GRANT)
            self._require(known, "ORDER", index, "no such grant before it")
            grant = self._grants[name] = _Grant(index, None)
        if leaf.kind in COUNTED:
            self._counter(index, leaf.kind, grant, body)
        self._checks[leaf.kind](index, grant, body)

    def finish(self) -> None:
        """There is no further entry: what had to end by now has ended."""
        for grant in self._grants.values():
            if not grant.ended and not self._may_hide(Kind.REVOKE, grant.index):
                self._unended(grant)

    # --- one rule each ------------------------------------------------------------------------

    def _tag(self, index: int, leaf: Leaf, body: Body) -> None:
        secret = self._secrets.get(_text(body, "ask" if leaf.kind is Kind.REFUSE else "grant"))
        if secret is None:
            return
        counter = _number(body, "counter") if leaf.kind in COUNTED else 0
        derived = grant_tag(leaf.kind, secret, counter)
        self._require(leaf.tag == derived, "TAG", index, "the tag is not derived from its grant")

    def _counter(self, index: int, kind: Kind, grant: _Grant, body: Body) -> None:
        counter, expected = _number(body, "counter"), grant.counters[kind]
        # Forgotten entries of the kind may be the ones that are missing; at most so many.
        missing = range(expected, expected + len(self._forgotten[kind]) + 1)
        self._require(counter in missing, "COUNTER", index, "a gap or a repeat in the counter")
        grant.counters[kind] = max(expected, counter + 1)

    def _key(self, index: int, leaf: Leaf, body: Body) -> None:
        agency, sequence = _text(body, "agency"), _number(body, "sequence")
        derived = key_tag(agency, sequence)
        self._require(leaf.tag == derived, "TAG", index, "the tag is not derived from its agency")
        expected = self._keys.get(agency, 0)
        missing = range(expected, expected + len(self._forgotten[Kind.KEY]) + 1)
        self._require(sequence in missing, "COUNTER", index, "a gap or a repeat in the sequence")
        self._keys[agency] = max(expected, sequence + 1)

    def _grant(self, index: int, body: Body) -> None:
        name = _text(body, "grant")
        self._require(name not in self._grants, "ORDER", index, "the grant was given before")
        issued, expires = _number(body, "issued_at"), _number(body, "expires_at")
        self._require(issued < expires, "TERM", index, "ends before it begins")
        self._require(expires - issued <= MAX_TERM_S, "TERM", index, "longer than 180 days")
        self._require(_number(body, "erase_by") >= expires, "TERM", index, "erased before its end")
        parties = _text(body, "releasing") != _text(body, "recipient")
        self._require(parties, "SCOPE", index, "releases to itself")
        if "recorded_by" in body:
            other = body["recorded_by"] != body["recipient"]
            self._require(other, "SCOPE", index, "recorded by its own recipient")
        for until in ("confirm_by", "cosign_by"):
            if until in body:
                soon = issued < _number(body, until) <= issued + MAX_WAIT_S
                self._require(soon, "TERM", index, "waits longer than 14 days")
        if "ask" in body:
            self._answer(index, _text(body, "ask"))
        self._grants[name] = _Grant(index, body, _names(body, "categories"), expires)

    def _refuse(self, index: int, body: Body) -> None:
        self._answer(index, _text(body, "ask"))
        parties = _text(body, "releasing") != _text(body, "recipient")
        self._require(parties, "SCOPE", index, "releases to itself")

    def _answer(self, index: int, ask: str) -> None:
        """One question, one answer: a yes or a no."""
        self._require(ask not in self._answered, "ORDER", index, "a question answered twice")
        self._answered.add(ask)

    def _narrow(self, index: int, grant: _Grant, body: Body) -> None:
        self._require(not grant.ended, "ORDER", index, "narrowed after the end")
        left, expires_at = _names(body, "categories"), _number(body, "expires_at")
        self._require(CARD in left, "SCOPE", index, "without the card")
        if grant.body is not None:
            inside = left <= grant.categories and expires_at <= grant.expires_at
            self._require(inside, "SCOPE", index, "wider than before")
        grant.categories, grant.expires_at = left, expires_at

    def _confirm(self, index: int, grant: _Grant, body: Body) -> None:
        self._require(not grant.ended, "ORDER", index, "confirmed after the end")
        by = _text(body, "by")
        self._require(by not in grant.confirmed, "ORDER", index, "confirmed twice")
        self._require(("agency" in body) == (by == "second"), "SCOPE", index, "by whom")
        if (given := grant.body) is not None:
            until = "cosign_by" if by == "guardian" else "confirm_by"
            asked = until in given
            self._require(asked, "ORDER", index, "a confirmation that was not asked for")
            if asked:
                intime = _number(body, "at") < _number(given, until)
                self._require(intime, "TIME", index, "confirmed too late")
            if by == "second":
                self._second(index, given, body)
        grant.confirmed.add(by)

    def _second(self, index: int, given: Body, body: Body) -> None:
        """A second person is another one, and not of the agency that would receive."""
        first = (given.get("recorded_by"), given.get("recorder_ref"))
        another = (body.get("agency"), body.get("worker_ref")) != first
        self._require(another, "SCOPE", index, "confirmed by who recorded it")
        other = body.get("agency") != given["recipient"]
        self._require(other, "SCOPE", index, "confirmed by its own recipient")

    def _stop(self, index: int, grant: _Grant, body: Body) -> None:
        self._require(not grant.ended, "ORDER", index, "a stop after the end")
        hers = body["by"] == "self"
        self._require((body["strength"] == "strong") == hers, "SCOPE", index, "strong is her own")
        self._require(not (hers and "agency" in body), "SCOPE", index, "her own, and a worker's")
        named = body["by"] != "worker" or "agency" in body
        self._require(named, "SCOPE", index, "a worker without an agency")
        # Her own stop takes the place of a weaker one; no other follows another.
        over_weak = hers and grant.stop is not None and grant.stop[1]["strength"] == "weak"
        self._require(over_weak or not self._stopped(grant), "ORDER", index, "stopped twice")
        window = _number(body, "final_at") - _number(body, "at")
        allowed = STRONG_WINDOWS_S if hers else WEAK_WINDOWS_S
        self._require(window in allowed, "TIME", index, "another window than such a stop has")
        # A weak stop that is final and not swept yet, perhaps for long: she may still say that it
        # was no consent, which ends it at once.
        if not self._void_late(grant, body, window):
            self._in_term(index, grant, body, "stopped after the grant's term")
        if (given := grant.body) is not None and body["by"] == "worker":
            end = body.get("agency") in (given["releasing"], given["recipient"])
            self._require(end, "SCOPE", index, "a worker of neither end")
        grant.stop = (index, body)

    def _resume(self, index: int, grant: _Grant, body: Body) -> None:
        self._require(not grant.ended, "ORDER", index, "resumed after the end")
        if grant.stop is None:
            self._require(self._may_hide(Kind.STOP), "ORDER", index, "resumed without a stop")
        else:
            at, stop = grant.stop
            # Another stop, of other strength and with a later window, may have been forgotten.
            unsure = self._may_hide(Kind.STOP, at)
            inside = _number(body, "at") < _number(stop, "final_at")
            self._require(inside or unsure, "TIME", index, "resumed after its window")
            allowed = body["by"] == "self" or stop["strength"] == "weak"
            self._require(allowed or unsure, "SCOPE", index, "staff undid her own stop")
        self._in_term(index, grant, body, "resumed after the grant's term")
        self._require(("agency" in body) == (body["by"] == "staff"), "SCOPE", index, "by whom")
        if (given := grant.body) is not None and "agency" in body:
            holds = body["agency"] == given["releasing"]
            self._require(holds, "SCOPE", index, "staff of another agency")
        two = "agency" not in body or body["worker_ref"] != body["second_ref"]
        self._require(two, "SCOPE", index, "one person is not two")
        grant.stop = None

    def _revoke(self, index: int, grant: _Grant, body: Body) -> None:
        self._require(not grant.ended, "ORDER", index, "ended twice")
        if grant.stop is None:
            self._require(self._may_hide(Kind.STOP), "ORDER", index, "revoked without a stop")
        else:
            self._revoke_of(index, *grant.stop, body)
        grant.ended = True

    def _revoke_of(self, index: int, at: int, stop: Body, body: Body) -> None:
        """REVOKE behind the STOP at index ``at``."""
        if _number(body, "stop_index") != at:
            self._require(self._may_hide(Kind.STOP, at), "ORDER", index, "names another stop")
            return
        early = _number(body, "at") < _number(stop, "final_at")
        hers = stop["strength"] == "strong"
        by_time = body["cause"] == "window"
        self._require(not early or (hers and not by_time), "TIME", index, "inside its window")
        windowless = _number(stop, "final_at") == _number(stop, "at")
        self._require(not (windowless and by_time), "TIME", index, "a window that there was not")
        self._require(hers or body["cause"] != "destroy_now", "SCOPE", index, "not her own")

    def _expire(self, index: int, grant: _Grant, body: Body) -> None:
        self._require(not grant.ended, "ORDER", index, "ended twice")
        expires_at = _number(body, "expires_at")
        self._require(_number(body, "at") >= expires_at, "TIME", index, "expired early")
        if grant.body is not None:
            ends = self._unconfirmed(grant) if "cause" in body else {grant.expires_at}
            sure = not any(self._may_hide(kind) for kind in (Kind.NARROW, Kind.CONFIRM))
            known = expires_at in ends or not sure
            self._require(known, "SCOPE", index, "another end than its grant's")
        grant.ended = True

    def _unconfirmed(self, grant: _Grant) -> set[int]:
        """The ends of a grant that somebody still has to confirm."""
        body = grant.body or {}
        return {
            _number(body, until)
            for by, until in (("self", "confirm_by"), ("guardian", "cosign_by"))
            if until in body and by not in grant.confirmed
        }

    def _ends_at(self, grant: _Grant) -> int | None:
        """When it ends by the clock, at the latest; None where its GRANT was forgotten."""
        if grant.body is None:
            return None
        unsure = self._may_hide(Kind.CONFIRM)
        return min({grant.expires_at} | (set() if unsure else self._unconfirmed(grant)))

    def _in_term(self, index: int, grant: _Grant, body: Body, detail: str) -> None:
        ends_at = self._ends_at(grant)
        inside = ends_at is None or _number(body, "at") < ends_at
        self._require(inside, "TIME", index, detail)

    def _void_late(self, grant: _Grant, body: Body, window: int) -> bool:
        """Whether it is a stop of hers, final at once, over a weak one that was final before."""
        if window != 0 or grant.stop is None or not self._stopped(grant):
            return False
        _, weak = grant.stop
        return weak["strength"] == "weak" and _number(body, "at") >= _number(weak, "final_at")

    def _unended(self, grant: _Grant) -> None:
        if grant.stop is not None and self._stopped(grant):
            index, stop = grant.stop
            final_at = _number(stop, "final_at")
            # Final at once and ended are one transaction: no head is between the two.
            open_ = final_at > _number(stop, "at") and not self._releases.went_on_after(final_at)
            self._require(open_, "TIME", index, "a stop that did not become final")
        ends_at = self._ends_at(grant)
        if ends_at is not None and not self._may_hide(Kind.EXPIRE, grant.index):
            late = self._releases.went_on_after(ends_at)
            self._require(not late, "TIME", grant.index, "a grant that did not end")

    def _live(self, index: int, grant: _Grant, body: Body) -> None:
        """The one rule that everything else serves."""
        self._require(not grant.ended, "ORDER", index, "shared after the end")
        self._require(not self._stopped(grant), "ORDER", index, "shared after a stop")
        if grant.body is not None:
            before = _number(body, "at") < grant.expires_at
            self._require(before, "TIME", index, "shared after the grant's term")
            self._confirmed(index, grant, grant.body, body)

    def _confirmed(self, index: int, grant: _Grant, given: Body, body: Body) -> None:
        """What a worker recorded goes out without the sensitive categories, until she or a second
        person confirms it; what a guardian must sign does not go out before that."""
        if self._may_hide(Kind.CONFIRM):
            return
        shared = _names(body, "categories") if "categories" in body else {_text(body, "category")}
        waiting = "cosign_by" in given and "guardian" not in grant.confirmed
        self._require(not waiting, "ORDER", index, "shared before the guardian signed")
        if "confirm_by" in given and "self" not in grant.confirmed:
            intime = _number(body, "at") < _number(given, "confirm_by")
            self._require(intime, "TIME", index, "shared although nobody confirmed it")
            allowed = "second" in grant.confirmed or not shared & SENSITIVE
            self._require(allowed, "ORDER", index, "sensitive before it was confirmed")

    def _stopped(self, grant: _Grant) -> bool:
        return grant.stop is not None and not self._may_hide(Kind.RESUME, grant.stop[0])

    def _may_hide(self, kind: Kind, after: int = -1) -> bool:
        """Whether an entry of ``kind`` above index ``after`` was forgotten, of whatever grant."""
        forgotten = self._forgotten[kind]
        return bool(forgotten) and forgotten[-1] > after

    def _refer(self, index: int, grant: _Grant, body: Body) -> None:
        self._live(index, grant, body)
        manifest = _text(body, "manifest")
        self._require(manifest not in grant.refers, "ORDER", index, "authorised twice")
        before = _number(body, "at") < _number(body, "not_after")
        self._require(before, "TIME", index, "authorised after its own end")
        if (given := grant.body) is not None:
            for mine, granted in (
                ("sender", "releasing"),
                ("recipient", "recipient"),
                ("purpose", "purpose"),
            ):
                same = body[mine] == given[granted]
                self._require(same, "SCOPE", index, "another party or purpose than granted")
            inside = _names(body, "categories") <= grant.categories
            self._require(inside, "SCOPE", index, "a category that was not granted")
            within = _number(body, "not_after") <= grant.expires_at
            self._require(within, "TIME", index, "outlives its grant")
        self._reseal(index, body, manifest)
        grant.refers[manifest] = _Refer(body)

    def _reseal(self, index: int, body: Body, manifest: str) -> None:
        """One referral has one manifest at a time: a new one names the one that it replaces."""
        referral = _text(body, "referral")
        now = self._referrals.get(referral)
        older = body.get("reseals")
        known = now == older or self._may_hide(Kind.REFER)
        self._require(known, "ORDER", index, "one referral, two manifests")
        if isinstance(older, str):
            self._replaced.add(older)
            if (before := self._manifests.get(older)) is not None:
                for party in ("sender", "recipient", "purpose", "referral"):
                    same = before[party] == body[party]
                    self._require(same, "SCOPE", index, "reseals another referral")
        self._referrals[referral] = manifest
        self._manifests[manifest] = body

    def _disclose(self, index: int, grant: _Grant, body: Body) -> None:
        self._releases.note(_number(body, "at"))
        self._live(index, grant, body)
        manifest, part = _text(body, "manifest"), _number(body, "part")
        category = _text(body, "category")
        if grant.body is not None:
            granted = category in grant.categories
            self._require(granted, "SCOPE", index, "a category that was not granted")
            same = body["recipient"] == grant.body["recipient"]
            self._require(same, "SCOPE", index, "another recipient than granted")
        card = (category == CARD) == (body["stage"] == "card")
        self._require(card, "SCOPE", index, "a category in the wrong stage")
        accepted = body["stage"] == "card" or body["accept"] != ""
        self._require(accepted, "ORDER", index, "identity before an acceptance")
        current = manifest not in self._replaced
        self._require(current, "ORDER", index, "a look at what was sealed again")
        look = (manifest, part, _text(body, "request"))
        self._require(look not in grant.looks, "ORDER", index, "one request, two looks")
        grant.looks.add(look)
        refer = grant.refers.get(manifest)
        if refer is None:
            known = self._may_hide(Kind.REFER)
            self._require(known, "ORDER", index, "no such referral was authorised")
            return
        inside = category in _names(refer.body, "categories")
        self._require(inside, "SCOPE", index, "a category that is not in the manifest")
        there = part < len(_names(refer.body, "categories"))
        self._require(there, "SCOPE", index, "a part that is not in the manifest")
        same = refer.parts.setdefault(part, category) == category
        self._require(same, "SCOPE", index, "one part, two categories")
        same = body["recipient"] == refer.body["recipient"]
        self._require(same, "SCOPE", index, "another recipient than the manifest's")
        before = _number(body, "at") < _number(refer.body, "not_after")
        self._require(before, "TIME", index, "shared after the referral's term")

    def _require(self, condition: bool, code: str, index: int, detail: str) -> bool:
        return self._problems.require(condition, code, index, detail)
