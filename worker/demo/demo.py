"""The demo: the main job on an embedded broker and a Mailchimp stand-in, explained step by step."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.accounts import api_keys, lists, settings
from worker.accounts.settings_log import Author
from worker.app import App
from worker.clock import utc_now
from worker.config import Config, Kafka, Log, Mailchimp, Staging, Web
from worker.demo.broker import EmbeddedBroker
from worker.demo.customers import UNSUBSCRIBED, first_day, second_day, third_day, written
from worker.demo.serving import daemon_of, links_of, web_config
from worker.jobs.flush import Flushing
from worker.jobs.poller import Poller, read_to_end
from worker.log import configure
from worker.mailchimp.calls import Call, member_hash
from worker.model import AccountId, ListId, address_key
from worker.plan.outcomes import Outcome
from worker.publish import publish
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
OUTCOMES_SHOWN = ("left", "no address", "found", "updated", "refused", "suppressed", "withheld", "shared")


class Calendar:
    """The machine's clock, which can be moved days ahead."""

    def __init__(self) -> None:
        self.days = 0

    def __call__(self) -> datetime:
        """Returns the time."""
        return utc_now() + timedelta(days=self.days)


def run_demo(*, serve: bool) -> None:
    """Runs the demo in a temporary folder.

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
        # Settings can be changed only after those in Kafka were read.
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
            # From here on, the daemon reads. Its port is chosen late, so that no other program takes it meanwhile.
            ends.close()
            serving = App(config.model_copy(update={"web": web_config()}), calendar)
            with suppress(KeyboardInterrupt), daemon_of(serving):
                demo.third_day()
                _serve(serving, server)
            out.print("\nStopped. Nothing is left running.", style="bold")


def _serve(app: App, server: SandboxServer) -> None:
    web, accounts = app.config.web, [AccountId(account.account_id) for account in ACCOUNTS]
    again = "Press Enter for new ones. " if sys.stdin.isatty() else ""
    _print("\nLook at it in a browser. The worker runs, with its pages, until you end the demo.", style="bold")
    _print(f"The operators' page: {web.url}/")
    _print(f"  Sign in with the token {web.token.get_secret_value()} and you may open the accounts' pages too.")
    _print("Settings → Mailchimp, as an account's owner sees it. Each link is good once, for five minutes. " + again)
    _print_links(app, accounts)
    # Before the line below, after which a person may press Ctrl-C at once.
    _print(f"The stand-in answers at {server.base_url.removesuffix(BASE)}/sandbox/lists until you press Ctrl-C.")
    while again and sys.stdin.readline():
        _print_links(app, accounts)
    server.join()


def _print(text: str, style: str | None = None) -> None:
    # Lines are not wrapped, so that URLs can be clicked.
    out.print(Text(text), style=style, soft_wrap=True)


def _print_links(app: App, accounts: Sequence[AccountId]) -> None:
    for account_id, url in links_of(app, accounts):
        _print(f"  {account_id}: {url}")


class _Demo:
    def __init__(self, app: App, standin: StandIn, folder: Path, poller: Poller) -> None:
        self._app, self._standin, self._folder, self._poller = app, standin, folder, poller
        self._published = 0
        self._names = {
            mailing_list.list_id: (account.account_id, mailing_list.name)
            for account in ACCOUNTS
            for mailing_list in account.lists
        }
        published = [event["data"]["customer"].get("email") for event in (*first_day(), *second_day())]
        self._address_of = {member_hash(email): email for email in filter(None, map(address_key, published))}

    # The three days

    def connect(self) -> None:
        _heading("1. Three accounts connect their Mailchimp, refresh and store their lists, and choose a master list")
        with closing(self._app.open_database()) as db:
            for account in ACCOUNTS:
                account_id = AccountId(account.account_id)
                options = {"secret": self._app.secret, "open_sender": self._app.open_client, "at": self._app.clock()}
                author, changelog = Author("command (demo)", self._app.clock()), self._app.changelog
                api_keys.connect(db, changelog, account_id, account.api_key, author=author, **options)  # type: ignore[arg-type]
                settings.change(db, changelog, account_id, settings.with_enabled, author)
                lists.refresh(db, changelog, account_id, **options)  # type: ignore[arg-type]
                stored = [ListId(content.list_id) for content in account.lists if "(old)" not in content.name]
                fields = {"PLAN": "plan"} if account is ACCOUNTS[0] else {}
                for step in (
                    partial(lists.with_stored, list_ids=stored),
                    partial(lists.with_master, list_id=stored[0]),
                    partial(lists.with_fields, list_id=stored[0], chosen=fields),
                ):
                    settings.change(db, changelog, account_id, step, author)
            rows = [
                (
                    saved.account_id,
                    f"…{saved.key_hint}",
                    on_list.name,
                    on_list.member_count,
                    _use(on_list.list_id, saved),
                )
                for saved in accounts.all_accounts(db)
                for on_list in saved.lists
            ]
        _table(("account", "API key", "list in Mailchimp", "members", "use"), rows)

    def first_day(self) -> None:
        _heading("2. Customers' events arrive in Kafka, are staged and flushed")
        before = self._members()
        self._stage("first.jsonl", first_day())
        run = self._flush()
        self._print_outcomes(run)
        _heading("Members by status, before and after")
        after = self._members()
        rows = []
        for list_id, names in self._names.items():
            counts = [f"{before[list_id][status]} → {after[list_id][status]}" for status in STATUSES]
            rows.append((*names, *counts))
        _table(("account", "list", *STATUSES), rows)
        self._print_reasons(run)

    def second_day(self) -> None:
        _heading("3. The second day: a few customers change, and one person leaves a list")
        self._standin.by_hand(*UNSUBSCRIBED, "unsubscribe")
        self._standin.audit.calls.clear()
        self._stage("second.jsonl", second_day())
        planned = self._print_plan()
        self._standin.audit.calls.clear()
        run = self._flush()
        writes = self._standin.audit.writes()
        _heading(f"Only what changed was sent: {len(writes)} calls that write")
        rows = [
            (*self._list_in(write.call.path), _call_name(write.call), self._addresses_in(write.call), write.status)
            for write in writes
        ]
        _table(("account", "list", "call", "for", "answer"), rows)
        self._print_receipts(run, planned, len(writes))
        _heading("Why is ann.moved@example.com not on the list? mailchimp-worker explain shows it:")
        with closing(self._app.open_database()) as db:
            for receipt in receipts.find(db, address=UNSUBSCRIBED[1]):  # type: ignore[arg-type]
                out.print(Text(f"  run {receipt.run}  {receipt.outcome}: {receipt.detail}"))
                out.print(Text(f"         next: {receipt.next}", style="dim"))

    def third_day(self) -> None:
        """Publishes changes that wait for the next flush, so that the pages show some."""
        publish(self._app.config.kafka, written(self._folder / "third.jsonl", third_day()))

    # Their steps

    def _stage(self, name: str, events: list[dict[str, object]]) -> None:
        path = written(self._folder / name, events)
        count = publish(self._app.config.kafka, path)
        self._published += count
        while sum(self._poller.owned_partitions.at_end().values()) < self._published:
            self._poller.check()
            time.sleep(0.05)
        out.print(f"  {count} events published to {self._app.config.kafka.topic}, read and staged")

    def _flush(self) -> Run:
        poller = self._poller
        flusher = self._app.flusher(threading.Event())
        return Flushing(self._app, flusher, poller.owned_partitions, *poller.ids).flush("once")

    def _members(self) -> dict[str, Counter[str]]:
        return {
            list_id: Counter(member.status for member in self._standin.find_list(list_id).members.values())
            for list_id in self._names
        }

    def _list_in(self, path: str) -> tuple[str, str]:
        return self._names[path.split("/")[2]]

    def _addresses_in(self, call: Call) -> str:
        if "/members/" not in call.path:
            return ", ".join(contact["email_address"] for contact in (call.body or {})["members"])
        return self._address_of.get(call.path.split("/")[4], "")

    def _receipts(self, run: Run) -> list[Receipt]:
        with closing(self._app.open_database()) as db:
            return list(receipts.find(db, runs=[run.run]))

    def _print_reasons(self, run: Run) -> None:
        run_receipts = self._receipts(run)
        _heading("Why customers went where they went")
        added = [receipt for receipt in run_receipts if receipt.outcome == Outcome.ADDED]
        reasons = Counter((*self._account_and_list(receipt), receipt.list_reason or "") for receipt in added)
        _table(("account", "list", "because", "customers"), [(*key, count) for key, count in sorted(reasons.items())])
        _heading("What was not simply added, and why")
        self._receipt_table([receipt for receipt in run_receipts if receipt.outcome in OUTCOMES_SHOWN][:12])

    def _print_outcomes(self, run: Run) -> None:
        run_receipts = self._receipts(run)
        counts = Counter((*self._account_and_list(receipt), receipt.outcome) for receipt in run_receipts)
        _table(("account", "list", "outcome", "receipts"), [(*key, count) for key, count in sorted(counts.items())])
        customers = sum(part.to_do for part in run.accounts)
        count = len(run_receipts)
        out.print(f"  {count} receipts for {customers} customers: one for each list that a customer is looked for on")

    def _print_receipts(self, run: Run, planned: int, writes: int) -> None:
        _heading("What became of each")
        run_receipts = self._receipts(run)
        self._receipt_table(run_receipts)
        unwritten = Counter(receipt.outcome for receipt in run_receipts if not _writes(receipt))
        in_words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(unwritten.items()))
        tagged = sum(receipt.outcome == Outcome.TAGGED for receipt in run_receipts)
        count = len(run_receipts)
        out.print(
            f"  {planned} planned + {tagged} who got tags too = {count} receipts = {writes} calls that write + "
            f"{count - writes} for whom a read was enough ({in_words})"
        )

    def _receipt_table(self, shown: Sequence[Receipt]) -> None:
        rows = [
            (*self._account_and_list(receipt), receipt.customer_id, receipt.outcome, receipt.detail)
            for receipt in shown
        ]
        _table(("account", "list", "customer", "outcome", "why"), rows)

    def _account_and_list(self, receipt: Receipt) -> tuple[str, str]:
        return receipt.account_id, self._names[receipt.list_id][1] if receipt.list_id is not None else "none"

    def _print_plan(self) -> int:
        _heading("The plan, before anything is sent (mailchimp-worker flush --plan)")
        rows = []
        with closing(self._app.open_database()) as db:
            for account in accounts.all_accounts(db):
                with self._app.open_client_of(db, account.account_id) as sender:
                    plan = self._app.plan_of(db, account, sender)
                for (list_id, kind), count in plan.summary.counts.items():
                    mailing_list = account.list_of(list_id)
                    rows.append((account.account_id, mailing_list.name if mailing_list else "no list", kind, count))
        _table(("account", "list", "what", "contacts"), sorted(rows))
        planned = sum(count for *_, count in rows)
        out.print(f"  {planned} planned")
        return planned


def _use(list_id: str, account: accounts.AccountSettings) -> str:
    if list_id == account.master_list:
        return "master list"
    return "stored" if any(mailing_list.list_id == list_id for mailing_list in account.stored) else "not stored"


def _call_name(call: Call) -> str:
    return f"{call.method} tags" if call.path.split("?")[0].endswith("/tags") else call.method


def _writes(receipt: Receipt) -> bool:
    return receipt.call is not None and not receipt.call.startswith("GET ")


def _heading(text: str) -> None:
    out.print()
    out.print(Text(text, style="bold"))


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", style=None, header_style="dim")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    out.print(table)
