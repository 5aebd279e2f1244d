"""docs/privacy.md names every table and column that there is: none is added without saying how long it stays."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

from worker.sqlite.database import open_database

PAGE = Path(__file__).parents[2] / "docs" / "privacy.md"
OF_SQLITE = ("sqlite_", "_sqlite_")


def test_every_table_and_column_is_on_the_page() -> None:
    """With what it is, for how long, and how it is erased; or among those that hold no personal data."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z_, `]+) \| ([a-z_, ]+) \| [^|]+ \| [^|]+ \| [^|]*\|$", text, re.MULTILINE)
    told = {name: set(columns.split(", ")) for names, columns in rows for name in names.replace("`", "").split(", ")}
    found = re.search(r"hold no personal data: ([^.]+)\.", text)
    assert found is not None
    harmless = set(found[1].replace("\n", " ").split(", "))
    with closing(open_database(":memory:")) as db:
        tables = {row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        tables = {one for one in tables if not one.startswith(OF_SQLITE)}
        columns = {name: {row["name"] for row in db.execute(f"PRAGMA table_info({name})")} for name in tables}
    assert told.keys() | harmless == tables
    assert not told.keys() & harmless
    for name, named in told.items():
        assert columns[name] <= named, name


def test_no_other_column_is_named_for_a_person() -> None:
    """What holds an address or a customer's id is not among the tables without personal data."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"hold no personal data: ([^.]+)\.", text)
    assert found is not None
    with closing(open_database(":memory:")) as db:
        for name in found[1].replace("\n", " ").split(", "):
            columns = {row["name"] for row in db.execute(f"PRAGMA table_info({name})")}
            assert not columns & {"address", "refused_address", "customer_id", "email", "state_json", "sent"}, name
