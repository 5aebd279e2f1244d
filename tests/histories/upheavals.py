"""What happens between the days of a history, and seldom: to the worker's database and keys, and to Mailchimp's lists.

Another worker takes over with an empty database, or an old copy of the database comes back: both have what Kafka has,
the ledger, the settings and the events. The secret key changes. Mailchimp's owner takes the API key back, and gives the
account another one days later. A list gets a field that must be filled. Mailchimp says "too many requests" for long. A
list is gone for some days and comes back, and people leave it before a flush sees that.
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
from worker.sqlite.rows import Changed
from worker.store import offsets, rekeying
from worker.store.rekeying import Rekeying

if TYPE_CHECKING:
    from tests.histories.history import History
    from worker.sandbox.mailing_list import MailingList

OTHER_SECRET = "OTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTBmZWRjYmE="
"""The secret key after a change."""


class Upheavals:
    """Lets them happen, by a chance of its own: a history without them is the one that it always was."""

    def __init__(self, history: History, chance: random.Random, list_chance: random.Random) -> None:
        """Nothing happened yet.

        Args:
            list_chance: of lists that are gone for a while.
        """
        self._history = history
        self._world = history.world
        self._chance = chance
        self._list_chance = list_chance
        self._away: tuple[str, MailingList] | None = None
        self._copy = history.world.folder / "copy.db"
        self._rekeyed = False
        self.too_many = 0
        """Calls that Mailchimp still answers with "too many requests"."""

    def between_days(self) -> None:
        """Lets some of it happen before a flush."""
        chance, world, say = self._chance, self._world, self._history.actors.say
        self.too_many = chance.randint(5, 40) if chance.random() < 0.05 else 0
        # What was under way when a worker died, or lost its partition, is known to its own database alone.
        if not world.cut_short and chance.random() < 0.15:
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
        if self._away is not None and self._list_chance.random() < 0.6:
            self.give_list_back()
        elif self._away is None and self._list_chance.random() < 0.15:
            self.take_list_away()

    def take_list_away(self, list_id: str | None = None) -> None:
        """Has Mailchimp lose a list of the account for a while.

        Args:
            list_id: None for any stored one.
        """
        actors = self._history.actors
        existing = [stored for stored in actors.stored if actors.is_there(stored) and list_id in (None, stored)]
        if existing:
            list_id = self._list_chance.choice(existing)
            actors.say(f"UPHEAVAL {list_id} is gone for a while")
            self._away = list_id, self._world.standin.users["owner"].lists.pop(list_id)

    def give_list_back(self) -> None:
        """Has Mailchimp find the list again, which some people leave at once."""
        if self._away is None:
            return
        actors, (list_id, mailing_list) = self._history.actors, self._away
        self._away = None
        actors.say(f"UPHEAVAL {list_id} is back")
        self._world.standin.users["owner"].lists[list_id] = mailing_list
        for member in self._world.standin.members(list_id):
            if member.status == "subscribed" and self._list_chance.random() < 0.5:
                actors.do(list_id, member.email, "unsubscribe")
        if self._list_chance.random() < 0.5:
            # Its customers are on another list now, and the operator confirms whatever a flush holds.
            actors.empty(list_id)
            self._history.flush()
            self._history.flush(confirmed=True)

    def take_over(self, *, from_copy: bool) -> None:
        """Goes on with an empty database, or an old copy, and what Kafka has: ledger, settings and events."""
        world = self._world
        in_kafka = [(key_of(row), value_of(row, erase=False)) for row in table_rows.all_rows(world.db)]
        world.replace_by(self._copy if from_copy else None)
        self._history.facts.hashes_are_lost()
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
        self._history.facts.hashes_are_lost()
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
