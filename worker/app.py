"""Creates the parts of the worker from the operator's config.

Modules that call Mailchimp or Kafka are imported where they are used: commands that only read start in half the time.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from worker.accounts.api_keys import key_of
from worker.accounts.hash_key import address_hashes, create_hash_key, departed_of, hash_key
from worker.accounts.secrets import SecretKey, default_file, parsed, secret_key
from worker.clock import Clock, Stop, as_text, utc_now
from worker.config import Config
from worker.flush.schedule import next_flush_time
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.calls import Sender
from worker.mailchimp.data_centres import DataCentres, DataCentreSender
from worker.mailchimp.observed import ObservedSender
from worker.mailchimp.sender import Limiters, RetryingSender
from worker.metrics import Metrics
from worker.model import AccountId
from worker.sqlite.database import Database, open_database
from worker.sqlite.existing import open_existing
from worker.store import waiting
from worker.store.forgotten import Departed
from worker.store.waiting import Waiting

if TYPE_CHECKING:
    from worker.changelog.reader import Reader
    from worker.changelog.signatures import Signatures
    from worker.changelog.signing import Signing
    from worker.changelog.tail import ChangelogTail
    from worker.changelog.writer import ChangelogWriter
    from worker.fields.field_hashes import FieldHashes
    from worker.flush.account_flush import AccountInputs
    from worker.flush.plan_preview import AccountPlan
    from worker.flush.run import Flusher
    from worker.store.accounts import AccountSettings

SELDOM = (50_000, 20)
"""Thresholds of the garbage collector during a flush: new objects before a young collection, and young collections
before an older one. A flush creates few cycles, and the default thresholds cost a tenth of its processor time."""


@dataclass(eq=False)
class App:
    """Creates what commands and the daemon use. Each part is created when it is first used, and stays.

    Attributes:
        previous: the previous secret key, if a person gave it; None for that of the config, if any.
    """

    config: Config
    clock: Clock = utc_now
    previous: SecretKey | None = None

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.limiters = Limiters(self.config.mailchimp.connections)
        self.data_centres = DataCentres()

    @cached_property
    def changelog(self) -> ChangelogWriter:
        """The writer of ledger and settings in Kafka."""
        from worker.changelog.writer import ChangelogWriter

        writer = ChangelogWriter(
            self.config.kafka,
            self.clock,
            lambda: self.signatures,
            self.metrics,
            publishes_outcomes=self.config.outcomes.enabled,
        )
        writer.take_settings = self._take_settings
        return writer

    def open_database(self) -> Database:
        """Opens the staging database. Changes of ledger and settings must be committed by :attr:`changelog`.

        Raises:
            DatabaseError: it cannot be used.
        """
        return open_database(self.config.staging.path)

    def open_existing(self) -> Database:
        """Opens the staging database to read it; does not create it.

        Raises:
            NotFound: there is none.
            DatabaseError: it cannot be used.
        """
        return open_existing(self.config.staging.path)

    def open_reader(self, db: Database) -> Reader:
        """Opens a reader of ledger and settings that writes them with a connection.

        Raises:
            KafkaError: no broker answers, or a topic does not exist, cannot be created, or is not fit for the ledger.
        """
        from worker.changelog.reader import Reader

        return Reader(self.config.kafka, self.changelog.topics, db, self.clock, lambda: self.signatures, self.metrics)

    @cached_property
    def signatures(self) -> Signatures:
        """Signs and checks records of ledger and settings with the secret keys in force.

        Raises:
            SecretKeyError: the secret key is malformed or cannot be read.
        """
        from worker.changelog.signatures import RECORDS, Signatures

        return Signatures(self.secret.derived_by_each(RECORDS))

    def tail(self) -> ChangelogTail:
        """Returns the reader that keeps ledger and settings up to date while a worker runs.

        Raises:
            KafkaError: no broker answers, or a topic does not exist, cannot be created, or is not fit for the ledger.
        """
        from worker.changelog.tail import ChangelogTail

        assert self.changelog.topics  # queried now, so that the start fails without them
        return ChangelogTail(self.open_database, self.open_reader, self.changelog)

    def _take_settings(self) -> None:
        with closing(self.open_database()) as copy, closing(self.open_reader(copy)) as reader:
            reader.check_signed()  # records signed with a wrong key would be rejected everywhere
            self.changelog.take_all_settings(reader.read_settings)

    @cached_property
    def secret(self) -> SecretKey:
        """The key that encrypts API keys; created beside the database if none is configured.

        Raises:
            SecretKeyError: it is malformed or cannot be read.
        """
        config = self.config
        text = config.secret_key.get_secret_value() if config.secret_key is not None else None
        previous = self.previous
        if previous is None and config.previous_secret_key is not None:
            previous = parsed(config.previous_secret_key.get_secret_value(), "WORKER_PREVIOUS_SECRET_KEY")
        return replace(secret_key(text, config.secret_key_file, config.staging.path), previous=previous)

    @property
    def has_secret(self) -> bool:
        """Whether there is such a key already."""
        config = self.config
        configured = config.secret_key is not None or config.secret_key_file is not None
        return configured or default_file(config.staging.path).exists()

    def signing(self, db: Database, progress: Callable[[int], None] = lambda count: None) -> Signing:
        """Returns what signs the existing records of the topics.

        Args:
            progress: called with how many records were written so far.
        """
        from worker.changelog.signing import Signing

        return Signing(self.config.kafka, self.changelog, db, self.signatures, progress)

    @contextmanager
    def open_client(self, key: ApiKey, account_id: AccountId | None = None) -> Iterator[Sender]:
        """Opens a sender with an API key that never retries, for commands that a person waits for."""
        from worker.mailchimp.client import Client

        with Client(key, self.config.mailchimp.base_url, self.config.mailchimp.timeout) as client:
            yield ObservedSender(client, self.metrics, account_id)

    @contextmanager
    def open_client_of(self, db: Database, account_id: AccountId) -> Iterator[Sender]:
        """Opens a sender with an account's API key that never retries.

        Raises:
            AccountError: the account has no API key.
            SecretKeyError: its API key cannot be decrypted.
        """
        with self.open_client(key_of(db, account_id, self.secret), account_id) as client:
            yield client

    @contextmanager
    def open_sender(self, db: Database, account_id: AccountId, stop: Stop) -> Iterator[RetryingSender]:
        """Opens the sender of a flush of an account: with the rate limit of its API key, and with retries.

        Raises:
            AccountError: the account has no API key.
            SecretKeyError: its API key cannot be decrypted.
        """
        key = key_of(db, account_id, self.secret)
        with self.open_client(key, account_id) as client:
            noted = DataCentreSender(client, self.data_centres, key.data_centre)
            yield RetryingSender(noted, self.limiters.limiter(key), self.config.mailchimp.patience, stop)

    def next_flush(self) -> datetime:
        """Returns when the next daily flush is."""
        flush = self.config.flush
        return next_flush_time(self.clock(), flush.time_of_day, flush.zone)

    def waiting(self, db: Database, account_id: AccountId | None = None) -> defaultdict[AccountId, Waiting]:
        """Returns who waits for it, for each account with changed customers, or for one; others have nobody."""
        return waiting.by_account(db, as_text(self.next_flush()), account_id)

    def waiting_of(self, db: Database, account_id: AccountId) -> Waiting:
        """Returns who waits for it in one account."""
        return self.waiting(db, account_id)[account_id]

    def hash_key(self, db: Database) -> bytes | None:
        """Returns the key of the hashes of erased persons; None before it is first needed.

        Raises:
            SecretKeyError: it cannot be decrypted.
        """
        return hash_key(db, self.secret)

    def departed_of(self, db: Database, account_id: AccountId) -> Departed:
        """Returns the hashes of erased persons whom an account may not add again.

        Raises:
            SecretKeyError: somebody was erased, and the key of the hashes cannot be decrypted.
        """
        return departed_of(db, account_id, self.secret)

    def hashes_of(self, account_id: AccountId) -> FieldHashes:
        """Returns what creates and recognises hashes of an account's fields, with the secret keys in force.

        Raises:
            SecretKeyError: the secret key is malformed or cannot be read.
        """
        from worker.fields.field_hashes import HASHES, FieldHashes

        return FieldHashes(account_id, self.secret.derived_by_each(HASHES))

    def plan_of(
        self, db: Database, settings: AccountSettings, sender: Sender, *, confirmed: bool = False
    ) -> AccountPlan:
        """Plans a flush of one account; only reads.

        Args:
            settings: of the account; nothing may be missing.
            confirmed: whether an operator would confirm what the last flush held back.

        Raises:
            SecretKeyError: the key of the hashes cannot be decrypted.
        """
        from worker.flush.plan_preview import plan_account

        inputs = self.account_inputs(db, settings.account_id)
        return plan_account(db, settings, sender, inputs, confirmed=confirmed)

    def account_inputs(self, db: Database, account_id: AccountId) -> AccountInputs:
        """Returns what a flush of an account depends on beside its settings, customers and ledger.

        Raises:
            SecretKeyError: the key of the hashes cannot be decrypted.
        """
        from worker.flush.account_flush import AccountInputs

        return AccountInputs(
            clock=self.clock,
            departed=self.departed_of(db, account_id),
            hashes=self.hashes_of(account_id),
            strangers=address_hashes(db, account_id, self.secret),
            state_if_missing=self.config.mailchimp.state_if_missing,
            bulk_add_above=self.config.flush.bulk_add_above,
        )

    def flush_inputs(self, db: Database, account_id: AccountId) -> AccountInputs:
        """Returns the same for a flush that is carried out. Call it outside of a transaction.

        Raises:
            SecretKeyError: the key of the hashes cannot be decrypted.
        """
        create_hash_key(db, self.changelog, self.secret)
        return self.account_inputs(db, account_id)

    def flusher(self, stop: Stop) -> Flusher:
        """Returns what carries out flushes. Call it once per process."""
        from worker.flush.delivery import DeliveryConfig
        from worker.flush.run import Flusher

        delivery = DeliveryConfig(
            open_database=self.open_database,
            open_sender=self.open_sender,
            inputs_of=self.flush_inputs,
            connections=self.config.mailchimp.connections,
            data_centres=self.data_centres,
            clock=self.clock,
            stop=stop,
            metrics=self.metrics,
        )
        gc.set_threshold(*SELDOM)
        return Flusher(delivery, self.changelog, self.config.flush.accounts_at_once, self.config.flush.spread)
