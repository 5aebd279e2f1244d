"""How many rows SQLite takes tables to have: see the migration 0010_statistics."""

STATISTICS = (  # rows in the index, then rows that have the same first column, the same first two, and so on
    ("customer", "customer", "1000000 10000 1"),
    ("customer", "customer_changed", "10000 100 1"),
    ("customer", "customer_address", "1000000 10000 1"),
    ("ledger", "ledger", "1000000 10000 5000 1"),
    ("ledger", "ledger_address", "1000000 10000 1"),
    ("ledger", "ledger_customer", "1000000 10000 1"),
    ("standing", "standing", "1000000 10000 1"),
    ("standing", "standing_address", "1000000 10000 1"),
    ("standing", "standing_waits", "1000 10 1"),
    ("receipt", "receipt_customer", "10000000 100000 10"),
    ("receipt", "receipt_address", "10000000 10"),
    ("receipt", "receipt_at", "10000000 1000"),
    ("list", "list", "300 3 1"),
    ("list", "list_stored_once", "200 1"),
    ("account", "account", "100 1"),
)
