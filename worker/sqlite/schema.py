"""The tables of the staging database and their migrations, each applied once and in order.

All times are text, ISO 8601 in UTC. ``address`` is an address key: stripped and lowercased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.sqlite.migrations import Migrations
from worker.sqlite.schema_parts import (
    BARE,
    BEGUN_UPDATE,
    ERASURE,
    ERASURE_REQUEST,
    MEMBER_READING,
    ORDER,
    RUNS,
    STATISTICS,
    TAKEN_PARTITION,
    UNOWNED_PARTITION,
)

if TYPE_CHECKING:
    from sqlite_utils import Database

migrations = Migrations("staging")


@migrations(name="0001_first")
def _first(db: Database) -> None:
    for statement in (*_CUSTOMERS, *_SETTINGS, *_LEDGER, *RUNS):
        db.execute(statement)


@migrations(name="0002_kept_in_kafka")
def _kept(db: Database) -> None:
    # What a customer's last settled event was, and how often its account wanted all of them looked at again.
    db.execute("ALTER TABLE standing ADD COLUMN settled TEXT")
    db.execute("ALTER TABLE account ADD COLUMN resyncs INTEGER NOT NULL DEFAULT 0")


@migrations(name="0003_identity")
def _identity(db: Database) -> None:
    # Which contact a member is, as Mailchimp says; when it last said so; a write whose answer is not known, as JSON.
    for column in ("contact_id", "seen_at", "intent"):
        db.execute(f"ALTER TABLE ledger ADD COLUMN {column} TEXT")


@migrations(name="0004_upkeep")
def _grown_tables(db: Database) -> None:
    for statement in _GROWN_TABLES:
        db.execute(statement)


@migrations(name="0005_consent")
def _consent(db: Database) -> None:
    db.execute("ALTER TABLE standing ADD COLUMN waits_for TEXT")  # the customer whose opt-out keeps this one out
    db.execute("CREATE INDEX standing_waits ON standing (account_id, waits_for) WHERE waits_for IS NOT NULL")
    db.execute("ALTER TABLE ledger ADD COLUMN names_agreed INTEGER")  # of a found member, with its customer's names
    db.execute("ALTER TABLE ledger ADD COLUMN customer_since TEXT")  # when customer_id became what it is
    db.execute("ALTER TABLE list ADD COLUMN departures_read_at TEXT")  # Mailchimp's time of the last whole reading
    for statement in _CONSENT:
        db.execute(statement)


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


@migrations(name="0006_order")
def _order(db: Database) -> None:
    for statement in ORDER:
        db.execute(statement)


@migrations(name="0007_changelog")
def _changelog(db: Database) -> None:
    # Fields of a row in Kafka that this release does not know, as JSON: kept for the later release that wrote them.
    for table in ("ledger", "standing", "forgotten", "account", "list"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN other_fields TEXT")
    # Whose ledger or settings a dead letter belongs to: nothing is delivered for that account meanwhile.
    db.execute("ALTER TABLE dead_letter ADD COLUMN account_id TEXT")
    db.execute("CREATE INDEX dead_letter_account ON dead_letter (account_id) WHERE account_id IS NOT NULL")
    db.execute(_CHANGELOG_TOPIC)


@migrations(name="0008_forgotten")
def _forgotten(db: Database) -> None:
    # Of a customer, how far its log was read when it was erased, and its highest version, as JSON.
    db.execute("ALTER TABLE forgotten ADD COLUMN position TEXT")


@migrations(name="0009_departure_reading")
def _departure_reading(db: Database) -> None:
    db.execute("""
    CREATE TABLE departure_reading (  -- how far the reading is of who left a list; no row: none is under way
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        began_at TEXT,                -- Mailchimp's time of the first page; NULL where it told none
        status TEXT NOT NULL,         -- which members are being read
        since TEXT,                   -- those changed since; NULL: from the first one on
        PRIMARY KEY (account_id, list_id)
    ) WITHOUT ROWID
    """)


@migrations(name="0010_statistics")
def _statistics(db: Database) -> None:
    # Without them SQLite takes it that an account has ten rows, and reads all of them where another index has the row.
    # Written by hand, so that plans do not depend on when ANALYZE was run: https://sqlite.org/fileformat2.html#stat1tab
    db.execute("ANALYZE sqlite_schema")
    db.execute("DELETE FROM sqlite_stat1")
    for table, index, counts in STATISTICS:
        db.execute("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?,?,?)", (table, index, counts))
    db.execute("ANALYZE sqlite_schema")


@migrations(name="0011_erasure")
def _erasure(db: Database) -> None:
    for statement in ERASURE:
        db.execute(statement)


@migrations(name="0012_left_out")
def _left_out(db: Database) -> None:
    # Fields that an account's part of a run did not send, by list and reason.
    db.execute("ALTER TABLE flush_run_account ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]'")  # JSON


@migrations(name="0013_first_delivery")
def _first_delivery(db: Database) -> None:
    # When the account was enabled; list to members that may leave it in the next flush, as JSON.
    for column in ("enabled_at", "confirmed"):
        db.execute(f"ALTER TABLE account ADD COLUMN {column} TEXT")


@migrations(name="0014_erasure_request")
def _erasure_request(db: Database) -> None:
    for statement in ERASURE_REQUEST:
        db.execute(statement)


@migrations(name="0015_outcome")
def _outcome(db: Database) -> None:
    # What is published about the customer, as JSON; NULL: nothing yet.
    db.execute("ALTER TABLE standing ADD COLUMN outcome TEXT")


@migrations(name="0016_account_flush")
def _account_flush(db: Database) -> None:
    # When each account's last flush began that counts as a daily one; earlier releases noted completed_run alone.
    db.execute("ALTER TABLE account_flush ADD COLUMN completed_at TEXT")


@migrations(name="0017_counts")
def _counts(db: Database) -> None:
    # For what status counts: each count reads a narrow index instead of the whole table.
    db.execute("CREATE INDEX customer_without_address ON customer (account_id, address) WHERE address IS NULL")
    db.execute("CREATE INDEX standing_refusal ON standing (account_id) WHERE refusal IS NOT NULL")


@migrations(name="0018_merge_fields")
def _merge_fields(db: Database) -> None:
    # Merge tag to the customer's field or attribute that goes there, where the account chose, as JSON.
    db.execute("ALTER TABLE list ADD COLUMN merge_fields TEXT")


@migrations(name="0019_member_tags")
def _member_tags(db: Database) -> None:
    # The customer's tags that the member has, to how they came there, as JSON.
    db.execute("ALTER TABLE ledger ADD COLUMN member_tags TEXT")


@migrations(name="0020_unowned_partition")
def _unowned_partition(db: Database) -> None:
    db.execute(UNOWNED_PARTITION)


@migrations(name="0021_member_reading")
def _member_reading(db: Database) -> None:
    for statement in MEMBER_READING:
        db.execute(statement)


@migrations(name="0022_bare")
def _bare(db: Database) -> None:
    for statement in BARE:
        db.execute(statement)


@migrations(name="0023_begun_update")
def _begun_update(db: Database) -> None:
    db.execute(BEGUN_UPDATE)


@migrations(name="0024_taken_partition")
def _taken_partition(db: Database) -> None:
    db.execute(TAKEN_PARTITION)


_CHANGELOG_TOPIC = """
    CREATE TABLE changelog_topic (    -- what ledger and settings say of each other, as the log itself has it
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
    CREATE TABLE account_partition (  -- where each account's records were read: one partition, when publishers obey
        account_id TEXT NOT NULL, topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        PRIMARY KEY (account_id, topic, topic_id, partition)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE read_count (         -- records that changed nothing, and faults of publishers
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
    CREATE TABLE ledger (             -- what each list is known to hold, because this worker added or found it there
        account_id TEXT NOT NULL, list_id TEXT NOT NULL, address TEXT NOT NULL,
        customer_id TEXT NOT NULL,    -- whose fields the member has
        state TEXT NOT NULL CHECK (state IN ('intended', 'present', 'archived', 'gone')),
        origin TEXT NOT NULL CHECK (origin IN ('added', 'found')),
        member_status TEXT,           -- as Mailchimp last told
        fields TEXT NOT NULL,         -- JSON: merge tag to hash of the value sent
        sent_at TEXT NOT NULL,        -- for 'intended': when the intent was written
        status_before TEXT, last_changed TEXT,   -- of the member, when this worker archived it
        PRIMARY KEY (account_id, list_id, address)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX ledger_address ON ledger (account_id, address)",
    "CREATE INDEX ledger_customer ON ledger (account_id, customer_id)",
    """
    CREATE TABLE standing (           -- where a customer was last settled, and what stands against it
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        list_id TEXT, address TEXT,   -- its place; NULL while it has none
        refusal TEXT,                 -- title of a refusal that is final
        refused_address TEXT,         -- the address it holds for; NULL: for the customer, whatever its address
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
    CREATE TABLE marking (            -- accounts of which customers are still to be marked for the next flush
        account_id TEXT PRIMARY KEY,
        after TEXT NOT NULL           -- the last customer that was
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE account_flush (      -- how each account's last flushes ended
        account_id TEXT PRIMARY KEY,
        done_at TEXT,                 -- when the last one began that went through
        failed_at TEXT,               -- when the last one ended that failed
        failures INTEGER NOT NULL     -- in a row, since the daily flush or one that went through
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE tidied (             -- when rows of a table were last dropped for their age
        what TEXT PRIMARY KEY, at TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)
