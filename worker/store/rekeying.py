"""The progress of a change of the secret key, kept beside the settings in Kafka, so that every worker has it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import settings_notes

_CHANGE = ""
"""The subject of the note on the change itself; every other subject is a partition."""


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
    return settings_notes.put(db, "rekey", _CHANGE, asdict(rekeying))


def newest(db: Database) -> Rekeying | None:
    """Returns the last change of the secret key; None without any."""
    data = settings_notes.data_of(db, "rekey", _CHANGE)
    return None if data is None else Rekeying(**data)


def note_renewed(db: Database, partition: int, rekeying: Rekeying, rows_left: int) -> Rows:
    """Records that a ledger partition has no more hashes that could be renewed. Call it in a transaction.

    Args:
        rows_left: how many rows have hashes of values that their customers no longer have.
    """
    return settings_notes.put(db, "rekey", str(partition), {**asdict(rekeying), "left": rows_left})


def renewed(db: Database, rekeying: Rekeying) -> dict[int, int]:
    """Returns the finished ledger partitions, each with how many rows were left."""
    rows_left = {}
    for subject, data in settings_notes.all_data(db, "rekey").items():
        if subject != _CHANGE:
            left = data.pop("left")
            if Rekeying(**data) == rekeying:
                rows_left[int(subject)] = left
    return rows_left
