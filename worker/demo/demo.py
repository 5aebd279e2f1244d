"""The demo: the whole main job on an embedded broker and a Mailchimp stand-in, shown as a person wants to see it."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.accounts import api_keys, chosen_fields, lists, settings
from worker.accounts.settings_log import Author
from worker.app import App
from worker.clock import utc_now
from worker.config import Config, Kafka, Log, Mailchimp, Staging, Web
from worker.consumer.publish import publish
from worker.demo.broker import EmbeddedBroker
from worker.demo.customers import UNSUBSCRIBED, first_day, second_day, third_day, written
from worker.demo.serving import daemon_of, links_of, web_config
from worker.jobs.flush import Flushing
from worker.jobs.poller import Poller, read_to_end
from worker.log import configure
from worker.mailchimp.call import Call, member_hash
from worker.model import AccountId, ListId, address_key
from worker.plan.outcomes import Outcome
from worker.sandbox.content import ACCOUNTS, seed
from worker.sandbox.server import BASE, SandboxServer
from worker.sandbox.server_state import StandIn
from worker.store import accounts, receipts
from worker.store.receipts import Receipt
from worker.store.runs import Run

out = Console(highlight=False)
STATUSES = ("subscribed", "unsubscribed", "cleaned", "archived")
IN_A_BROWSER = "To see it in a browser: mailchimp-worker demo --serve, or make demo ARGS=--serve."
BEFORE = """\
This demo shows the worker's main job from end to end: three accounts, 2,000 customers, two days.
A Kafka broker, a stand-in for Mailchimp and a database that is deleted afterwards all run in this process.
Nothing leaves this machine. It takes about 15 seconds."""
NEXT = """\
Next: mailchimp-worker sandbox runs the stand-in alone, to try every command on it; "Connect your first account" in
README.md shows the commands for a real one. After make demo, a command is .venv/bin/mailchimp-worker."""
TOLD = ("left", "no address", "found", "updated", "refused", "suppressed", "withheld", "shared")


class Calendar:
    """The machine's clock, which can be set days ahead."""

    def __init__(self) -> None:
        self.days = 0

    def __call__(self) -> datetime:
        """Returns the time."""
        return utc_now() + timedelta(days=self.days)


