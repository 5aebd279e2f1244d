"""What is kept of the reading of all members of a list: see :mod:`worker.store.schema`."""

MEMBER_READING = (
    # The address that the person gave a member, of a place that the member is gone from.
    "ALTER TABLE ledger ADD COLUMN address_now TEXT",
    "CREATE INDEX ledger_address_now ON ledger (address_now) WHERE address_now IS NOT NULL",
    # Of a request: 1 where members are read and nothing is delivered.
    "ALTER TABLE flush_request ADD COLUMN reads_back INTEGER NOT NULL DEFAULT 0",
    # Mailchimp's time of the last reading of all members.
    "ALTER TABLE list ADD COLUMN members_read_at TEXT",
    """
    CREATE TABLE member_reading (     -- how far the reading of all members of a list is, or what the last one found
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        began_at TEXT,                -- Mailchimp's time of the first page; NULL where it told none
        status TEXT,                  -- which members are being read; NULL: all were
        since TEXT,                   -- those changed since; NULL: from the first one on
        members INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,  -- read, of how many
        learnt INTEGER NOT NULL DEFAULT 0,   -- places of which the ledger learnt something
        unknown INTEGER NOT NULL DEFAULT 0,  -- members that this worker knows nothing of
        written_at TEXT NOT NULL,     -- by this machine's clock
        PRIMARY KEY (account_id, list_id)
    ) WITHOUT ROWID
    """,
)
