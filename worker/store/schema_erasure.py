"""Tables by which people and accounts are erased, and partitions dropped: parts of the schema."""

from worker.store.settled_state import SETTLED_STATE

ERASURE = (
    """
    CREATE TABLE erasure (            -- of the flush under way: who is erased meanwhile; no rows: there is none
        account_id TEXT PRIMARY KEY,
        number INTEGER NOT NULL,      -- of transactions that erased
        whole INTEGER NOT NULL        -- 1 where the whole account was
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
    CREATE TABLE erasure_request (    -- who is to be erased by every worker from its own file
        account_id TEXT NOT NULL,     -- '' for a person, in whatever account
        digest TEXT NOT NULL,         -- of the person's address; '' for a whole account
        requested_at TEXT NOT NULL,
        done_by TEXT NOT NULL,        -- JSON: worker to when it had done so
        other_fields TEXT,
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE erasure_done (       -- which of these this database had carried out
        account_id TEXT NOT NULL, digest TEXT NOT NULL, requested_at TEXT NOT NULL,
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID
    """,
    # Deletions that earlier releases settled.
    f"UPDATE customer SET state = {SETTLED_STATE} WHERE deleted = 1 AND changed = 0",
)

UNOWNED_PARTITION = """
    CREATE TABLE unowned_partition (  -- partitions of which something is here, and that are another worker's
        partition INTEGER PRIMARY KEY,
        since TEXT NOT NULL,
        state INTEGER NOT NULL DEFAULT 0  -- 0 kept · 1 being dropped · 2 back, and its ledger is not read again yet
    ) WITHOUT ROWID
    """
