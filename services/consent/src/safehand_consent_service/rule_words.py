"""What each rule says to the people who ask: in one sentence, and what to do where it fails.

To an agency a rule says no more than its refusal would have said. To her it says all.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from safehand_consent_service.decision import Name


class Words(NamedTuple):
    """One sentence for each outcome; every text is constant."""

    holds: str
    fails: str


TO_AGENCY: Final[dict[Name, Words]] = {
    Name.PART_THERE: Words(
        "the manifest has this part, and names the two agencies",
        "the manifest has no such part; read the referral again",
    ),
    Name.NEWEST_SEAL: Words(
        "the newest parts that the sender sealed are asked about; if yours are older, fetch again",
        "the sender sealed the referral again; fetch it, and open the new parts",
    ),
    Name.REFERRAL_OPEN: Words(
        "the referral is open: nobody declined or withdrew it",
        "the referral was declined or withdrawn; make a new one if it is still wanted",
    ),
    Name.REFERRAL_IN_TIME: Words(
        "the referral's own time is not over",
        "the referral's own time is over; the sender can make a new one under a live consent",
    ),
    Name.ACCEPTED: Words(
        "the part is the card, or your signed acceptance is on file",
        "identity opens only after a signed acceptance; accept the referral first",
    ),
    Name.CLOCK_RIGHT: Words(
        "the service trusts its clock",
        "the service does not trust its clock; its operator has to check it; stops still work",
    ),
    Name.SHARING_ON: Words(
        "sharing under this consent is on",
        "sharing under this consent has ended; do not ask her why, and do not press her to resume",
    ),
    Name.LOOKS_LEFT: Words(
        "there were not too many looks, in the last hour and under this consent",
        "there were too many looks, in the last hour or under this consent; use what you opened, "
        "and wait, or ask for a new consent",
    ),
    Name.GRANT_THERE: Words(
        "there is a consent under which you may send",
        "no consent covers this, or it might not exist; ask her",
    ),
    Name.SAME_PURPOSE: Words(
        "the purpose is the one that she agreed to",
        "the purpose is another one than she agreed to; ask her for a consent of its own",
    ),
    Name.INSIDE_GRANT: Words(
        "everything you would send is in her consent",
        "something you would send is not in her consent; leave it out",
    ),
    Name.AGREEMENT: Words(
        "a sharing protocol that is live now covers it",
        "no live sharing protocol between the two agencies covers it; sign and register one",
    ),
    Name.CONFIRMED: Words(
        "nobody else has to confirm it first",
        "somebody has to confirm it first: she, a second worker, or her guardian",
    ),
    Name.ROOM_LEFT: Words(
        "there is room for another referral under this consent",
        "there are too many referrals under this consent; ask her for a new one",
    ),
}

TO_SENDER: Final[dict[Name, Words]] = TO_AGENCY | {
    Name.NEWEST_SEAL: Words(
        "the newest parts that you sealed are asked about",
        "you sealed the referral again; the recipient has to fetch it and open the new parts",
    ),
    Name.REFERRAL_IN_TIME: Words(
        "the referral's own time is not over",
        "the referral's own time is over; you can make a new one under a live consent",
    ),
    Name.ACCEPTED: Words(
        "the part is the card, or the recipient's signed acceptance is on file",
        "identity opens only after the recipient's signed acceptance; they have to accept first",
    ),
    Name.LOOKS_LEFT: Words(
        "the recipient did not look too often, in the last hour and under this consent",
        "the recipient looked too often, in the last hour or under this consent; they have to "
        "wait, or need a new consent",
    ),
}
"""To the sender, about an act of its recipient: it opens nothing itself."""

TO_HER: Final[dict[Name, Words]] = {
    Name.INSIDE_GRANT: Words(
        "you said yes to this kind of information",
        "you did not say yes to this kind of information, so they cannot open it",
    ),
    Name.NOT_STOPPED: Words(
        "you have not stopped it, and nobody stopped it for you",
        "it is stopped, so they cannot open it",
    ),
    Name.NOT_OVER: Words(
        "its time is not over",
        "it is over, so they cannot open it",
    ),
    Name.SIGNED: Words(
        "nobody else has to sign it",
        "your guardian has to sign it before they can open it",
    ),
    Name.CONFIRMED: Words(
        "nobody has to confirm it first",
        "a worker wrote this down for you; they cannot open this kind before you or a second "
        "person confirms it",
    ),
    Name.CLOCK_RIGHT: Words(
        "the service trusts its clock",
        "the service does not trust its clock, so they cannot open it until somebody has checked "
        "it; you can still stop it",
    ),
}
