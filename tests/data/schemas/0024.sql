CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'staging','0001_first','2026-11-22 09:00:00.000000+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'staging','0002_kept_in_kafka','2026-11-22 11:00:00.000000+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'staging','0003_identity','2026-11-25 03:40:39.566143+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'staging','0004_upkeep','2026-11-25 03:51:22.091213+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'staging','0005_consent','2026-11-25 09:00:00.000000+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'staging','0006_order','2026-11-25 04:17:31.636337+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'staging','0007_changelog','2026-11-25 04:23:09.974336+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'staging','0008_forgotten','2026-11-25 05:36:55.897203+00:00');
INSERT INTO "_sqlite_migrations" VALUES(9,'staging','0009_departure_reading','2026-11-25 07:57:31.843132+00:00');
INSERT INTO "_sqlite_migrations" VALUES(10,'staging','0010_statistics','2026-11-25 08:42:08.618669+00:00');
INSERT INTO "_sqlite_migrations" VALUES(11,'staging','0011_erasure','2026-11-25 09:02:50.954661+00:00');
INSERT INTO "_sqlite_migrations" VALUES(12,'staging','0012_left_out','2026-11-29 01:38:37.809968+00:00');
INSERT INTO "_sqlite_migrations" VALUES(13,'staging','0013_first_delivery','2026-11-29 02:13:06.805028+00:00');
INSERT INTO "_sqlite_migrations" VALUES(14,'staging','0014_erasure_request','2026-11-29 07:07:56.291181+00:00');
INSERT INTO "_sqlite_migrations" VALUES(15,'staging','0015_outcome','2026-11-29 07:32:20.361318+00:00');
INSERT INTO "_sqlite_migrations" VALUES(16,'staging','0016_account_flush','2026-11-29 08:06:42.770266+00:00');
INSERT INTO "_sqlite_migrations" VALUES(17,'staging','0017_counts','2026-11-29 09:59:34.416305+00:00');
INSERT INTO "_sqlite_migrations" VALUES(18,'staging','0018_merge_fields','2026-11-29 10:36:07.250803+00:00');
INSERT INTO "_sqlite_migrations" VALUES(19,'staging','0019_member_tags','2026-11-29 10:36:12.387128+00:00');
INSERT INTO "_sqlite_migrations" VALUES(20,'staging','0020_unowned_partition','2026-11-29 10:50:06.431485+00:00');
INSERT INTO "_sqlite_migrations" VALUES(21,'staging','0021_member_reading','2026-11-29 11:02:37.775633+00:00');
INSERT INTO "_sqlite_migrations" VALUES(22,'staging','0022_bare','2026-11-29 13:04:26.750063+00:00');
INSERT INTO "_sqlite_migrations" VALUES(23,'staging','0023_begun_update','2026-11-29 14:18:22.674281+00:00');
INSERT INTO "_sqlite_migrations" VALUES(24,'staging','0024_taken_partition','2026-11-29 20:31:05.076601+00:00');
CREATE TABLE account (
        account_id TEXT PRIMARY KEY,
        api_key BLOB, key_hint TEXT,  -- encrypted; its last four characters
        enabled INTEGER NOT NULL DEFAULT 0,
        master_list TEXT,
        status_if_new TEXT NOT NULL DEFAULT 'subscribed' CHECK (status_if_new IN ('subscribed', 'pending')),
        connected_at TEXT, refreshed_at TEXT,
        paused_reason TEXT, paused_at TEXT
    , resyncs INTEGER NOT NULL DEFAULT 0, other_fields TEXT, enabled_at TEXT, confirmed TEXT) WITHOUT ROWID
    ;
INSERT INTO "account" VALUES('acct-1',X'6741414141412D656E63727970746564','0def',1,'lista','subscribed','2026-11-22T10:00:00.000Z','2026-11-22T10:00:00.000Z',NULL,NULL,2,NULL,'2026-11-22T10:00:00.000Z','{"lista": 12}');
INSERT INTO "account" VALUES('acct-2',NULL,NULL,0,NULL,'pending',NULL,NULL,'Mailchimp accepts no call of it: API Key Invalid.','2026-11-22T10:00:00.000Z',0,NULL,NULL,NULL);
CREATE TABLE account_flush (      -- how each account's last flushes ended
        account_id TEXT PRIMARY KEY,
        done_at TEXT,                 -- when the last one began that went through
        failed_at TEXT,               -- when the last one ended that failed
        failures INTEGER NOT NULL     -- in a row, since the daily flush or one that went through
    , completed_at TEXT) WITHOUT ROWID
    ;
