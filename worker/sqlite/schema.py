"""The tables of the staging database: its migrations, each applied once and in order.

All times are text, ISO 8601 in UTC. ``address`` is an address key: stripped and lowercased.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.sqlite.schema_parts import (
    BARE,
    BEGUN_UPDATE,
    DEPARTED_STRANGER,
    ERASURE,
    ERASURE_REQUEST,
    MEMBER_READING,
    ORDER,
    RUNS,
    STATISTICS,
    STRANGER_CONTACT,
    TAKEN_PARTITION,
    UNOWNED_PARTITION,
)

_CONSENT = (
    """
    CREATE TABLE held_back (          -- what a flush held back and showed, for an operator to confirm
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        what TEXT NOT NULL,           -- departures, moves
        count INTEGER NOT NULL, shown_at TEXT NOT NULL,
        PRIMARY KEY (account_id, list_id, what)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE forgotten (          -- persons who were erased: a keyed hash of account and address, and no more
        account_id TEXT NOT NULL, digest TEXT NOT NULL, forgotten_at TEXT NOT NULL,
        has_left INTEGER NOT NULL,    -- 1 where the person had left a list
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID
    """,
)

_DEPARTURE_READING = """
    CREATE TABLE departure_reading (  -- how far a list's departures are read; no row: no reading is under way
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        began_at TEXT,                -- Mailchimp's time of the first page; NULL if it gave none
        status TEXT NOT NULL,         -- which members are being read
        since TEXT,                   -- those changed since; NULL: from the first one on
        PRIMARY KEY (account_id, list_id)
    ) WITHOUT ROWID
    """

_CHANGELOG_TOPIC = """
    CREATE TABLE changelog_topic (    -- notes beside ledger and settings, as the topics have them
        about TEXT NOT NULL, partition TEXT NOT NULL,
        note TEXT NOT NULL,           -- JSON
        other_fields TEXT,
        PRIMARY KEY (about, partition)
    ) WITHOUT ROWID
    """

_CUSTOMERS = (
    """
    CREATE TABLE customer (
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        address TEXT,                 -- key of state.email; NULL without one
        state TEXT,                   -- JSON of the event's data.customer, known fields only; NULL after a null value
        deleted INTEGER NOT NULL,
        version INTEGER,              -- highest seen
        event_id TEXT, event_time TEXT,
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
        staged_at TEXT NOT NULL,
        revision INTEGER NOT NULL, changed INTEGER NOT NULL,
        PRIMARY KEY (account_id, customer_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX customer_changed ON customer (account_id, customer_id) WHERE changed = 1",
    "CREATE INDEX customer_address ON customer (account_id, address) WHERE address IS NOT NULL",
    """
    CREATE TABLE next_offset (
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        next_offset INTEGER NOT NULL, updated_at TEXT NOT NULL,
        PRIMARY KEY (topic, topic_id, partition)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE account_partition (  -- the partitions in which each account's records were read; by the contract, one
        account_id TEXT NOT NULL, topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        PRIMARY KEY (account_id, topic, topic_id, partition)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE read_count (         -- records that changed nothing, and publishers' faults
        topic TEXT NOT NULL, partition INTEGER NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (topic, partition, what)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE group_instance (id TEXT NOT NULL)",  # one row: this database's name in the consumer group
    """
    CREATE TABLE dead_letter (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
        key BLOB, value BLOB, headers TEXT NOT NULL,   -- headers: JSON list of [name, base64 or null]
        reason TEXT NOT NULL, read_at TEXT NOT NULL,
        UNIQUE (topic, topic_id, partition, "offset")
    )
    """,
)

_SETTINGS = (
    """
    CREATE TABLE account (
        account_id TEXT PRIMARY KEY,
        api_key BLOB, key_hint TEXT,  -- encrypted; its last four characters
        enabled INTEGER NOT NULL DEFAULT 0,
        master_list TEXT,
        status_if_new TEXT NOT NULL DEFAULT 'subscribed' CHECK (status_if_new IN ('subscribed', 'pending')),
        connected_at TEXT, refreshed_at TEXT,
        paused_reason TEXT, paused_at TEXT
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE list (
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        name TEXT NOT NULL,
        stored INTEGER NOT NULL DEFAULT 0,
        member_count INTEGER NOT NULL DEFAULT 0,
        marketing_permissions INTEGER NOT NULL DEFAULT 0,
        refreshed_at TEXT NOT NULL,
        gone_at TEXT,                 -- when Mailchimp no longer had it
        paused_reason TEXT, paused_at TEXT,
        PRIMARY KEY (account_id, list_id)
    ) WITHOUT ROWID
    """,
    "CREATE UNIQUE INDEX list_stored_once ON list (list_id) WHERE stored = 1",
)

_LEDGER = (
    """
    CREATE TABLE ledger (             -- the members that this worker added to each list or found there
        account_id TEXT NOT NULL, list_id TEXT NOT NULL, address TEXT NOT NULL,
        customer_id TEXT NOT NULL,    -- whose fields the member has
        state TEXT NOT NULL CHECK (state IN ('intended', 'present', 'archived', 'gone')),
        origin TEXT NOT NULL CHECK (origin IN ('added', 'found')),
        member_status TEXT,           -- by Mailchimp's last answer
        fields TEXT NOT NULL,         -- JSON: merge tag to hash of the value sent
        sent_at TEXT NOT NULL,        -- for 'intended': when the intent was written
        status_before TEXT, last_changed TEXT,   -- of the member, when this worker archived it
        PRIMARY KEY (account_id, list_id, address)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX ledger_address ON ledger (account_id, address)",
    "CREATE INDEX ledger_customer ON ledger (account_id, customer_id)",
    """
    CREATE TABLE standing (           -- where a customer was last settled, and what prevents sending it
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        list_id TEXT, address TEXT,   -- its membership; NULL while it has none
        refusal TEXT,                 -- title of a refusal that is final
        refused_address TEXT,         -- the address that is refused; NULL: the customer, whatever its address
        attempts INTEGER NOT NULL DEFAULT 0,
        retry_at TEXT,
        PRIMARY KEY (account_id, customer_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX standing_address ON standing (account_id, address) WHERE address IS NOT NULL",
    """
    CREATE TABLE receipt (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL, at TEXT NOT NULL,
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL, address TEXT,
        revision INTEGER NOT NULL,
        event_id TEXT, topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
        list_id TEXT, list_reason TEXT,
        call TEXT, sent TEXT,         -- NULL where no call was made; sent: JSON of this contact's part
        answer_status INTEGER, answer TEXT,   -- answer: JSON of this contact's part, or why there is none
        outcome TEXT NOT NULL, detail TEXT NOT NULL, next TEXT NOT NULL
    )
    """,
    "CREATE INDEX receipt_customer ON receipt (account_id, customer_id)",
    "CREATE INDEX receipt_address ON receipt (address)",
    "CREATE INDEX receipt_at ON receipt (at)",
)

_GROWN_TABLES = (
    """
    CREATE TABLE marking (            -- accounts with customers that are still to be marked for the next flush
        account_id TEXT PRIMARY KEY,
        after TEXT NOT NULL           -- the last customer that was
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE account_flush (      -- how each account's last flushes ended
        account_id TEXT PRIMARY KEY,
        done_at TEXT,                 -- when the last one that went through began
        failed_at TEXT,               -- when the last one that failed ended
        failures INTEGER NOT NULL     -- in a row, since the daily flush or one that went through
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE tidied (             -- when rows of a table were last dropped for their age
        what TEXT PRIMARY KEY, at TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)

MIGRATIONS: Mapping[str, tuple[str, ...]] = {
    "0001_first": (*_CUSTOMERS, *_SETTINGS, *_LEDGER, *RUNS),
    "0002_kept_in_kafka": (
        # What a customer's last settled event was, and how often its account wanted all of them looked at again.
        "ALTER TABLE standing ADD COLUMN settled TEXT",
        "ALTER TABLE account ADD COLUMN resyncs INTEGER NOT NULL DEFAULT 0",
    ),
    "0003_identity": (
        # Which contact a member is, as Mailchimp says; when it last said so; a write without a known answer, as JSON.
        "ALTER TABLE ledger ADD COLUMN contact_id TEXT",
        "ALTER TABLE ledger ADD COLUMN seen_at TEXT",
        "ALTER TABLE ledger ADD COLUMN intent TEXT",
    ),
    "0004_upkeep": _GROWN_TABLES,
    "0005_consent": (
        "ALTER TABLE standing ADD COLUMN waits_for TEXT",  # the customer whose opt-out keeps this one out
        "CREATE INDEX standing_waits ON standing (account_id, waits_for) WHERE waits_for IS NOT NULL",
        "ALTER TABLE ledger ADD COLUMN names_agreed INTEGER",  # of a found member, with its customer's names
        "ALTER TABLE ledger ADD COLUMN customer_since TEXT",  # when customer_id became what it is
        "ALTER TABLE list ADD COLUMN departures_read_at TEXT",  # Mailchimp's time of the last whole reading
        *_CONSENT,
    ),
    "0006_order": ORDER,
    "0007_changelog": (
        # Fields of a row in Kafka that this release does not know, as JSON: kept for the later release that wrote them.
        *(
            f"ALTER TABLE {table} ADD COLUMN other_fields TEXT"
            for table in ("ledger", "standing", "forgotten", "account", "list")
        ),
        # Whose ledger or settings a dead letter belongs to: nothing is delivered for that account meanwhile.
        "ALTER TABLE dead_letter ADD COLUMN account_id TEXT",
        "CREATE INDEX dead_letter_account ON dead_letter (account_id) WHERE account_id IS NOT NULL",
        _CHANGELOG_TOPIC,
    ),
    # Of a customer, how far its log was read when it was erased, and its highest version, as JSON.
    "0008_forgotten": ("ALTER TABLE forgotten ADD COLUMN position TEXT",),
    "0009_departure_reading": (_DEPARTURE_READING,),
    "0010_statistics": (
        # Without them SQLite assumes that an account has ten rows, and reads all of them although another index has the
        # row. Written by hand, so that plans do not depend on when ANALYZE was run:
        # https://sqlite.org/fileformat2.html#stat1tab
        "ANALYZE sqlite_schema",
        "DELETE FROM sqlite_stat1",
        *(
            f"INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('{table}', '{index}', '{counts}')"
            for table, index, counts in STATISTICS
        ),
        "ANALYZE sqlite_schema",
    ),
    "0011_erasure": ERASURE,
    # Fields that an account's part of a run did not send, by list and reason, as JSON.
    "0012_left_out": ("ALTER TABLE flush_run_account ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]'",),
    "0013_first_delivery": (
        # When the account was enabled; list to members that may leave it in the next flush, as JSON.
        "ALTER TABLE account ADD COLUMN enabled_at TEXT",
        "ALTER TABLE account ADD COLUMN confirmed TEXT",
    ),
    "0014_erasure_request": ERASURE_REQUEST,
    # What is published about the customer, as JSON; NULL: nothing yet.
    "0015_outcome": ("ALTER TABLE standing ADD COLUMN outcome TEXT",),
    # When each account's last flush began that counts as a daily one; earlier releases noted completed_run alone.
    "0016_account_flush": ("ALTER TABLE account_flush ADD COLUMN completed_at TEXT",),
    "0017_counts": (
        # For what status counts: each count reads a narrow index instead of the whole table.
        "CREATE INDEX customer_without_address ON customer (account_id, address) WHERE address IS NULL",
        "CREATE INDEX standing_refusal ON standing (account_id) WHERE refusal IS NOT NULL",
    ),
    # Merge tag to the customer's field or attribute that goes there, where the account chose, as JSON.
    "0018_merge_fields": ("ALTER TABLE list ADD COLUMN merge_fields TEXT",),
    # The customer's tags that the member has, to how they came there, as JSON.
    "0019_member_tags": ("ALTER TABLE ledger ADD COLUMN member_tags TEXT",),
    "0020_unowned_partition": (UNOWNED_PARTITION,),
    "0021_member_reading": MEMBER_READING,
    "0022_bare": BARE,
    "0023_begun_update": (BEGUN_UPDATE,),
    "0024_taken_partition": (TAKEN_PARTITION,),
    "0025_departed_stranger": DEPARTED_STRANGER,
    # Why an error ended the run.
    "0026_run_reason": ("ALTER TABLE flush_run ADD COLUMN reason TEXT",),
    "0027_stranger_contact": STRANGER_CONTACT,
    # Whether its customers were compared with the ledger since: before that, each of them seems to be changed.
    "0028_compared": ("ALTER TABLE taken_partition ADD COLUMN compared INTEGER NOT NULL DEFAULT 1",),
}
"""The statements of each migration, by its name."""
