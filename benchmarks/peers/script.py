"""The script that everybody writes first: confluent-kafka, json, and one sqlite-utils upsert per event.

python script.py BOOTSTRAP_SERVERS TOPIC GROUP DATABASE COUNT; prints seconds from the first event, and customers.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Consumer
from sqlite_utils import Database


def main(bootstrap_servers: str, topic: str, group: str, path: str, count: int) -> None:
    """Reads `count` events into a table of customers."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    table = Database(path).table("customer")
    read, began = 0, 0.0
    while read < count:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise SystemExit(str(message.error()))
        began = began or time.monotonic()
        data = json.loads(message.value())["data"]
        customer = data["customer"]
        row = {"account_id": data["account_id"], "customer_id": customer.pop("id"), "version": data["version"]}
        table.upsert(row | customer, pk=("account_id", "customer_id"))
        read += 1
    seconds = time.monotonic() - began
    consumer.close()
    print(json.dumps([seconds, table.count]))


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))
