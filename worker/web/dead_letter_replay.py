"""Decodes dead letters again, for the operators' page and the API alike."""

from __future__ import annotations

from worker.clock import as_text
from worker.consumer.batch import replay
from worker.errors import NotFound
from worker.store import dead_letters
from worker.store.dead_letters import DeadLetter
from worker.web.call import Call
from worker.web.errors import NotHere


def dead_letter_of(call: Call, number: int) -> DeadLetter:
    """Returns one dead letter.

    Raises:
        NotFound: there is no dead letter with this number.
    """
    letter = dead_letters.find(call.db, number)
    if letter is None:
        raise NotFound(f"There is no dead letter {number}.", "Look at the list of dead letters.")
    return letter


def may_replay(letter: DeadLetter) -> bool:
    """Returns whether a dead letter can be replayed on its own; one of ledger or settings depends on others."""
    return letter.account_id is None


def replayed(call: Call, number: int) -> str | None:
    """Decodes a dead letter again with this release; returns why it still cannot be decoded, else None.

    Raises:
        NotFound: there is no dead letter with this number.
        NotHere: it is a record of ledger or settings, which only a command can replay.
    """
    letter = dead_letter_of(call, number)
    if not may_replay(letter):
        advice = f"Read it again by the command: mailchimp-worker dead-letters replay {number}"
        raise NotHere("It is a record of ledger or settings, which is read again together with others.", advice)
    return replay(call.db, letter, as_text(call.now), call.app.hash_key)
