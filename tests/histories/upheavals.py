"""What happens between the days of a history, and seldom: to the worker's database and keys, and to Mailchimp's lists.

Another worker takes over with an empty database, or an old copy of the database comes back: both have what Kafka has,
the ledger, the settings and the events. The secret key changes. Mailchimp's owner takes the API key back, and gives the
account another one days later. A list gets a field that must be filled. Mailchimp says "too many requests" for long.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from pydantic import SecretStr

from tests.histories.world import KEYS, TOPIC, WiredApp
from tests.staged import stage_batch
from worker.accounts import api_keys
from worker.changelog import table_rows
from worker.changelog.records import changelog_row_of, key_of, value_of
from worker.changelog.table_rows import ChangelogRow
from worker.clock import as_text
from worker.sqlite.changed_rows import Changed
from worker.store import offsets, rekeying
from worker.store.rekeying import Rekeying

if TYPE_CHECKING:
    from tests.histories.history import History

OTHER_SECRET = "OTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTBmZWRjYmE="
"""The secret key after a change."""


class Upheavals:
    """Lets them happen, by a chance of its own: a history without them is the one that it always was."""

    def __init__(self, history: History, chance: random.Random) -> None:
        self._history = history
        self._world = history.world
        self._chance = chance
        self._copy = history.world.folder / "copy.db"
        self._rekeyed = False
        self.too_many = 0
        """Calls that Mailchimp still answers with "too many requests"."""

    def between_days(self) -> None:
        """Lets some of it happen before a flush."""
        chance, world, say = self._chance, self._world, self._history.actors.say
        self.too_many = chance.randint(5, 40) if chance.random() < 0.05 else 0
        # What was under way when a worker died is known to its own database alone.
        if not world.died and chance.random() < 0.15:
            old = chance.random() < 0.5 and self._copy.exists()
            say(f"UPHEAVAL {'an old copy of the database comes back' if old else 'another worker takes over'}")
            self.take_over(from_copy=old)
        elif chance.random() < 0.2:
            say("UPHEAVAL the database is copied")
            world.copy_to(self._copy)
        if not self._rekeyed and chance.random() < 0.05:
            say("UPHEAVAL the secret key changes")
            self._rekeyed = True
            self.rekey()
        if chance.random() < 0.05:
            self.require_a_field()
        if chance.random() < 0.04:
            self.take_key_back()
        elif world.is_revoked and chance.random() < 0.5:
            self.give_key_back()

    def take_over(self, *, from_copy: bool) -> None:
        """Goes on with an empty database, or an old copy, and what Kafka has: ledger, settings and events."""
        world = self._world
        in_kafka = [(key_of(row), value_of(row, erase=False)) for row in table_rows.all_rows(world.db)]
        world.replace_by(self._copy if from_copy else None)
        keys = [key_of(row) for row in table_rows.all_rows(world.db)]
        removed = [(key, b"{}") for key in keys if key not in dict(in_kafka)]
        rows = [changelog_row_of(key, value) for key, value in (*removed, *in_kafka)]
        with world.db.transaction():
            table_rows.apply(world.db, [row for row in rows if isinstance(row, ChangelogRow)])
        unread = world.records[offsets.next_of(world.db, TOPIC, "", 0) or 0 :]
        stage_batch(world.db, TOPIC, "", unread, as_text(world.time.machine()), world.app.hash_key)
        world.carry_out_requests()

    def rekey(self) -> None:
        """Changes the secret key; the one before stays in force beside it."""
        world, before = self._world, self._world.app
        keys = {"secret_key": SecretStr(OTHER_SECRET), "previous_secret_key": before.config.secret_key}
        app = WiredApp(before.config.model_copy(update=keys), world.time.machine)
        world.app = app.wired(world.wire, before.__dict__["chance"], before.__dict__["seconds"])
        app.__dict__["changelog"] = world.topic
        api_keys.rekey(world.db, world.topic, before.secret, app.secret.alone)
        change = Rekeying(*app.secret.names, as_text(world.time.machine()))
        world.topic.commit(world.db, lambda: Changed(None, rekeying.begin(world.db, change)))

    def take_key_back(self) -> None:
        """Has Mailchimp know the account's API key no more."""
        self._history.actors.say("UPHEAVAL the API key is taken back")
        self._world.standin.revoke(KEYS[self._world.key])
        self._world.is_revoked = True

    def give_key_back(self) -> None:
        """Has Mailchimp know the API key again, and the account's owner enter it."""
        self._history.actors.say("UPHEAVAL the API key is given back, and entered again")
        self._world.standin.add_key(KEYS[self._world.key], "owner")
        self._world.is_revoked = False
        self._world.connect()

    def require_a_field(self) -> None:
        """Has Mailchimp refuse members of a stored list without a value in one more field, unless it is not to look."""
        actors = self._history.actors
        list_id = self._chance.choice(actors.stored)
        if actors.is_there(list_id):
            actors.say(f"UPHEAVAL {list_id} gets a field that must be filled")
            field = {"name": "Size", "type": "text", "tag": "SIZE", "required": True}
            self._world.standin.add_merge_field(list_id, field)
