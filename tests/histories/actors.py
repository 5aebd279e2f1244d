"""Who acts in a history: people and owners in Mailchimp, the account's owner, the operator. All by chance."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.histories import tags
from tests.histories.facts import ON_LIST, Facts
from tests.histories.oracle import Oracle
from tests.histories.publisher import NAMES, PEOPLE, RECORDS, Publisher
from tests.histories.wire import Spot
from tests.histories.world import KEYS, World


class Actors(Publisher):
    """All of them and billmywork, on one world."""

    def __init__(
        self,
        world: World,
        facts: Facts,
        oracle: Oracle,
        chance: random.Random,
        tag_chance: random.Random | None = None,
        form_chance: random.Random | None = None,
    ) -> None:
        """Nobody acted yet.

        Args:
            tag_chance: of attributes and tags; None for histories without them.
            form_chance: of forms for those who left; None for histories without them.
        """
        super().__init__(world, facts, chance, tag_chance)
        self.form_chance = form_chance
        self.oracle = oracle
        self.known = ["master", "other", "spare"]
        self.stored = ["master", "other"]
        self.enabled = True
        self.in_flush = False
        self.rejoined: set[Spot] = set()
        """Where somebody joined whom Mailchimp had deleted for good, as an answer had shown."""

    # People and owners, in Mailchimp

    def by_hand(self) -> None:
        """Does one act to one member, or somebody joins."""
        if self.tag_chance is not None and self.tag_chance.random() < 0.3:
            self._tag(self.tag_chance)
        if self.form_chance is not None and self.form_chance.random() < 0.5:
            self._fill_in_form(self.form_chance)
        list_id = self.chance.choice(self.stored if self.chance.random() < 0.7 else self.lists)
        if not self.is_there(list_id):
            return
        members = [member for member in self.world.standin.members(list_id) if member.status != "archived"]
        if not members or self.chance.random() < 0.25:
            self._join(list_id)
            return
        member = self.chance.choice(members)
        actions: tuple[str, ...]
        match member.status:
            case "subscribed":
                actions = (
                    "unsubscribe",
                    "unsubscribe",
                    "unsubscribe",
                    "clean",
                    "archive",
                    "archive",
                    "forget",
                    "rename",
                )
            case "pending":
                actions = ("confirm", "archive", "forget")
            case "unsubscribed":
                actions = ("subscribe", "archive", "forget")
            case _:
                actions = ("archive",)
        if self.chance.random() < 0.1:
            self._edit(list_id, member.email)
            return
        action = self.chance.choice(actions)
        value = f"own{self.chance.randint(1, 999)}.{member.email}" if action == "rename" else None
        self.do(list_id, member.email, action, value)

    def _fill_in_form(self, chance: random.Random) -> None:
        # For somebody who left, by herself or by anybody; she confirms it, or nobody does.
        spots = sorted({departure.spot for departure in self.facts.departures if self.is_there(departure.spot[0])})
        if not spots:
            return
        list_id, email = chance.choice(spots)
        member = self.world.standin.find_list(list_id).find(email)
        if member is None or member.status not in ON_LIST:
            self.do(list_id, email, "sign up")
        elif member.status == "pending" and chance.random() < 0.5:
            self.do(list_id, email, "confirm")

    def delete_or_return(self, chance: random.Random) -> None:
        """Deletes a customer's address for good where it belongs, or lets one whom an answer showed as deleted join."""
        states = [record.state for record in self.facts.records.values() if record.state is not None]
        homes = [
            (state["list_id"] if state["list_id"] in self.stored else self.master, state["email"]) for state in states
        ]
        there = [spot for spot in homes if spot[1] is not None and self.is_there(spot[0])]
        departures = [departure for departure in self.facts.departures if departure.shown_at is not None]
        deleted = [
            departure.spot for departure in departures if departure.kind == "deleted" and departure.spot in there
        ]
        if deleted and chance.random() < 0.7:
            self.do(*chance.choice(deleted), "subscribe")
        elif there:
            list_id, email = chance.choice(there)
            if self.world.standin.find_list(list_id).find(email) is None:
                self.do(list_id, email, "subscribe")
            self.do(list_id, email, "forget")

    def _tag(self, chance: random.Random) -> None:
        list_id = chance.choice(self.stored)
        members = self.world.standin.members(list_id) if self.is_there(list_id) else []
        if not members:
            return
        member, name, active = chance.choice(members), chance.choice(tags.BY_HAND), chance.random() < 0.7
        if active == (name.casefold() in {tag.casefold() for tag in member.tags}):
            return
        self.say(f"HAND {member.email} on {list_id} {'gets' if active else 'loses'} the tag {name}")
        self.world.standin.tag(list_id, member.email, name, active=active)
        self.facts.hand_tags.set_by_hand(member, name, self.world.time.now, active=active)
        if member.status not in ON_LIST:
            # It is not as the worker left it any more, should that have taken it off.
            self.facts.tagged_off.add(member.email)

    def _edit(self, list_id: str, email: str) -> None:
        self.say(f"HAND {email} writes another name on {list_id}")
        self.world.standin.edit(list_id, email, "FNAME", "Own")
        member = self.world.standin.find_list(list_id).find(email)
        self.facts.edited.add(id(member))
        if member is not None and member.status == "unsubscribed":
            # It is not as the worker left it any more, should that have taken it off before it was confirmed.
            self.facts.ended_pending.add(email)
        self.facts.actions.append((self.world.time.now, (list_id, email)))

    def _join(self, list_id: str) -> None:
        person = self.chance.choice(sorted({record.person for record in self.facts.records.values()}))
        email = self.chance.choice(PEOPLE[person])
        member = self.world.standin.find_list(list_id).find(email)
        if member is not None and member.status in (*ON_LIST, "cleaned"):
            return
        self.do(list_id, email, self.chance.choice(("subscribe", "subscribe", "sign up")), None)
        if self.chance.random() < 0.5:
            fields = self.world.standin.find_list(list_id).fields
            for tag, value in zip(("FNAME", "LNAME"), NAMES[person], strict=True):
                if tag in fields:
                    self.world.standin.edit(list_id, email, tag, value)

    def do(self, list_id: str, email: str, action: str, value: str | None = None) -> None:
        """Does one act by hand."""
        self.say(f"HAND {email} {action} {value or ''} on {list_id}")
        departures = [departure for departure in self.facts.departures if departure.shown_at is not None]
        deleted = {departure.spot for departure in departures if departure.kind == "deleted"}
        for change in self.world.by_hand(list_id, email, action, value):
            self.facts.by_hand(change, self.world.time.now)
        self.rejoined |= deleted - {departure.spot for departure in self.facts.departures}

    def is_there(self, list_id: str) -> bool:
        """Returns whether Mailchimp has a list."""
        return any(list_id in user.lists for user in self.world.standin.users.values())

    # The account's owner and the operator

    def settle(self) -> None:
        """Changes one setting; what Mailchimp or the rules refuse stays as it is."""
        actions: tuple[Callable[[], None], ...] = (
            self._disable, self._store, self._master, self._new_list, self._new_key, self.world.resync, self._exodus,
        )  # fmt: skip
        if not self.in_flush:
            actions += (self._delete_list, self._forget, self._replay)
        self._as_owner(self.chance.choice(actions))

    def replace_list(self) -> None:
        """Stores a new list in place of a stored one, which may be deleted in Mailchimp before or after."""
        self._as_owner(self._replace_list)

    def _as_owner(self, change: Callable[[], None]) -> None:
        if self.world.is_revoked:
            return  # no setting is changed that Mailchimp is asked about
        self.oracle.on_its_way = self.world.wire.count
        # A call of one command may see another one begin and end.
        commanding, self.oracle.commanding = self.oracle.commanding, True
        change()
        self.oracle.commanding = commanding

    def _disable(self) -> None:
        self.say("SETTING disabled")
        self.world.disable()
        self.enabled = False
        if self.in_flush:
            self.oracle.off_since = self.world.time.now

    def _store(self) -> None:
        chosen = sorted(self.chance.sample(self.known, self.chance.randint(1, len(self.known))))
        chosen = [list_id for list_id in chosen if self.is_there(list_id)]
        if self.master not in chosen and self.is_there(self.master):
            chosen.append(self.master)
        if not chosen:
            return
        self.say(f"SETTING stored {chosen}")
        self.world.store(*chosen)
        if self.in_flush:
            self.oracle.unstored |= set(self.stored) - set(chosen)
            self.oracle.unstored -= set(chosen)
        self.stored = chosen

    def _master(self) -> None:
        list_id = self.chance.choice(self.stored)
        if self.is_there(list_id):
            self.say(f"SETTING master {list_id}")
            self.world.choose_master(list_id)
            self.master = list_id

    def _new_list(self) -> None:
        list_id = f"new{len(self.lists)}"
        self.say(f"SETTING new list {list_id}, stored")
        self.world.standin.create_list("owner", list_id, list_id)
        self.lists.append(list_id)
        if self.in_flush:
            return
        self._refresh()
        self.stored = [*(stored for stored in self.stored if self.is_there(stored)), list_id]
        self.world.store(*self.stored)
        if not self.is_there(self.master):
            self.world.choose_master(list_id)
            self.master = list_id

    def _replace_list(self) -> None:
        old = self.chance.choice(self.stored)
        deleted = self.chance.choice(("never", "before", "after"))
        self.say(f"SETTING {old} is replaced, deleted in Mailchimp: {deleted}")
        if deleted == "before" and self.is_there(old):
            self._delete_in_mailchimp(old)
        self._new_list()
        if self.in_flush:
            return
        existing = [list_id for list_id in self.stored if self.is_there(list_id)]
        remaining = [list_id for list_id in existing if list_id != old]
        if self.master == old:
            self.world.choose_master(remaining[-1])
            self.master = remaining[-1]
        self.stored = remaining
        self.world.store(*remaining)
        if deleted == "after" and self.is_there(old):
            self._delete_in_mailchimp(old)
            self._refresh()

    def _delete_list(self) -> None:
        list_id = self.chance.choice(self.lists)
        if self.is_there(list_id) and self.chance.random() < 0.4:
            self.say(f"HAND list {list_id} is deleted in Mailchimp")
            self._delete_in_mailchimp(list_id)

    def _delete_in_mailchimp(self, list_id: str) -> None:
        self.world.standin.delete_list(list_id)
        self.oracle.deleted.add(list_id)

    def _new_key(self) -> None:
        if self.world.key + 1 < len(KEYS):
            old = KEYS[self.world.key]
            self.world.key += 1
            self.say(f"SETTING new key …{self.world.key}")
            self.world.standin.add_key(KEYS[self.world.key], "owner")
            fault, self.world.wire.fault = self.world.wire.fault, lambda call: None
            self.world.connect()
            self.world.wire.fault = fault
            if self.in_flush:
                self.oracle.old_keys.add(old)

    def _exodus(self) -> None:
        for record in self.facts.records.values():
            if record.name not in RECORDS and record.state is not None and self.chance.random() < 0.8:
                self._delete(record, null=self.chance.random() < 0.5)

    def _replay(self) -> None:
        self.say("OPERATOR reads all events again")
        self.world.replay()

    def _forget(self) -> None:
        self.forget(self.chance.choice(sorted({email for all_ in PEOPLE.values() for email in all_})))

    def forget(self, email: str) -> None:
        """Erases the people with an address."""
        self.say(f"OPERATOR forget {email}")
        self.world.forget(email)
        self.facts.forgets(email, self.world.time.now)

    def _refresh(self) -> None:
        self.world.refresh()
        self.known = [list_id for list_id in self.lists if self.is_there(list_id)]

    def put_in_order(self) -> None:
        """Enables, resumes and gives the account a master list, as its owner does at last."""
        world = self.world
        world.enable()
        world.resume()
        self.enabled = True
        if not any(self.is_there(list_id) for list_id in self.lists):
            self._new_list()
        self._refresh()
        self.stored = [list_id for list_id in self.stored if self.is_there(list_id)] or [
            next(list_id for list_id in self.lists if self.is_there(list_id))
        ]
        world.store(*self.stored)
        if self.master not in self.stored:
            self.master = self.stored[0]
        world.choose_master(self.master)
        self.say(f"QUIET stored {self.stored}, master {self.master}")
