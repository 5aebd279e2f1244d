"""A script with Mailchimp's official client: one call per contact, in a loop or in threads, or 500 contacts per call.

python official.py BASE_URL KEY LIST add|change|batch COUNT THREADS NAME; prints seconds as JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mailchimp_marketing import Client

AT_ONCE = 500
"""Contacts in one call: Mailchimp's limit."""


class Script:
    """Writes contacts to one list. Each thread has its own client, as the library does not promise thread safety."""

    def __init__(self, base_url: str, key: str, list_id: str, name: str) -> None:
        self._base_url, self._key, self._list_id, self._name = base_url, key, list_id, name
        self._own = threading.local()

    @property
    def _client(self) -> Client:
        if not hasattr(self._own, "client"):
            self._own.client = Client({"api_key": self._key, "server": "us1"})
            self._own.client.api_client.host = self._base_url
        return self._own.client

    def _contact(self, number: int) -> dict[str, object]:
        return {"email_address": f"c{number}@example.com", "merge_fields": {"FNAME": self._name}}

    def add(self, number: int) -> None:
        """Adds a contact, or changes an existing one."""
        contact = self._contact(number) | {"status_if_new": "subscribed"}
        self._client.lists.set_list_member(self._list_id, _hash(number), contact)

    def change(self, number: int) -> None:
        """Changes a contact's name."""
        self._client.lists.update_list_member(self._list_id, _hash(number), {"merge_fields": {"FNAME": self._name}})

    def batch(self, number: int) -> None:
        """Adds 500 contacts."""
        first = number * AT_ONCE
        contacts = [self._contact(one) | {"status": "subscribed"} for one in range(first, first + AT_ONCE)]
        self._client.lists.batch_list_members(self._list_id, {"members": contacts, "update_existing": False})


def _hash(number: int) -> str:
    return hashlib.md5(f"c{number}@example.com".encode()).hexdigest()


def main(base_url: str, key: str, list_id: str, what: str, count: int, threads: int, name: str) -> None:
    """Makes `count` calls, and prints how long they took."""
    act = getattr(Script(base_url, key, list_id, name), what)
    began = time.monotonic()
    if threads == 1:
        for number in range(count):
            act(number)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(act, range(count)))
    print(json.dumps(time.monotonic() - began))


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6]), sys.argv[7])
