"""Tables of flushes, erasures, readings and bare customers; how many rows SQLite takes tables to have."""

RUNS = (
    """
    CREATE TABLE flush_run (
        run INTEGER PRIMARY KEY AUTOINCREMENT,
        started_at TEXT NOT NULL, ended_at TEXT,
        trigger TEXT NOT NULL,        -- daily, command, once
        account_id TEXT,              -- the one account it was for; NULL: all
        ended TEXT                    -- done, stopped, failed; NULL while it runs, or after a crash
    )
    """,
    """
    CREATE TABLE flush_run_account (
        run INTEGER NOT NULL, account_id TEXT NOT NULL,
        counts TEXT NOT NULL,         -- JSON: outcome to number of customers
        to_do INTEGER NOT NULL,       -- changed customers when it began
        settled INTEGER NOT NULL, ended TEXT NOT NULL, message TEXT,
        PRIMARY KEY (run, account_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE completed_run (      -- by earlier releases: the last completed run of each partition
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL, completed_at TEXT NOT NULL,
        PRIMARY KEY (topic, topic_id, partition)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE flush_request (      -- what an operator asked a running daemon to flush
        request INTEGER PRIMARY KEY AUTOINCREMENT,
        requested_at TEXT NOT NULL, account_id TEXT, confirmed INTEGER NOT NULL,
        run INTEGER                   -- the run that took it
    )
    """,
)

ERASURE = (
    """
    CREATE TABLE erasure (            -- erasures during the current flush of an account; no row: it has none
        account_id TEXT PRIMARY KEY,
        number INTEGER NOT NULL,      -- of transactions that erased
        whole INTEGER NOT NULL        -- 1: the whole account was erased
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE compared (           -- accounts whose staged customers were compared with the hashes of the erased
        account_id TEXT PRIMARY KEY,
        hashes TEXT NOT NULL          -- which these were: their number, and the time of the newest
    ) WITHOUT ROWID
    """,
)

ERASURE_REQUEST = (
    """
    CREATE TABLE erasure_request (    -- whom every worker must erase from its own file
        account_id TEXT NOT NULL,     -- '' for a person, in any account
        digest TEXT NOT NULL,         -- of the person's address; '' for a whole account
        requested_at TEXT NOT NULL,
        done_by TEXT NOT NULL,        -- JSON: worker to when it had done so
        other_fields TEXT,
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE erasure_done (       -- those of these requests that this database has carried out
        account_id TEXT NOT NULL, digest TEXT NOT NULL, requested_at TEXT NOT NULL,
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID
    """,
    # Deletions that earlier releases settled.
    """
    UPDATE customer SET state = json_remove(
        CAST(state AS TEXT), '$.first_name', '$.last_name', '$.company', '$.phone', '$.address'
    ) WHERE deleted = 1 AND changed = 0
    """,
)

UNOWNED_PARTITION = """
    CREATE TABLE unowned_partition (  -- partitions of other workers of which this database still has rows
        partition INTEGER PRIMARY KEY,
        since TEXT NOT NULL,
        state INTEGER NOT NULL DEFAULT 0  -- 0 kept · 1 being dropped · 2 back, and its ledger is not read again yet
    ) WITHOUT ROWID
    """

MEMBER_READING = (
    # The address that the person gave a member, of a place that the member is gone from.
    "ALTER TABLE ledger ADD COLUMN address_now TEXT",
    "CREATE INDEX ledger_address_now ON ledger (address_now) WHERE address_now IS NOT NULL",
    # Of a request: 1 where members are read and nothing is delivered.
    "ALTER TABLE flush_request ADD COLUMN reads_back INTEGER NOT NULL DEFAULT 0",
    # Mailchimp's time of the last reading of all members.
    "ALTER TABLE list ADD COLUMN members_read_at TEXT",
    """
    CREATE TABLE member_reading (     -- how far all members of a list are read, or what the last reading found
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        began_at TEXT,                -- Mailchimp's time of the first page; NULL if it gave none
        status TEXT,                  -- which members are being read; NULL: all were
        since TEXT,                   -- those changed since; NULL: from the first one on
        members INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,  -- read, of how many
        learnt INTEGER NOT NULL DEFAULT 0,   -- memberships whose ledger entry changed
        unknown INTEGER NOT NULL DEFAULT 0,  -- members that this worker does not know
        written_at TEXT NOT NULL,     -- by this machine's clock
        PRIMARY KEY (account_id, list_id)
    ) WITHOUT ROWID
    """,
)

