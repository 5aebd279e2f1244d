"""Reads dead letters again: by the operators' page and by the API alike."""

from __future__ import annotations

from worker.clock import as_text
from worker.consumer.batch import replay
from worker.errors import NotFound
from worker.store import dead_letters
from worker.store.dead_letters import DeadLetter
from worker.web.problems import NotHere
from worker.web.routing import Call


def letter_of(call: Call, number: int) -> DeadLetter:
    """Returns one dead letter.

    Raises:
        NotFound: there is none of that number.
    """
    found = dead_letters.find(call.db, number)
    if found is None:
        raise NotFound(f"There is no dead letter {number}.", "Look at the list of dead letters.")
    return found


def may_replay(one: DeadLetter) -> bool:
    """Tells whether a dead letter can be read again alone: one of ledger or settings hangs on others."""
    return one.account_id is None


def replayed(call: Call, number: int) -> str | None:
    """Reads a dead letter again as this release understands it; returns why it is still not understood, or None.

    Raises:
        NotFound: there is none of that number.
        NotHere: it is a record of ledger or settings, which a command reads again.
    """
    one = letter_of(call, number)
    if not may_replay(one):
        advice = f"Read it again by the command: mailchimp-worker dead-letters replay {number}"
        raise NotHere("It is a record of ledger or settings, which is read again together with others.", advice)
    return replay(call.db, one, as_text(call.now), call.context.parts.hash_key)
