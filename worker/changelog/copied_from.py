"""The note that a copy of a database to these topics is under way, with the state of that database when it began.

If the copy is interrupted and the database then goes on with other topics, the part of it in Kafka is too old.
"""

from __future__ import annotations

import json
import uuid

from worker.changelog.table_rows import ChangelogRow
from worker.changelog.topics import ChangelogTopics
from worker.errors import NotMoved
from worker.sqlite.database import Database
from worker.store import offsets


def note_of_copy(db: Database, topics: ChangelogTopics) -> ChangelogRow:
    """Returns the note for a copy that begins now: how far the database knows other ledger and settings topics.

    Raises:
        DatabaseError: the database cannot be used.
    """
    instance = offsets.instance_id(db, f"worker-{uuid.uuid4()}")
    known = offsets.of_other_changelogs(db, (topics.ledger.name, topics.settings.name))
    return ChangelogRow("topic", ("copied", instance), {"note": json.dumps(known)})


def check_same_state(before: ChangelogRow | None, now: ChangelogRow, topics: ChangelogTopics) -> None:
    """Checks that a database is as it was when a copy of it was interrupted.

    Args:
        before: the note of that copy; None without one.

    Raises:
        NotMoved: its ledger or settings have changed since.
    """
    if before is not None and before.row is not None and before.row.get("note") != (now.row or {}).get("note"):
        raise NotMoved(
            f"{topics.ledger.name} and {topics.settings.name} have a part of an earlier copy of this database, which "
            "was interrupted. The database has worked with other topics since, so that part is too old.",
            "Nothing was written. If no other worker uses the two topics, delete them and run the command again.",
        )