DEPARTED_STRANGER = (
    """
    CREATE TABLE departed_list (      -- the lists with hashes of strangers who left
        number INTEGER PRIMARY KEY,
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        hashed_with TEXT NOT NULL,    -- the name of the key of the hashes
        read_at TEXT,                 -- Mailchimp's time up to which they are complete; NULL: not from the beginning
        UNIQUE (account_id, list_id)
    )
    """,
    """
    CREATE TABLE departed_stranger (  -- people who left a list while no customer had their address: keyed hashes
        list INTEGER NOT NULL, digest INTEGER NOT NULL,
        PRIMARY KEY (list, digest)
    ) WITHOUT ROWID
    """,
    # Of a reading under way, whether the hashes are complete once it ends.
    "ALTER TABLE departure_reading ADD COLUMN strangers INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE member_reading ADD COLUMN strangers INTEGER NOT NULL DEFAULT 0",
)

STRANGER_CONTACT = (
    """
    CREATE TABLE stranger_contact (   -- addresses of contacts on a list that the ledger does not have: keyed hashes
        list INTEGER NOT NULL,        -- the number of a departed_list
        contact INTEGER NOT NULL,     -- Mailchimp's contact id
        address INTEGER NOT NULL,     -- one that it had while it was on the list, as departed_stranger hashes it
        PRIMARY KEY (list, contact, address)
    ) WITHOUT ROWID
    """,
    # Mailchimp's time up to which the contacts are complete; NULL: not from the beginning.
    "ALTER TABLE departed_list ADD COLUMN contacts_read_at TEXT",
    # Of a reading under way, whether they are once it ends.
    "ALTER TABLE member_reading ADD COLUMN contacts INTEGER NOT NULL DEFAULT 0",
)

BEGUN_UPDATE = """
    CREATE TABLE begun_update (       -- updates of the chunk that is being delivered, or was when the process died
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL, list_id TEXT NOT NULL,
        fields TEXT NOT NULL,         -- JSON: merge tags of what is sent
        begun_at TEXT NOT NULL,       -- by this machine's clock
        PRIMARY KEY (account_id, customer_id, list_id)
    ) WITHOUT ROWID
"""

TAKEN_PARTITION = """
    CREATE TABLE taken_partition (    -- partitions that another worker had before this one, or may have had
        topic TEXT NOT NULL, partition INTEGER NOT NULL,
        since TEXT NOT NULL,          -- from then on only this worker delivered, while it had the partition
        PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID
"""

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
"""See the migration 0010_statistics."""

BARE = (  # customers that are staged without their fields, because their account is not connected
    # 1 where the fields of the newest event are not here.
    "ALTER TABLE customer ADD COLUMN bare INTEGER NOT NULL DEFAULT 0",
    """
    CREATE TABLE bare_account (       -- where to read an account's customers again once it is connected
        account_id TEXT NOT NULL, topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        first_offset INTEGER,         -- from here on; NULL once that is done, and records of some were gone
        PRIMARY KEY (account_id, topic, topic_id, partition)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE stripping (          -- accounts whose staged customers may have fields though it is not connected
        account_id TEXT PRIMARY KEY
    ) WITHOUT ROWID
    """,
    # All accounts that are staged: each is looked up by the key, for the table may have millions of rows.
    "WITH RECURSIVE one (account_id) AS (SELECT min(account_id) FROM customer UNION ALL "
    "SELECT (SELECT min(account_id) FROM customer WHERE customer.account_id > one.account_id) FROM one "
    "WHERE one.account_id IS NOT NULL) "
    "INSERT INTO stripping SELECT account_id FROM one WHERE account_id IS NOT NULL",
)

ORDER = (
    # The highest version of a customer when it was last settled, and whether that was a deletion: Kafka keeps a null
    # for a while only, and no event of it tells the version then. Both NULL where an earlier release settled it.
    "ALTER TABLE standing ADD COLUMN version INTEGER",
    "ALTER TABLE standing ADD COLUMN deleted INTEGER",
    """
    CREATE TABLE ignored_event (      -- the newest event of a customer that was ignored though it was published later
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        address TEXT, state TEXT, deleted INTEGER NOT NULL, version INTEGER, event_id TEXT, event_time TEXT,
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
        staged_at TEXT NOT NULL,
        PRIMARY KEY (account_id, customer_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE first_reading (      -- of each log from its beginning: who is known, and is not in it, was deleted
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('begun', 'read', 'judged')),
        next_offset INTEGER,          -- of 'read': how far it was read then
        reason TEXT,                  -- of 'read': why nothing can be concluded; NULL where it can
        PRIMARY KEY (topic, topic_id, partition)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE not_staged (         -- customers with a record that is no event, or that could not be understood
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        PRIMARY KEY (topic, topic_id, partition, account_id, customer_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE topic_size (         -- partitions of the topic of events and of its ledger, as they were last found
        topic TEXT PRIMARY KEY, topic_id TEXT NOT NULL, partitions INTEGER NOT NULL, ledger INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)
