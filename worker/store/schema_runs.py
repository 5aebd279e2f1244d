"""Tables of flushes and of what was asked for: parts of the schema."""

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
