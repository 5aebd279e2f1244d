"""One of several workers that share ledger and settings: the parts that write and read them."""

from __future__ import annotations

import base64
from contextlib import closing
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from tests.integration.topic import Topic
from worker.accounts import settings
from worker.app import App
from worker.changelog.partition_writer import PartitionWriter
from worker.changelog.writer import ChangelogWriter
from worker.config import Config, Staging
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite.rows import Changed
from worker.store import accounts, ledger
from worker.store.accounts import AccountSettings
from worker.store.ledger import LedgerEntry

ACCOUNT = AccountId("acct-1")
LIST = ListId("master")


class Worker:
    """One worker's parts, with a database of its own."""

    def __init__(self, folder: Path, topic: Topic) -> None:
        folder.mkdir(exist_ok=True)
        secret = SecretStr(base64.b64encode(b"k" * 32).decode())
        self.app = App(Config(kafka=topic.settings(), staging=Staging(path=folder / "worker.db"), secret_key=secret))
        self.db = self.app.open_database()
        self.lost: list[tuple[int, bool]] = []
        self.app.changelog.lost = lambda partition, fenced: self.lost.append((partition, fenced))

    @property
    def changelog(self) -> ChangelogWriter:
        """What writes."""
        return self.app.changelog

    @property
    def partition(self) -> int:
        """The account's partition of the ledger."""
        return self.changelog.ledger_partition(ACCOUNT)

    def take(self) -> None:
        """Takes the account's partition of the ledger and reads it."""
        with closing(self.app.open_database()) as copy, closing(self.app.open_reader(copy)) as reader:
            self.changelog.take(
                self.changelog.topics.ledger, self.partition, lambda: reader.read_ledger(self.partition)
            )

    def writer(self, *, signed: bool) -> PartitionWriter:
        """What writes any records to that partition, with or without a signature."""
        sign = partial(self.app.signatures.headers_of, "ledger") if signed else lambda key, value: []
        return PartitionWriter(self.app.config.kafka, self.changelog.topics.ledger.name, self.partition, sign)

    def write(self, address: str, customer: str = "cus-1") -> None:
        """Writes an entry of the ledger."""
        entry = LedgerEntry(
            MembershipKey(LIST, AddressKey(address)), CustomerId(customer), "present", "added", "2026-11-22T10:00:00Z"
        )
        self.changelog.commit(self.db, lambda: Changed(None, ledger.put_entries(self.db, ACCOUNT, [entry])))

    def ledger(self) -> dict[str, str]:
        """Address to customer, as this worker's database has it."""
        return {row["address"]: row["customer_id"] for row in self.db.execute("SELECT * FROM ledger")}

    def make_account(self) -> None:
        """Gives the account settings."""
        chosen = AccountSettings(ACCOUNT, key_hint="-us1", enabled=True)
        self.changelog.commit(self.db, lambda: Changed(None, accounts.save(self.db, chosen)))

    def settings(self) -> AccountSettings:
        """The account's settings, after reading them."""
        with closing(self.app.open_database()) as copy, closing(self.app.open_reader(copy)) as reader:
            reader.read_settings()
        return settings.load(self.db, ACCOUNT)
