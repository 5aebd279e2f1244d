"""Events for the demo, always the same: 2,000 customers on the first day, a few changes, then some new customers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CUSTOMERS = 2000
UNSUBSCRIBED = ("a1b2c3d4e5", "ann.lee@example.com")
"""List and address of a member who leaves between the first two days."""

_CARE_PLAN: dict[str, Any] = {"attributes": {"plan": "Gold"}, "tags": ["care plan"]}
_FIRST = ("Ann", "Bob", "Chloé", "Dmitri", "Eilidh", "Farid", "Grace", "Håkon", "Ines", "Jun")
_LAST = ("Lee", "Smith", "Okafor", "Müller", "García", "Nowak", "Tanaka", "O'Brien")
_LISTS = {
    "leeds-plumbing": ("a1b2c3d4e5", "a1b2c3d4e6", "a1b2c3d4e7"),
    "harbour-books": ("b1b2c3d4e5", "b1b2c3d4e6"),
    "acme-rentals": ("c1b2c3d4e5", "c1b2c3d4e6"),
}


def first_day() -> list[dict[str, Any]]:
    """Returns an event for each customer. Some of them a careless sync would put back or get wrong."""
    events = [_plain(number) for number in range(CUSTOMERS - len(_PARTICULAR))]
    return events + [_event(*arguments) for arguments in _PARTICULAR]


def second_day() -> list[dict[str, Any]]:
    """Returns the events of a few changes."""
    leeds = "leeds-plumbing"
    return [
        _event(leeds, "ann", 2, email="ann.moved@example.com", first_name="Ann", last_name="Lee"),
        _event(leeds, "bob", 2, email="bob@example.com", first_name="Robert", last_name="Hill", **_CARE_PLAN),
        _event(leeds, "cy", 2, email="cy@example.com", first_name="Cy", list_id="a1b2c3d4e6"),
        _event(leeds, "dot", 2, kind="deleted", email="dot@example.com"),
        _event(leeds, "eve", 2, email="eve@example.com", first_name="Eve", marketing_consent=False),
        _event(leeds, "fay", 2, email="fay.new@example.com", first_name="Fay"),
        _event("harbour-books", "new", 1, email="new.reader@example.com", first_name="Neu"),
    ]


def third_day() -> list[dict[str, Any]]:
    """Returns the events of a few new customers, who wait for the next flush."""
    return [_plain(number) for number in range(CUSTOMERS, CUSTOMERS + 30)]


_PARTICULAR: tuple[tuple[Any, ...], ...] = (
    *(
        ("leeds-plumbing", name, 1, {"email": f"{name}@example.com", "first_name": name.title()})
        for name in ("bob", "cy", "dot", "eve", "fay")
    ),
    ("leeds-plumbing", "ann", 1, {"email": UNSUBSCRIBED[1], "first_name": "Ann", "last_name": "Lee"}),
    ("leeds-plumbing", "had-left", 1, {"email": "left@leeds-plumbing.example", "first_name": "Lena"}),
    ("leeds-plumbing", "had-bounced", 1, {"email": "bounced@leeds-plumbing.example", "first_name": "Bo"}),
    ("leeds-plumbing", "had-been-archived", 1, {"email": "archived@leeds-plumbing.example", "first_name": "Ari"}),
    ("leeds-plumbing", "was-there", 1, {"email": "member3@leeds-plumbing.example", "first_name": "Mem"}),
    ("leeds-plumbing", "no-address", 1, {"first_name": "Noah"}),
    ("leeds-plumbing", "typing-error", 1, {"email": "tess@example", "first_name": "Tess"}),
    ("leeds-plumbing", "no-consent", 1, {"email": "cora@example.com", "marketing_consent": False}),
    ("harbour-books", "twin-1", 1, {"email": "twins@example.com", "first_name": "Tim"}),
    ("harbour-books", "twin-2", 1, {"email": "Twins@Example.com", "first_name": "Tom"}),
    ("acme-rentals", "half-address", 1, {"email": "half@example.com", "address": {"line1": "1 High St"}}),
)


def written(path: Path, events: list[dict[str, Any]]) -> Path:
    """Writes events to a file, one JSON object per line, and returns its path."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    return path


def _plain(number: int) -> dict[str, Any]:
    account = tuple(_LISTS)[number % 3]
    lists = _LISTS[account]
    # A third names no list; some of the others name one that the account has not stored.
    list_id = None if number % 9 < 5 else lists[number // 9 % len(lists)]
    first, last = _FIRST[number % len(_FIRST)], _LAST[number // 7 % len(_LAST)]
    return _event(
        account,
        f"cus-{number}",
        1,
        {
            "email": f"customer{number}@example.com",
            "first_name": first,
            "last_name": last,
            "company": f"{last} Ltd" if number % 4 == 0 else None,
            "phone": "+44 113 496 0000" if number % 5 == 0 else None,
            "list_id": list_id,
        },
    )


def _event(
    account: str,
    customer: str,
    version: int,
    fields: dict[str, Any] | None = None,
    *,
    kind: str = "updated",
    **more_fields: Any,
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{account}-{customer}-{version}",
        "source": "/billmywork",
        "type": f"com.billmywork.customer.{kind}",
        "time": "2026-11-22T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "account_id": account,
            "version": version,
            "customer": {"id": customer, **(fields or {}), **more_fields},
        },
    }
