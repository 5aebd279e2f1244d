"""One history: some days of events, acts and faults by chance, each with a flush; then all is quiet and judged."""

from __future__ import annotations

import random
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.histories.actors import Actors
from tests.histories.facts import ON_LIST, Facts
from tests.histories.movers import Movers
from tests.histories.oracle import Oracle
from tests.histories.people import Record
from tests.histories.rest import judge_rest
from tests.histories.surprises import Surprises
from tests.histories.telling import judge_receipts
from tests.histories.upheavals import Upheavals
from tests.histories.wire import FAULTS, Exchange
from tests.histories.world import World
from worker.mailchimp.calls import Call
from worker.store.receipts import Receipt
from worker.store.runs import AccountRun

NOT_PLACED = (
    "later", "held", "withheld", "left", "left alone", "list gone", "deleted", "account stopped", "list paused",
    "refused", "suppressed",
)  # fmt: skip
"""Outcomes of receipts that tell of a place where the customer was not put."""
SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@dataclass(frozen=True)
class Theme:
    """How wild a history is; each is the chance by call, or by day where it says so."""

    faults: float
    outage: float
    manual_actions: float
    settings: float
    events: float
    deaths: float
    skew: float
    days: int

    @classmethod
    def by(cls, chance: random.Random) -> Theme:
        """Returns one by chance: calm in most ways, so that what goes wrong is seen for itself."""
        return cls(
            faults=chance.choice((0.0, 0.0, 0.05, 0.2)),
            outage=chance.choice((0.0, 0.0, 0.3)),
            manual_actions=chance.choice((0.0, 0.05, 0.2)),
            settings=chance.choice((0.0, 0.0, 0.03)),
            events=chance.choice((0.0, 0.0, 0.05)),
            deaths=chance.choice((0.0, 0.0, 0.04)),
            skew=chance.choice((0.0, 0.0, 300.0)),
            days=chance.randint(2, 8),
        )


CALM = Theme(faults=0, outage=0, manual_actions=0, settings=0, events=0, deaths=0, skew=0, days=0)


