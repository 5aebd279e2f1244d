"""The one place that wires the parts together, by the operator's config."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from worker.accounts.connecting import key_of
from worker.accounts.secrets import SecretKey, secret_key
from worker.clock import Clock, utc_now
from worker.config import Config
from worker.flushing.flush import Flusher
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.call import Sender
from worker.mailchimp.client import Client
from worker.mailchimp.connections import Connections, Stop
from worker.mailchimp.patience import PatientSender
from worker.model import AccountId
from worker.staging.database import Database, open_database


@dataclass(frozen=True)
class App:
    """Makes what commands and the daemon work with."""

    config: Config
    clock: Clock = utc_now
    connections: Connections = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "connections", Connections(self.config.mailchimp.connections))

    def open_database(self) -> Database:
        """Opens the staging database.

        Raises:
            DatabaseError: it cannot be used.
        """
        return open_database(self.config.staging.path)

    @cached_property
    def secret(self) -> SecretKey:
        """What API keys are encrypted with; made beside the database where none is configured.

        Raises:
            SecretKeyError: it is malformed or cannot be read.
        """
        given = self.config.secret_key
        return secret_key(
            given.get_secret_value() if given is not None else None,
            self.config.secret_key_file,
            self.config.staging.path,
        )

    @contextmanager
    def open_client(self, key: ApiKey) -> Iterator[Sender]:
        """Opens what sends calls with an API key, each once: for commands with a person waiting."""
        with Client(key, self.config.mailchimp.base_url, self.config.mailchimp.timeout) as client:
            yield client

    @contextmanager
    def open_client_of(self, db: Database, account_id: AccountId) -> Iterator[Sender]:
        """Opens what sends calls with an account's API key, each once.

        Raises:
            AccountError: the account has no API key.
            SecretKeyError: its API key cannot be decrypted.
        """
        with self.open_client(key_of(db, account_id, self.secret)) as client:
            yield client

    @contextmanager
    def open_sender(self, db: Database, account_id: AccountId, stop: Stop) -> Iterator[Sender]:
        """Opens what sends an account's calls in a flush: through its key's gate, again while that is worth it.

        Raises:
            AccountError: the account has no API key.
            SecretKeyError: its API key cannot be decrypted.
        """
        key = key_of(db, account_id, self.secret)
        with self.open_client(key) as client:
            yield PatientSender(
                client, self.connections.gate(key), self.config.mailchimp.patience, stop, time.monotonic
            )

    def flusher(self, stop: Stop) -> Flusher:
        """Returns what carries out flushes."""
        return Flusher(
            open_database=self.open_database,
            open_sender=self.open_sender,
            accounts_at_once=self.config.flush.accounts_at_once,
            put_at_most=self.config.flush.put_at_most,
            connections=self.config.mailchimp.connections,
            clock=self.clock,
            stop=stop,
        )