INSERT INTO "account_flush" VALUES('acct-1','2026-11-22T10:00:00.000Z',NULL,0,'2026-11-22T10:00:00.000Z');
INSERT INTO "account_flush" VALUES('acct-2','2026-11-21T10:00:00.000Z','2026-11-22T10:15:00.000Z',2,NULL);
CREATE TABLE account_partition (  -- where each account's records were read: one partition, when publishers obey
        account_id TEXT NOT NULL, topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        PRIMARY KEY (account_id, topic, topic_id, partition)
    ) WITHOUT ROWID
    ;
INSERT INTO "account_partition" VALUES('acct-1','billmywork.customers','t0p1cId',0);
INSERT INTO "account_partition" VALUES('acct-2','billmywork.customers','t0p1cId',1);
CREATE TABLE bare_account (       -- where to read an account's customers again once it is connected
        account_id TEXT NOT NULL, topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        first_offset INTEGER,         -- from here on; NULL once that is done, and records of some were gone
        PRIMARY KEY (account_id, topic, topic_id, partition)
    ) WITHOUT ROWID
    ;
INSERT INTO "bare_account" VALUES('acct-1','billmywork.customers','t0p1cId',0,3);
CREATE TABLE begun_update (       -- of the chunk that is being delivered, or was when the process died
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL, list_id TEXT NOT NULL,
        fields TEXT NOT NULL,         -- JSON: merge tags of what is sent
        begun_at TEXT NOT NULL,       -- by this machine's clock
        PRIMARY KEY (account_id, customer_id, list_id)
    ) WITHOUT ROWID
;
INSERT INTO "begun_update" VALUES('acct-1','ann','master','["FNAME"]','2026-11-22T10:00:00.000Z');
CREATE TABLE changelog_topic (    -- what ledger and settings say of each other, as the log itself has it
        about TEXT NOT NULL, partition TEXT NOT NULL,
        note TEXT NOT NULL,           -- JSON
        other_fields TEXT,
        PRIMARY KEY (about, partition)
    ) WITHOUT ROWID
    ;
INSERT INTO "changelog_topic" VALUES('ledger','0','{"topic_id": "l3dg3rId"}',NULL);
CREATE TABLE compared (           -- accounts whose staged customers were compared with the hashes of the erased
        account_id TEXT PRIMARY KEY,
        hashes TEXT NOT NULL          -- which these were: their number, and the time of the newest
    ) WITHOUT ROWID
    ;
INSERT INTO "compared" VALUES('acct-1','1 2026-11-22T10:00:00.000Z');
CREATE TABLE completed_run (      -- the last completed run of each partition
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        completed_at TEXT NOT NULL,
        PRIMARY KEY (topic, topic_id, partition)
    ) WITHOUT ROWID
    ;
INSERT INTO "completed_run" VALUES('billmywork.customers','t0p1cId',0,'2026-11-22T10:00:00.000Z');
CREATE TABLE customer (
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        address TEXT,                 -- key of state.email; NULL without one
        state TEXT,                   -- JSON of the event's data.customer, known fields only; NULL after a null value
        deleted INTEGER NOT NULL,
        version INTEGER,              -- highest seen
        event_id TEXT, event_time TEXT,
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
        staged_at TEXT NOT NULL,
        revision INTEGER NOT NULL, changed INTEGER NOT NULL, bare INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account_id, customer_id)
    ) WITHOUT ROWID
    ;