def run_demo(*, serve: bool) -> None:
    """Runs it; nothing is left of it but what it printed.

    Args:
        serve: whether to leave the worker, its pages and the stand-in running until they are stopped.
    """
    began, calendar = time.monotonic(), Calendar()
    out.print(BEFORE, soft_wrap=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailchimp-worker-demo-")))
        standin = StandIn(calendar)
        seed(standin)
        server = stack.enter_context(SandboxServer(standin))
        broker = stack.enter_context(EmbeddedBroker("billmywork.customers"))
        config = Config(
            # With the classic protocol this broker waits three seconds for more members.
            kafka=Kafka(bootstrap_servers=broker.bootstrap_servers, group_protocol="consumer"),
            staging=Staging(path=folder / "worker.db"),
            mailchimp=Mailchimp(base_url=server.base_url, patience=5),
            web=Web(port=0),
            log=Log(level="error"),
        )
        configure(config.log)
        app = App(config, calendar)
        poller = Poller(app)
        ends = stack.enter_context(ExitStack())
        ends.callback(poller.end)
        poller.start()
        # Settings are changed only where those that Kafka has are known.
        read_to_end(poller, threading.Event(), lambda done, total: None)
        demo = _Demo(app, standin, folder, poller)
        demo.connect()
        demo.first_day()
        calendar.days = 1
        demo.second_day()
        took = f"\nDone in {time.monotonic() - began:.0f} seconds."
        out.print(took if serve else f"{took} Nothing is left running.", style="bold")
        out.print(NEXT if serve else f"{NEXT}\n{IN_A_BROWSER}", soft_wrap=True)
        if serve:
            # The daemon reads by itself from here on. Its port is chosen late, so that nobody takes it meanwhile.
            ends.close()
            serving = App(config.model_copy(update={"web": web_config()}), calendar)
            with suppress(KeyboardInterrupt), daemon_of(serving):
                demo.third_day()
                _serve(serving, server)
            out.print("\nStopped. Nothing is left running.", style="bold")


def _serve(app: App, server: SandboxServer) -> None:
    web, accounts = app.config.web, [AccountId(one.account_id) for one in ACCOUNTS]
    again = "Press Enter for new ones. " if sys.stdin.isatty() else ""
    _say("\nLook at it in a browser. The worker runs, with its pages, until you end the demo.", style="bold")
    _say(f"The operators' page: {web.url}/")
    _say(f"  Sign in with the token {web.token.get_secret_value()} and you may open the accounts' pages too.")
    _say("Settings → Mailchimp, as an account's owner sees it. Each link is good once, for five minutes. " + again)
    _say_links(app, accounts)
    # From here on: who reads this line may press it at once.
    _say(f"The stand-in answers at {server.base_url.removesuffix(BASE)}/sandbox/lists until you press Ctrl-C.")
    while again and sys.stdin.readline():
        _say_links(app, accounts)
    server.join()


def _say(text: str, style: str | None = None) -> None:
    # Addresses are not broken into lines, so that one can choose them.
    out.print(Text(text), style=style, soft_wrap=True)


def _say_links(app: App, accounts: Sequence[AccountId]) -> None:
    for account_id, url in links_of(app, accounts):
        _say(f"  {account_id}: {url}")


class _Demo:
    def __init__(self, app: App, standin: StandIn, folder: Path, poller: Poller) -> None:
        self._app = app
        self._poller = poller
        self._published = 0
        self._standin = standin
        self._folder = folder
        self._names = {each.list_id: (one.account_id, each.name) for one in ACCOUNTS for each in one.lists}
        published = [one["data"]["customer"].get("email") for one in (*first_day(), *second_day())]
        self._address_of = {member_hash(one): one for one in filter(None, map(address_key, published))}

    # The three acts

    def connect(self) -> None:
        _head("1. Three accounts connect their Mailchimp, refresh and store their lists, and choose a master list")
        with closing(self._app.open_database()) as db:
            for one in ACCOUNTS:
                account_id = AccountId(one.account_id)
                with_ = {"secret": self._app.secret, "open_sender": self._app.open_client, "at": self._app.clock()}
                author, changelog = Author("command (demo)", self._app.clock()), self._app.changelog
                api_keys.connect(db, changelog, account_id, one.api_key, author=author, **with_)  # type: ignore[arg-type]
                settings.enable(db, changelog, account_id, author=author)
                lists.refresh(db, changelog, account_id, **with_)  # type: ignore[arg-type]
                stored = [each for each in one.lists if "(old)" not in each.name]
                lists.store(db, changelog, account_id, [ListId(each.list_id) for each in stored], author=author)
                master = ListId(stored[0].list_id)
                lists.choose_master(db, changelog, account_id, master, author=author)
                if one is ACCOUNTS[0]:
                    chosen_fields.choose(db, changelog, account_id, master, {"PLAN": "plan"}, author)
            rows = [
                (one.account_id, f"…{one.key_hint}", each.name, each.member_count, _use(each.list_id, one))
                for one in accounts.all_accounts(db)
                for each in one.lists
            ]
        _table(("account", "API key", "list in Mailchimp", "members", "use"), rows)

    def first_day(self) -> None:
        _head("2. Customers' events arrive in Kafka, are staged and flushed")
        before = self._members()
        self._stage("first.jsonl", first_day())
        run = self._flush()
        self._tell_outcomes(run)
        _head("Members by status, before and after")
        after = self._members()
        rows = []
        for list_id, names in self._names.items():
            counts = [f"{before[list_id][status]} → {after[list_id][status]}" for status in STATUSES]
            rows.append((*names, *counts))
        _table(("account", "list", *STATUSES), rows)
        self._tell_why(run)

    def second_day(self) -> None:
        _head("3. The second day: a few customers change, and one person leaves a list")
        self._standin.by_hand(*UNSUBSCRIBED, "unsubscribe")
        self._standin.audit.calls.clear()
        self._stage("second.jsonl", second_day())
        planned = self._tell_plan()
        self._standin.audit.calls.clear()
        run = self._flush()
        writes = self._standin.audit.writes()
        _head(f"Only what changed was sent: {len(writes)} calls that write")
        rows = [(*self._of(one.call.path), _what(one.call), self._whom(one.call), one.status) for one in writes]
        _table(("account", "list", "call", "for", "answer"), rows)
        self._tell_receipts(run, planned, len(writes))
        _head("Why is ann.moved@example.com not on the list? mailchimp-worker explain shows it:")
        with closing(self._app.open_database()) as db:
            for receipt in receipts.find(db, address=UNSUBSCRIBED[1]):  # type: ignore[arg-type]
                out.print(Text(f"  run {receipt.run}  {receipt.outcome}: {receipt.detail}"))
                out.print(Text(f"         next: {receipt.next}", style="dim"))

    def third_day(self) -> None:
        """Publishes what waits for the next flush, so that the pages have something to begin."""
        publish(self._app.config.kafka, written(self._folder / "third.jsonl", third_day()))

    # What they consist of

    def _stage(self, name: str, events: list[dict[str, object]]) -> None:
        path = written(self._folder / name, events)
        count = publish(self._app.config.kafka, path)
        self._published += count
        while not self._poller.owned_partitions.wait_for_records(self._published, 1):
            self._poller.check()
        out.print(f"  {count} events published to {self._app.config.kafka.topic}, read and staged")

    def _flush(self) -> Run:
        poller = self._poller
        flusher = self._app.flusher(threading.Event())
        return Flushing(self._app, flusher, poller.owned_partitions, poller.consumer.topic_id).flush("once")

    def _members(self) -> dict[str, Counter[str]]:
        return {
            list_id: Counter(one.status for one in self._standin.find_list(list_id).members.values())
            for list_id in self._names
        }

    def _of(self, path: str) -> tuple[str, str]:
        return self._names[path.split("/")[2]]

    def _whom(self, call: Call) -> str:
        if "/members/" not in call.path:
            return ", ".join(one["email_address"] for one in (call.body or {})["members"])
        return self._address_of.get(call.path.split("/")[4], "")

    def _receipts(self, run: Run) -> list[Receipt]:
        with closing(self._app.open_database()) as db:
            return list(receipts.find(db, run=run.run))

    def _tell_why(self, run: Run) -> None:
        found = self._receipts(run)
        _head("Why customers went where they went")
        reasons = Counter((*self._where(one), one.list_reason or "") for one in found if one.outcome == "added")
        _table(("account", "list", "because", "customers"), [(*key, count) for key, count in sorted(reasons.items())])
        _head("What was not simply added, and why")
        self._table_of([one for one in found if one.outcome in TOLD][:12])

    def _tell_outcomes(self, run: Run) -> None:
        found = self._receipts(run)
        counts = Counter((*self._where(one), one.outcome) for one in found)
        _table(("account", "list", "outcome", "receipts"), [(*key, count) for key, count in sorted(counts.items())])
        customers = sum(one.to_do for one in run.accounts)
        out.print(
            f"  {len(found)} receipts for {customers} customers: one for each list that a customer is looked for on"
        )

    def _tell_receipts(self, run: Run, planned: int, writes: int) -> None:
        _head("What became of each")
        found = self._receipts(run)
        self._table_of(found)
        unwritten = Counter(one.outcome for one in found if not _writes(one))
        counts_text = ", ".join(f"{count} {outcome}" for outcome, count in sorted(unwritten.items()))
        tagged = sum(one.outcome == Outcome.TAGGED for one in found)
        out.print(
            f"  {planned} planned + {tagged} who got tags too = {len(found)} receipts = {writes} calls that write + "
            f"{len(found) - writes} for whom a read was enough ({counts_text})"
        )

    def _table_of(self, found: Sequence[Receipt]) -> None:
        rows = [(*self._where(one), one.customer_id, one.outcome, one.detail) for one in found]
        _table(("account", "list", "customer", "outcome", "why"), rows)

    def _where(self, one: Receipt) -> tuple[str, str]:
        return one.account_id, self._names[one.list_id][1] if one.list_id is not None else "none"

    def _tell_plan(self) -> int:
        _head("The plan, before anything is sent (mailchimp-worker flush --plan)")
        rows = []
        with closing(self._app.open_database()) as db:
            for one in accounts.all_accounts(db):
                with self._app.open_client_of(db, one.account_id) as sender:
                    plan = self._app.plan_of(db, one, sender)
                for (list_id, kind), count in plan.summary.counts.items():
                    known = one.list_of(list_id)
                    rows.append((one.account_id, known.name if known else "no list", kind, count))
        _table(("account", "list", "what", "contacts"), sorted(rows))
        planned = sum(count for *_, count in rows)
        out.print(f"  {planned} planned")
        return planned


def _use(list_id: str, one: accounts.AccountSettings) -> str:
    if list_id == one.master_list:
        return "master list"
    return "stored" if any(each.list_id == list_id for each in one.stored) else "not stored"


def _what(call: Call) -> str:
    return f"{call.method} tags" if call.path.split("?")[0].endswith("/tags") else call.method


def _writes(one: Receipt) -> bool:
    return one.call is not None and not one.call.startswith("GET ")


def _head(text: str) -> None:
    out.print()
    out.print(Text(text, style="bold"))


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int) for row in rows)
        made.add_column(name, justify="right" if numeric else "left", style=None, header_style="dim")
    for row in rows:
        made.add_row(*(Text(str(value)) for value in row))
    out.print(made)
