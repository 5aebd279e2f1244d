"""How far a change of the secret key is: notes beside the settings in Kafka, so that every worker knows them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from worker.store import settings_notes
from worker.store.changed_rows import Rows
from worker.store.database import Database

ABOUT = "rekey"
"""Names these rows among the notes beside the settings."""
_ASKED = ""


@dataclass(frozen=True, slots=True)
class Rekeying:
    """A change of the secret key: API keys are encrypted and records signed by the new one; hashes may be left.

    Attributes:
        key: the new key's name.
        before: the name of the one used before.
        at: when all was encrypted and signed, as text.
    """

    key: str
    before: str
    at: str


def begin(db: Database, rekeying: Rekeying) -> Rows:
    """Writes that hashes are to be renewed by every worker that has both keys. Belongs in a transaction."""
    return settings_notes.put(db, ABOUT, _ASKED, json.dumps(asdict(rekeying)))


def newest(db: Database) -> Rekeying | None:
    """Returns the last change of the secret key; None where there was none."""
    text = settings_notes.get(db, ABOUT, _ASKED)
    return None if text is None else Rekeying(**json.loads(text))


def note_renewed(db: Database, partition: int, rekeying: Rekeying, left: int) -> Rows:
    """Writes that a partition of the ledger has no hash of the key before that could be renewed. In a transaction.

    Args:
        db: the staging database.
        partition: of the ledger.
        rekeying: the change.
        left: how many rows have hashes of values that their customers have no more.
    """
    return settings_notes.put(db, ABOUT, str(partition), json.dumps({**asdict(rekeying), "left": left}))


def renewed(db: Database, rekeying: Rekeying) -> dict[int, int]:
    """Returns the partitions of the ledger that are done, each with how many rows were left as they are."""
    told = {whose: json.loads(text) for whose, text in settings_notes.all_about(db, ABOUT).items() if whose != _ASKED}
    return {int(whose): one.pop("left") for whose, one in told.items() if Rekeying(**_without_left(one)) == rekeying}


def _without_left(one: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in one.items() if name != "left"}