INSERT INTO "customer" VALUES('acct-1','cus-ann','ann@example.com',X'7B226964223A20226375732D616E6E222C2022656D61696C223A2022416E6E406578616D706C652E636F6D222C202266697273745F6E616D65223A2022416E6E222C20226C6973745F6964223A20226C69737461222C20226D61726B6574696E675F636F6E73656E74223A20747275657D',0,3,'e3','2026-11-22T10:00:00.000Z','billmywork.customers','t0p1cId',0,12,'2026-11-22T10:00:00.000Z',4,1,0);
INSERT INTO "customer" VALUES('acct-1','cus-bob','bob@example.com',X'7B226964223A20226375732D626F62222C2022656D61696C223A2022626F62406578616D706C652E636F6D222C202266697273745F6E616D65223A2022426F62222C20226D61726B6574696E675F636F6E73656E74223A20747275657D',0,1,'e1',NULL,'billmywork.customers','t0p1cId',0,7,'2026-11-22T10:00:00.000Z',1,0,0);
INSERT INTO "customer" VALUES('acct-1','cus-cat',NULL,NULL,1,NULL,NULL,NULL,'billmywork.customers','t0p1cId',0,9,'2026-11-22T10:00:00.000Z',2,1,0);
INSERT INTO "customer" VALUES('acct-2','cus-ann','ann@example.com',X'7B226964223A20226375732D616E6E222C2022656D61696C223A2022616E6E406578616D706C652E636F6D222C20226D61726B6574696E675F636F6E73656E74223A2066616C73657D',0,2,'e9','2026-11-22T10:00:00.000Z','billmywork.customers','t0p1cId',1,3,'2026-11-22T10:00:00.000Z',1,1,0);
CREATE TABLE dead_letter (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
        key BLOB, value BLOB, headers TEXT NOT NULL,   -- headers: JSON list of [name, base64 or null]
        reason TEXT NOT NULL, read_at TEXT NOT NULL, account_id TEXT,
        UNIQUE (topic, topic_id, partition, "offset")
    );
INSERT INTO "dead_letter" VALUES(2,'billmywork.customers','t0p1cId',0,8,X'616363742D312F6375732D78',X'FF206E6F204A534F4E','[["ce_type", "eA=="], ["none", null]]','not JSON','2026-11-22T10:00:00.000Z',NULL);
CREATE TABLE departure_reading (  -- how far the reading is of who left a list; no row: none is under way
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        began_at TEXT,                -- Mailchimp's time of the first page; NULL where it told none
        status TEXT NOT NULL,         -- which members are being read
        since TEXT,                   -- those changed since; NULL: from the first one on
        PRIMARY KEY (account_id, list_id)
    ) WITHOUT ROWID
    ;
INSERT INTO "departure_reading" VALUES('acct-1','listb','2026-11-22T10:00:00.000Z','cleaned',NULL);
CREATE TABLE erasure (            -- of the flush under way: who is erased meanwhile; no rows: there is none
        account_id TEXT PRIMARY KEY,
        number INTEGER NOT NULL,      -- of transactions that erased
        whole INTEGER NOT NULL        -- 1 where the whole account was
    ) WITHOUT ROWID
    ;