class History:
    """A history and everything that is known of it."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        calm: bool = False,
        tags: bool = False,
        upheavals: bool = False,
        forms: bool = False,
        surprises: bool = False,
        movers: bool = False,
    ) -> None:
        """Prepares it; nothing depends on anything but the seed and the worker.

        Args:
            folder: for the database.
            seed: of all chance.
            calm: whether nothing happens by chance.
            tags: whether events have attributes and tags. Without them a seed makes the history that it always made.
            forms: whether people are deleted for good, and the forms of lists are filled in for those who left.
            upheavals: whether databases, keys and lists change between days; see :mod:`tests.histories.upheavals`.
            surprises: whether what is seldom happens in flushes; see :mod:`tests.histories.surprises`.
            movers: whether people leave under another address than they joined by; see :mod:`tests.histories.movers`.
        """
        self.chance = random.Random(seed)
        self.theme = CALM if calm else Theme.by(self.chance)
        self.facts = Facts()
        self.oracle = Oracle(self.facts)
        self.world = World(
            folder,
            random.Random(seed + 1),
            patience=self.chance.choice((0, 60, 60)),
            bulk_add_above=self.chance.choice((1000, 1000, 1)),
            double=self.chance.random() < 0.25,
            secret=SECRET,
            tags=tags,
        )
        tag_chance = random.Random(seed + 2) if tags else None
        form_chance = random.Random(seed + 5) if forms else None
        self.actors = Actors(self.world, self.facts, self.oracle, self.chance, tag_chance, form_chance)
        self.upheavals = Upheavals(self, random.Random(seed + 3), random.Random(seed + 4)) if upheavals else None
        self.surprises = Surprises(self, random.Random(seed + 6)) if surprises else None
        self.movers = Movers(self, random.Random(seed + 7)) if movers else None
        self._crowd = self.chance.randint(9, 30) if self.chance.random() < 0.1 else 0
        self._outage = 0
        self._exchanges: list[Exchange] = []

    def run(self) -> list[str]:
        """Runs it and returns what must never happen and did; an error of the worker is one of that."""
        try:
            return self._run()
        except Exception as error:
            return [f"{type(error).__name__}: {error}", traceback.format_exc()]

    def _run(self) -> list[str]:
        with self.world:
            self.listen()
            self.actors.crowd(self._crowd)
            for _ in range(self.theme.days):
                self._day()
                if self.oracle.broken:
                    return self.oracle.broken
            self.quiet()
            return self.oracle.broken

    def listen(self) -> None:
        """Lets everything that can happen on the wire happen, and be noted."""
        wire = self.world.wire
        wire.before, wire.fault, wire.exchanged, wire.after = self._before, self._fault, self._exchanged, self._after
        self.world.meanwhile = self._meanwhile

    def _day(self) -> None:
        chance, actors = self.chance, self.actors
        for _ in range(chance.randint(1, 5)):
            self.world.time.forward(minutes=chance.randint(1, 200))
            kind = chance.random()
            if kind < 0.62:
                actors.publish()
            elif kind < 0.92 or not self.theme.settings:
                actors.by_hand()
            else:
                actors.settle()
        if self.theme.settings and chance.random() < 0.15:
            actors.replace_list()
        if not actors.enabled and chance.random() < 0.5:
            actors.say("SETTING enabled")
            self.world.enable()
            actors.enabled = True
        if chance.random() < 0.15:
            self.world.time.forward(days=chance.choice((2, 20, 40)))
        if self.theme.skew:
            self.world.time.skew = chance.uniform(-self.theme.skew, self.theme.skew)
            self.oracle.farthest = self.theme.skew
        self._outage = chance.randint(1, 12) if chance.random() < self.theme.outage else 0
        if chance.random() < 0.3:
            self.world.resume()
        if self.upheavals is not None:
            self.upheavals.between_days()
        if actors.form_chance is not None and actors.form_chance.random() < 0.5:
            actors.delete_or_return(actors.form_chance)
        if self.movers is not None:
            self.movers.between_days()
        self.world.time.forward(hours=12)
        if self.surprises is not None:
            self.surprises.before_flush()
        self.flush(confirmed=chance.random() < 0.1)

    def flush(self, *, confirmed: bool = False) -> None:
        """Flushes, and lets the facts and the oracle know."""
        actors, oracle = self.actors, self.oracle
        actors.say(f"FLUSH{' confirmed' if confirmed else ''}, skew {self.world.time.skew:.0f} s")
        oracle.flush_began = self.facts.flush_began = self.world.time.now
        self.facts.touched_before = set(self.facts.touched)
        oracle.confirmed = confirmed
        oracle.stored = tuple(actors.stored)
        oracle.leaving.clear()
        oracle.off_since = None
        oracle.unstored.clear()
        oracle.old_keys.clear()
        actors.in_flush = self.facts.in_flush = True
        ready = self.world.is_ready()
        part = self.world.flush(confirmed=confirmed)
        actors.in_flush = self.facts.in_flush = False
        if self.surprises is not None:
            self.surprises.flush_ended()
            self.world.cut_short |= self.surprises.cut_short
        cut_short = self.world.cut_short
        ended = "nothing to do" if part is None else f"{part.ended} {part.message or ''}"
        actors.say(f"ENDED {'dead' if self.world.died else ended}")
        if ready and not confirmed and not cut_short and self._was_whole(part):
            existing = [list_id for list_id in oracle.stored if self.actors.is_there(list_id)]
            self.facts.daily_flush_was_whole(existing, oracle.flush_began)
        self.facts.flush_ended(died=cut_short, at=self.world.time.now)
        oracle.off_since = None
        receipts = self._read_receipts()
        if not cut_short:
            since = oracle.flush_began
            oracle.broken += judge_receipts(receipts, self._exchanges, self.facts, self.world.standin, since)
        self._exchanges.clear()

    def _was_whole(self, part: AccountRun | None) -> bool:
        # Nothing went wrong on the wire, and nothing stopped it.
        went_well = part is None or (part.ended == "done" and not part.message)
        return went_well and self.world.is_ready() and not any(exchange.fault for exchange in self._exchanges)

    def _read_receipts(self) -> list[Receipt]:
        receipts = self.world.receipts()
        for receipt in receipts:
            to_whom = f"{receipt.customer_id} {receipt.address} on {receipt.list_id}"
            self.actors.say(f"RECEIPT {to_whom}: {receipt.outcome}. {receipt.detail}")
            record = self.facts.records[receipt.customer_id]
            if receipt.address is not None:
                record.met.setdefault(receipt.address, self.world.time.now)
                self._membership(record, receipt.outcome, receipt.list_id, receipt.address)
        return receipts

    def _membership(self, record: Record, outcome: str, list_id: str | None, address: str) -> None:
        if outcome in NOT_PLACED or list_id is None:
            return
        # One that no answer showed, right before the write, is not known: the customer was properly moved.
        has_left = any(
            departure.spot[1] == address and departure.shown_at is not None for departure in self.facts.departures
        )
        # Who never confirmed is unsubscribed where another is archived; withdrawn consent is a departure.
        if outcome in ("archived", "unsubscribed") and not has_left:
            record.known_by.discard(address)
            record.memberships.discard((list_id, address))
            return
        if outcome not in ("archived", "unsubscribed") and self._status_shown(list_id, address) in ON_LIST:
            record.known_by, record.memberships = set(), set()
        record.known_by.add(address)
        record.memberships.add((list_id, address))

    def _status_shown(self, list_id: str, email: str) -> str | None:
        # As an answer of this flush showed it last: who leaves after that was properly put there before.
        try:
            member = self.world.standin.find_list(list_id).find(email)
        except KeyError:
            return None
        if member is None:
            return None
        last_shown, began = self.facts.contact(member).last_shown, self.oracle.flush_began
        return (
            last_shown[1] if last_shown is not None and began is not None and last_shown[0] >= began else member.status
        )

    def quiet(self) -> None:
        """Lets no more happen, flushes until all is settled, and judges what is so then."""
        self.theme = CALM
        self._outage = 0
        self.world.time.skew = 0.0
        if self.surprises is not None:
            self.surprises.quiet()
        if self.upheavals is not None:
            self.upheavals.too_many = 0
            self.upheavals.give_list_back()
            if self.world.is_revoked:
                self.upheavals.give_key_back()
        self.actors.put_in_order()
        for days in (1, 1, 2, 4, 8):
            self.world.time.forward(days=days)
            self.world.resume()
            self.flush()
            self.flush(confirmed=True)  # what was shown just now
            if self.oracle.broken:
                return
        self.oracle.broken += judge_rest(self)

    # On the wire

    def _before(self, call: Call) -> None:
        if self.actors.in_flush:
            self._meanwhile()

    def _meanwhile(self) -> None:
        chance, theme = self.chance, self.theme
        if theme.manual_actions and chance.random() < theme.manual_actions:
            self.actors.by_hand()
        if theme.events and chance.random() < theme.events:
            self.actors.publish()
        if theme.settings and chance.random() < theme.settings:
            self.actors.settle()
        if theme.deaths and chance.random() < theme.deaths / 2:
            self._die()
        if self.surprises is not None:
            self.surprises.meanwhile()

    def _after(self, call: Call) -> None:
        if self.theme.deaths and self.actors.in_flush and self.chance.random() < self.theme.deaths:
            self._die()

    def _die(self) -> None:
        self.actors.say("DEATH of the worker")
        self.world.die()

    def _fault(self, call: Call) -> str | None:
        if self._outage and self.actors.in_flush:
            self._outage -= 1
            return self.chance.choice(("503 bare", "lost before", "500 after", "503 after", "lost after"))
        if self.upheavals is not None and self.upheavals.too_many and self.actors.in_flush:
            self.upheavals.too_many -= 1
            return "429"
        if self.theme.faults and self.actors.in_flush and self.chance.random() < self.theme.faults:
            return self.chance.choice((*FAULTS, "slow"))
        return self.surprises.fault(call) if self.surprises is not None and self.actors.in_flush else None

    def _exchanged(self, exchange: Exchange) -> None:
        changes = ", ".join(str(change) for change in exchange.changes)
        answer: object = exchange.answer.status or exchange.answer.failure
        if exchange.call.reads_only and exchange.answer.body:
            answer = f"{answer} {exchange.answer.body.get('status', '')}"
        self.actors.say(
            f"CALL {exchange.number} {exchange.call} {dict(exchange.call.body or {})} → {answer}"
            f"{f' ({exchange.fault})' if exchange.fault else ''}{f' did: {changes}' if changes else ''}"
        )
        if self.actors.in_flush:
            self._exchanges.append(exchange)
        self.oracle.judge(exchange)
        self.facts.called(exchange)
