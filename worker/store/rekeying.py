"""The progress of a change of the secret key, kept beside the settings in Kafka, so that every worker has it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from worker.sqlite.changed_rows import Rows
from worker.sqlite.database import Database
from worker.store import settings_notes

ABOUT = "rekey"
"""The kind of these rows among the notes beside the settings."""
_ASKED = ""


@dataclass(frozen=True, slots=True)
class Rekeying:
    """A change of the secret key: API keys are encrypted and records signed with the new one; old hashes may be left.

    Attributes:
        key: the new key's name.
        before: the previous key's name.
        at: when everything was encrypted and signed, as text.
    """

    key: str
    before: str
    at: str


def begin(db: Database, rekeying: Rekeying) -> Rows:
    """Records that every worker with both keys must renew hashes. Call it in a transaction."""
    return settings_notes.put(db, ABOUT, _ASKED, json.dumps(asdict(rekeying)))


def newest(db: Database) -> Rekeying | None:
    """Returns the last change of the secret key; None without any."""
    text = settings_notes.get(db, ABOUT, _ASKED)
    return None if text is None else Rekeying(**json.loads(text))


def note_renewed(db: Database, partition: int, rekeying: Rekeying, left: int) -> Rows:
    """Records that a ledger partition has no more hashes that could be renewed. Call it in a transaction.

    Args:
        left: how many rows have hashes of values that their customers no longer have.
    """
    return settings_notes.put(db, ABOUT, str(partition), json.dumps({**asdict(rekeying), "left": left}))


def renewed(db: Database, rekeying: Rekeying) -> dict[int, int]:
    """Returns the finished ledger partitions, each with how many rows were left."""
    data = {whose: json.loads(text) for whose, text in settings_notes.all_about(db, ABOUT).items() if whose != _ASKED}
    return {int(whose): one.pop("left") for whose, one in data.items() if Rekeying(**_without_left(one)) == rekeying}


def _without_left(one: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in one.items() if name != "left"}
