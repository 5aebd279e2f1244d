"""Whether lists exist in Mailchimp: one may be deleted, come back, or be invisible to an API key of another account."""

from __future__ import annotations

from collections.abc import Collection

from worker.clock import Wait
from worker.mailchimp import calls
from worker.mailchimp.answers import AnswerClass, ClassifiedAnswer, classify_read
from worker.mailchimp.calls import Sender
from worker.mailchimp.sender import SECOND_LOOK
from worker.model import ListId
from worker.sqlite.database import Database
from worker.store import list_members
from worker.store.accounts import AccountSettings


def maybe_back(db: Database, settings: AccountSettings) -> set[ListId]:
    """Returns the gone lists that are stored or that anybody may still be on, including those no refresh remembers."""
    there = {known_list.list_id for known_list in settings.lists if not known_list.gone}
    return list_members.lists_of(db, settings.account_id).union(settings.stored_ids) - there


def look_for(sender: Sender, list_ids: Collection[ListId], wait: Wait) -> dict[ListId, ClassifiedAnswer]:
    """Queries whether lists exist. One counts as missing only after two such answers a moment apart.

    Stops once Mailchimp accepts no call of the account.
    """
    answers = _read_each(sender, list_ids)
    missing = {list_id for list_id, classified in answers.items() if classified.kind is AnswerClass.NOT_THERE}
    if not missing:
        return answers
    wait(SECOND_LOOK)
    there = {list_id: classified for list_id, classified in answers.items() if list_id not in missing}
    return there | _read_each(sender, missing)


def _read_each(sender: Sender, list_ids: Collection[ListId]) -> dict[ListId, ClassifiedAnswer]:
    answers: dict[ListId, ClassifiedAnswer] = {}
    for list_id in sorted(list_ids):
        answers[list_id] = classify_read(sender.send(calls.read_list(list_id)))
        if answers[list_id].kind is AnswerClass.ACCOUNT_STOPPED:
            break
    return answers
