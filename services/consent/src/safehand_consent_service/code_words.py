"""Her code word: what she says so that two workers may undo a stop that was made for her, or that a
worker may give her a number with which she need not wait at the sign-in.

Kept as her PIN is (``cards``). It opens nothing and signs nobody in.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from safehand.consent.v1 import stops_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from sqlalchemy import Connection, delete, insert, select

from safehand_consent_service import sessions, throttle
from safehand_consent_service.context import Context, earlier, remember, request_of
from safehand_consent_service.tables_stops import code_word

SHORTEST: Final = 4
LONGEST: Final = 64
"""Code points, once it is normalised: a word or a short sentence that can be said on the phone."""


def normalise(word: str) -> str:
    """The word as it is compared: composed (NFC), case folded, single spaces, none at the ends.

    It is said, not typed: neither case nor spacing nor the way an accent was keyed in may matter.
    Raises MALFORMED outside of 4 to 64 code points, or for what cannot be said.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold())
    plain = " ".join(folded.split())
    if not SHORTEST <= len(plain) <= LONGEST or not plain.isprintable():
        raise SafehandError(
            Reason.MALFORMED, "a code word has 4 to 64 characters", metadata={"field": "code_word"}
        )
    return plain


def put(context: Context, message: pb.SetCodeWordRequest) -> None:
    """Set it, or set another. Raises SESSION_INVALID, MALFORMED."""
    plain = normalise(message.code_word)
    with begin_read(context.engine) as connection:
        sessions.require(connection, message.session, context.now)
    # Slow on purpose, so outside of the writer's transaction.
    hashed = context.cards.word_hash(plain)

    def operation(txn: WriterTransaction) -> None:
        subject_id = sessions.require(txn.connection, message.session, txn.now)
        request = request_of(context.cards, context.cards.caller(subject_id), message)
        if earlier(txn.connection, request) is not None:
            return
        txn.connection.execute(delete(code_word).where(code_word.c.subject_id == subject_id))
        txn.connection.execute(
            insert(code_word).values(subject_id=subject_id, word_hash=hashed, set_at=txn.now)
        )
        remember(txn, request, {})

    context.writer.submit(operation)


def heard(context: Context, tries: bytes, stored: str | None, plain: str) -> bool:
    """Whether a word that somebody said (normalised) is the one that is ``stored``; where none is,
    False after the same work. ``tries``: the throttle's key for whoever said it about whom.

    Slow, and it writes: call it outside of transactions. Raises THROTTLED.
    """
    # Counted before the word is looked at, so that tries at once count like tries in a row.
    context.writer.submit(lambda txn: throttle.take(txn.connection, tries, txn.now))
    return context.cards.word_matches(stored, plain)


def hash_of(connection: Connection, subject_id: str) -> str | None:
    """What is stored of her word; None where she set none."""
    row = connection.execute(
        select(code_word.c.word_hash).where(code_word.c.subject_id == subject_id)
    ).scalar()
    return None if row is None else str(row)