INSERT INTO "erasure" VALUES('acct-1',2,0);
CREATE TABLE erasure_done (       -- which of these this database had carried out
        account_id TEXT NOT NULL, digest TEXT NOT NULL, requested_at TEXT NOT NULL,
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID
    ;
INSERT INTO "erasure_done" VALUES('','d1g3st','2026-11-22T10:00:00.000Z');
CREATE TABLE erasure_request (    -- who is to be erased by every worker from its own file
        account_id TEXT NOT NULL,     -- '' for a person, in whatever account
        digest TEXT NOT NULL,         -- of the person's address; '' for a whole account
        requested_at TEXT NOT NULL,
        done_by TEXT NOT NULL,        -- JSON: worker to when it had done so
        other_fields TEXT,
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID
    ;
INSERT INTO "erasure_request" VALUES('','d1g3st','2026-11-22T10:00:00.000Z','{"worker-1":"2026-11-22T10:00:01.000Z"}',NULL);
CREATE TABLE first_reading (      -- of each log from its beginning: who is known, and is not in it, was deleted
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('begun', 'read', 'judged')),
        next_offset INTEGER,          -- of 'read': how far it was read then
        reason TEXT,                  -- of 'read': why nothing can be concluded; NULL where it can
        PRIMARY KEY (topic, topic_id, partition)
    ) WITHOUT ROWID
    ;
INSERT INTO "first_reading" VALUES('billmywork.customers','t0p1cId',0,'read',13,NULL);
CREATE TABLE flush_request (      -- what an operator asked a running daemon to flush
        request INTEGER PRIMARY KEY AUTOINCREMENT,
        requested_at TEXT NOT NULL, account_id TEXT, confirmed INTEGER NOT NULL,
        run INTEGER                   -- the run that took it
    , reads_back INTEGER NOT NULL DEFAULT 0);
INSERT INTO "flush_request" VALUES(1,'2026-11-22T10:00:00.000Z','acct-1',1,2,0);
INSERT INTO "flush_request" VALUES(2,'2026-11-22T10:00:00.000Z',NULL,0,NULL,0);
CREATE TABLE flush_run (
        run INTEGER PRIMARY KEY AUTOINCREMENT,
        started_at TEXT NOT NULL, ended_at TEXT,
        trigger TEXT NOT NULL,        -- daily, command, once
        account_id TEXT,              -- the one account it was for; NULL: all
        ended TEXT                    -- done, stopped, failed; NULL while it runs, or after a crash
    );
INSERT INTO "flush_run" VALUES(1,'2026-11-22T10:00:00.000Z','2026-11-22T10:00:00.000Z','daily',NULL,'done');
INSERT INTO "flush_run" VALUES(2,'2026-11-22T10:00:00.000Z',NULL,'command','acct-1',NULL);
CREATE TABLE flush_run_account (
        run INTEGER NOT NULL, account_id TEXT NOT NULL,
        counts TEXT NOT NULL,         -- JSON: outcome to number of customers
        to_do INTEGER NOT NULL,       -- changed customers when it began
        settled INTEGER NOT NULL, ended TEXT NOT NULL, message TEXT, left_out TEXT NOT NULL DEFAULT '[]',
        PRIMARY KEY (run, account_id)
    ) WITHOUT ROWID
    ;
INSERT INTO "flush_run_account" VALUES(1,'acct-1','{"added": 1, "held": 1}',2,1,'done',NULL,'[{"list_id": "master", "field": "ADDRESS", "reason": "no city", "contacts": 1, "of": 2}]');
CREATE TABLE forgotten (          -- persons who were erased: a keyed hash of account and address, and no more
        account_id TEXT NOT NULL, digest TEXT NOT NULL,
        forgotten_at TEXT NOT NULL,
        has_left INTEGER NOT NULL, other_fields TEXT, position TEXT,    -- 1 where the person had left a list
        PRIMARY KEY (account_id, digest)
    ) WITHOUT ROWID
    ;
INSERT INTO "forgotten" VALUES('acct-1','d1g3st','2026-11-22T10:00:00.000Z',1,NULL,NULL);
INSERT INTO "forgotten" VALUES('acct-1','d1g3st0f1d','2026-11-22T10:00:00.000Z',0,NULL,'{"log": ["billmywork.customers", "t0p1cId", 0, 12], "version": 3}');
CREATE TABLE group_instance (id TEXT NOT NULL);
INSERT INTO "group_instance" VALUES('worker-0123456789abcdef');
CREATE TABLE held_back (          -- what a flush held back and showed, for an operator to confirm
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        what TEXT NOT NULL,           -- departures, moves
        count INTEGER NOT NULL, shown_at TEXT NOT NULL,
        PRIMARY KEY (account_id, list_id, what)
    ) WITHOUT ROWID
    ;
INSERT INTO "held_back" VALUES('acct-1','lista','departures',60,'2026-11-22T10:00:00.000Z');
CREATE TABLE ignored_event (      -- the newest event of a customer that was ignored though it was published later
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        address TEXT, state TEXT, deleted INTEGER NOT NULL, version INTEGER, event_id TEXT, event_time TEXT,
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
        staged_at TEXT NOT NULL,
        PRIMARY KEY (account_id, customer_id)
    ) WITHOUT ROWID
    ;
INSERT INTO "ignored_event" VALUES('acct-1','cus-ann','ann@example.com',X'7B226964223A226375732D616E6E222C22656D61696C223A22616E6E406578616D706C652E636F6D227D',0,2,'e3',NULL,'billmywork.customers','t0p1cId',0,12,'2026-11-22T10:00:00.000Z');
CREATE TABLE ledger (             -- what each list is known to hold, because this worker added or found it there
        account_id TEXT NOT NULL, list_id TEXT NOT NULL, address TEXT NOT NULL,
        customer_id TEXT NOT NULL,    -- whose fields the member has
        state TEXT NOT NULL CHECK (state IN ('intended', 'present', 'archived', 'gone')),
        origin TEXT NOT NULL CHECK (origin IN ('added', 'found')),
        member_status TEXT,           -- as Mailchimp last told
        fields TEXT NOT NULL,         -- JSON: merge tag to hash of the value sent
        sent_at TEXT NOT NULL,        -- for 'intended': when the intent was written
        status_before TEXT, last_changed TEXT, contact_id TEXT, seen_at TEXT, intent TEXT, names_agreed INTEGER, customer_since TEXT, other_fields TEXT, member_tags TEXT, address_now TEXT,   -- of the member, when this worker archived it
        PRIMARY KEY (account_id, list_id, address)
    ) WITHOUT ROWID
    ;
INSERT INTO "ledger" VALUES('acct-1','lista','ann@example.com','cus-ann','present','added','subscribed','{"FNAME": "0a1b"}','2026-11-22T10:00:00.000Z',NULL,NULL,'c0ntact','2026-11-22T10:00:00.000Z',NULL,NULL,NULL,NULL,'{"vip": "set", "by hand": "there"}',NULL);
INSERT INTO "ledger" VALUES('acct-1','lista','bob@example.com','cus-bob','present','found','unsubscribed','{}','2026-11-22T10:00:00.000Z',NULL,NULL,NULL,NULL,NULL,1,'2026-11-22T10:00:00.000Z','{"later": [1]}',NULL,NULL);
INSERT INTO "ledger" VALUES('acct-1','listb','ann@example.com','cus-ann','intended','added',NULL,'{}','2026-11-22T10:00:00.000Z',NULL,NULL,NULL,NULL,'{"kind": "add", "at": "2026-11-22T10:00:00.000Z"}',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "ledger" VALUES('acct-1','listb','bob@example.com','cus-bob','gone','added',NULL,'{}','2026-11-22T10:00:00.000Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "ledger" VALUES('acct-1','listb','cat@example.com','cus-cat','archived','added','archived','{}','2026-11-22T10:00:00.000Z','subscribed','2026-11-22T10:00:00.000Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE list (
        account_id TEXT NOT NULL, list_id TEXT NOT NULL,
        name TEXT NOT NULL,
        stored INTEGER NOT NULL DEFAULT 0,
        member_count INTEGER NOT NULL DEFAULT 0,
        marketing_permissions INTEGER NOT NULL DEFAULT 0,
        refreshed_at TEXT NOT NULL,
        gone_at TEXT,                 -- when Mailchimp no longer had it
        paused_reason TEXT, paused_at TEXT, departures_read_at TEXT, other_fields TEXT, merge_fields TEXT, members_read_at TEXT,
        PRIMARY KEY (account_id, list_id)
    ) WITHOUT ROWID
    ;
INSERT INTO "list" VALUES('acct-1','lista','List A',1,2,0,'2026-11-22T10:00:00.000Z',NULL,NULL,NULL,'2026-11-22T10:00:00.000Z',NULL,'{"BIRTHDAY": "birthday", "COMPANY": ""}',NULL);
INSERT INTO "list" VALUES('acct-1','listb','List B',1,0,1,'2026-11-22T10:00:00.000Z',NULL,'it refuses everybody: Full','2026-11-22T10:00:00.000Z',NULL,NULL,NULL,NULL);
INSERT INTO "list" VALUES('acct-1','listc','List C',0,5,0,'2026-11-22T10:00:00.000Z','2026-11-22T10:00:00.000Z',NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE marking (            -- accounts of which customers are still to be marked for the next flush
        account_id TEXT PRIMARY KEY,
        after TEXT NOT NULL           -- the last customer that was
    ) WITHOUT ROWID
    ;
INSERT INTO "marking" VALUES('acct-2','cus-ann');
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
    ;
INSERT INTO "member_reading" VALUES('acct-1','listb','2026-11-22T10:00:00.000Z','archived',NULL,1998,3500,2,7,'2026-11-22T10:00:03.000Z');
CREATE TABLE next_offset (
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        next_offset INTEGER NOT NULL, updated_at TEXT NOT NULL,
        PRIMARY KEY (topic, topic_id, partition)
    ) WITHOUT ROWID
    ;
INSERT INTO "next_offset" VALUES('billmywork.customers','t0p1cId',0,13,'2026-11-22T10:00:00.000Z');
INSERT INTO "next_offset" VALUES('billmywork.customers','t0p1cId',1,4,'2026-11-22T10:00:00.000Z');
CREATE TABLE not_staged (         -- customers with a record that is no event, or that could not be understood
        topic TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        PRIMARY KEY (topic, topic_id, partition, account_id, customer_id)
    ) WITHOUT ROWID
    ;
INSERT INTO "not_staged" VALUES('billmywork.customers','t0p1cId',0,'acct-1','cus-x');
CREATE TABLE read_count (         -- records that changed nothing, and faults of publishers
        topic TEXT NOT NULL, partition INTEGER NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (topic, partition, what)
    ) WITHOUT ROWID
    ;
INSERT INTO "read_count" VALUES('billmywork.customers',0,'skipped',2);
INSERT INTO "read_count" VALUES('billmywork.customers',1,'older',1);
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
    );
INSERT INTO "receipt" VALUES(5,1,'2026-11-22T10:00:00.000Z','acct-1','cus-ann','ann@example.com',3,'e2','billmywork.customers',0,11,'lista','its own list','POST /lists/lista','{"email_address": "Ann@example.com"}',200,'{"status": "subscribed"}','added','Added.','Nothing.');
INSERT INTO "receipt" VALUES(6,1,'2026-11-22T10:00:00.000Z','acct-1','cus-bob','bob@example.com',1,NULL,'billmywork.customers',0,7,NULL,NULL,NULL,NULL,NULL,NULL,'held','Held back.','Confirm.');
ANALYZE "sqlite_master";
INSERT INTO "sqlite_stat1" VALUES('customer','customer','1000000 10000 1');
INSERT INTO "sqlite_stat1" VALUES('customer','customer_changed','10000 100 1');
INSERT INTO "sqlite_stat1" VALUES('customer','customer_address','1000000 10000 1');
INSERT INTO "sqlite_stat1" VALUES('ledger','ledger','1000000 10000 5000 1');
INSERT INTO "sqlite_stat1" VALUES('ledger','ledger_address','1000000 10000 1');
INSERT INTO "sqlite_stat1" VALUES('ledger','ledger_customer','1000000 10000 1');
INSERT INTO "sqlite_stat1" VALUES('standing','standing','1000000 10000 1');
INSERT INTO "sqlite_stat1" VALUES('standing','standing_address','1000000 10000 1');
INSERT INTO "sqlite_stat1" VALUES('standing','standing_waits','1000 10 1');
INSERT INTO "sqlite_stat1" VALUES('receipt','receipt_customer','10000000 100000 10');
INSERT INTO "sqlite_stat1" VALUES('receipt','receipt_address','10000000 10');
INSERT INTO "sqlite_stat1" VALUES('receipt','receipt_at','10000000 1000');
INSERT INTO "sqlite_stat1" VALUES('list','list','300 3 1');
INSERT INTO "sqlite_stat1" VALUES('list','list_stored_once','200 1');
INSERT INTO "sqlite_stat1" VALUES('account','account','100 1');
CREATE TABLE standing (           -- where a customer was last settled, and what stands against it
        account_id TEXT NOT NULL, customer_id TEXT NOT NULL,
        list_id TEXT, address TEXT,   -- its place; NULL while it has none
        refusal TEXT,                 -- title of a refusal that is final
        refused_address TEXT,         -- the address it holds for; NULL: for the customer, whatever its address
        attempts INTEGER NOT NULL DEFAULT 0,
        retry_at TEXT, settled TEXT, waits_for TEXT, version INTEGER, deleted INTEGER, other_fields TEXT, outcome TEXT,
        PRIMARY KEY (account_id, customer_id)
    ) WITHOUT ROWID
    ;
INSERT INTO "standing" VALUES('acct-1','cus-ann','lista','ann@example.com',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "standing" VALUES('acct-1','cus-bob','lista','bob@example.com','Member In Compliance State','bob@example.com',2,'2026-11-22T10:00:00.000Z','2 t0p1cId 0 7',NULL,1,0,NULL,'{"version": 1, "event_id": "e-1", "list_id": "lista", "list_reason": "master list", "member_status": "subscribed", "since": "2026-11-22T10:00:00.000Z", "outcome": "added", "reason": "The contact was added to its list.", "next": "Nothing until the customer changes.", "caused_by": "billmywork", "run": 1, "at": "2026-11-22T10:00:00.000Z"}');
INSERT INTO "standing" VALUES('acct-1','cus-cat',NULL,NULL,NULL,NULL,0,NULL,NULL,'cus-ann',NULL,NULL,NULL,NULL);
CREATE TABLE stripping (          -- accounts whose staged customers may have fields though it is not connected
        account_id TEXT PRIMARY KEY
    ) WITHOUT ROWID
    ;
INSERT INTO "stripping" VALUES('acct-1');
INSERT INTO "stripping" VALUES('acct-2');
CREATE TABLE taken_partition (    -- partitions that another worker had before this one, or may have had
        topic TEXT NOT NULL, partition INTEGER NOT NULL,
        since TEXT NOT NULL,          -- from then on only this worker delivered, while it had the partition
        PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID
;
INSERT INTO "taken_partition" VALUES('billmywork.customers',1,'2026-11-22T10:00:00.000Z');
CREATE TABLE tidied (             -- when rows of a table were last dropped for their age
        what TEXT PRIMARY KEY, at TEXT NOT NULL
    ) WITHOUT ROWID
    ;
INSERT INTO "tidied" VALUES('receipts','2026-11-22T10:00:00.000Z');
CREATE TABLE topic_size (         -- partitions of the topic of events and of its ledger, as they were last found
        topic TEXT PRIMARY KEY, topic_id TEXT NOT NULL, partitions INTEGER NOT NULL, ledger INTEGER NOT NULL
    ) WITHOUT ROWID
    ;
INSERT INTO "topic_size" VALUES('billmywork.customers','t0p1cId',6,6);
CREATE TABLE unowned_partition (  -- partitions of which something is here, and that are another worker's
        partition INTEGER PRIMARY KEY,
        since TEXT NOT NULL,
        state INTEGER NOT NULL DEFAULT 0  -- 0 kept · 1 being dropped · 2 back, and its ledger is not read again yet
    ) WITHOUT ROWID
    ;
INSERT INTO "unowned_partition" VALUES(3,'2026-11-22T10:00:00.000Z',0);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX customer_changed ON customer (account_id, customer_id) WHERE changed = 1;
CREATE INDEX customer_address ON customer (account_id, address) WHERE address IS NOT NULL;
CREATE UNIQUE INDEX list_stored_once ON list (list_id) WHERE stored = 1;
CREATE INDEX ledger_address ON ledger (account_id, address);
CREATE INDEX ledger_customer ON ledger (account_id, customer_id);
CREATE INDEX standing_address ON standing (account_id, address) WHERE address IS NOT NULL;
CREATE INDEX receipt_customer ON receipt (account_id, customer_id);
CREATE INDEX receipt_address ON receipt (address);
CREATE INDEX receipt_at ON receipt (at);
CREATE INDEX standing_waits ON standing (account_id, waits_for) WHERE waits_for IS NOT NULL;
CREATE INDEX dead_letter_account ON dead_letter (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX customer_without_address ON customer (account_id, address) WHERE address IS NULL;
CREATE INDEX standing_refusal ON standing (account_id) WHERE refusal IS NOT NULL;
CREATE INDEX ledger_address_now ON ledger (address_now) WHERE address_now IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('dead_letter',2);
INSERT INTO "sqlite_sequence" VALUES('receipt',6);
INSERT INTO "sqlite_sequence" VALUES('flush_run',2);
INSERT INTO "sqlite_sequence" VALUES('flush_request',2);
