-- 0001_first 0d2c42f7f588f23e
INSERT INTO account (account_id, api_key, key_hint, enabled, master_list, status_if_new, connected_at, refreshed_at) VALUES ('acct-1', X'6741414141412D656E63727970746564', '0def', 1, 'lista', 'subscribed', '2026-11-22T10:00:00.000Z', '2026-11-22T10:00:00.000Z');
INSERT INTO account (account_id, enabled, status_if_new, paused_reason, paused_at) VALUES ('acct-2', 0, 'pending', 'Mailchimp accepts no call of it: API Key Invalid.', '2026-11-22T10:00:00.000Z');
INSERT INTO account_partition (account_id, topic, topic_id, partition) VALUES ('acct-1', 'billmywork.customers', 't0p1cId', 0);
INSERT INTO account_partition (account_id, topic, topic_id, partition) VALUES ('acct-2', 'billmywork.customers', 't0p1cId', 1);
INSERT INTO completed_run (topic, topic_id, partition, completed_at) VALUES ('billmywork.customers', 't0p1cId', 0, '2026-11-22T10:00:00.000Z');
INSERT INTO customer (account_id, customer_id, address, state, deleted, version, event_id, event_time, topic, topic_id, partition, "offset", staged_at, revision, changed) VALUES ('acct-1', 'cus-ann', 'ann@example.com', X'7B226964223A20226375732D616E6E222C2022656D61696C223A2022416E6E406578616D706C652E636F6D222C202266697273745F6E616D65223A2022416E6E222C20226C6973745F6964223A20226C69737461222C20226D61726B6574696E675F636F6E73656E74223A20747275657D', 0, 3, 'e3', '2026-11-22T10:00:00.000Z', 'billmywork.customers', 't0p1cId', 0, 12, '2026-11-22T10:00:00.000Z', 4, 1);
INSERT INTO customer (account_id, customer_id, address, state, deleted, version, event_id, topic, topic_id, partition, "offset", staged_at, revision, changed) VALUES ('acct-1', 'cus-bob', 'bob@example.com', X'7B226964223A20226375732D626F62222C2022656D61696C223A2022626F62406578616D706C652E636F6D222C202266697273745F6E616D65223A2022426F62222C20226D61726B6574696E675F636F6E73656E74223A20747275657D', 0, 1, 'e1', 'billmywork.customers', 't0p1cId', 0, 7, '2026-11-22T10:00:00.000Z', 1, 0);
INSERT INTO customer (account_id, customer_id, deleted, topic, topic_id, partition, "offset", staged_at, revision, changed) VALUES ('acct-1', 'cus-cat', 1, 'billmywork.customers', 't0p1cId', 0, 9, '2026-11-22T10:00:00.000Z', 2, 1);
INSERT INTO customer (account_id, customer_id, address, state, deleted, version, event_id, event_time, topic, topic_id, partition, "offset", staged_at, revision, changed) VALUES ('acct-2', 'cus-ann', 'ann@example.com', X'7B226964223A20226375732D616E6E222C2022656D61696C223A2022616E6E406578616D706C652E636F6D222C20226D61726B6574696E675F636F6E73656E74223A2066616C73657D', 0, 2, 'e9', '2026-11-22T10:00:00.000Z', 'billmywork.customers', 't0p1cId', 1, 3, '2026-11-22T10:00:00.000Z', 1, 1);
INSERT INTO dead_letter (number, topic, topic_id, partition, "offset", key, value, headers, reason, read_at) VALUES (2, 'billmywork.customers', 't0p1cId', 0, 8, X'616363742D312F6375732D78', X'FF206E6F204A534F4E', '[["ce_type", "eA=="], ["none", null]]', 'not JSON', '2026-11-22T10:00:00.000Z');
INSERT INTO flush_request (request, requested_at, account_id, confirmed, run) VALUES (1, '2026-11-22T10:00:00.000Z', 'acct-1', 1, 2);
INSERT INTO flush_request (request, requested_at, confirmed) VALUES (2, '2026-11-22T10:00:00.000Z', 0);
INSERT INTO flush_run (run, started_at, ended_at, trigger, ended) VALUES (1, '2026-11-22T10:00:00.000Z', '2026-11-22T10:00:00.000Z', 'daily', 'done');
INSERT INTO flush_run (run, started_at, trigger, account_id) VALUES (2, '2026-11-22T10:00:00.000Z', 'command', 'acct-1');
INSERT INTO flush_run_account (run, account_id, counts, to_do, settled, ended) VALUES (1, 'acct-1', '{"added": 1, "held": 1}', 2, 1, 'done');
INSERT INTO group_instance (id) VALUES ('worker-0123456789abcdef');
INSERT INTO ledger (account_id, list_id, address, customer_id, state, origin, member_status, fields, sent_at) VALUES ('acct-1', 'lista', 'ann@example.com', 'cus-ann', 'present', 'added', 'subscribed', '{"FNAME": "0a1b"}', '2026-11-22T10:00:00.000Z');
INSERT INTO ledger (account_id, list_id, address, customer_id, state, origin, member_status, fields, sent_at) VALUES ('acct-1', 'lista', 'bob@example.com', 'cus-bob', 'present', 'found', 'unsubscribed', '{}', '2026-11-22T10:00:00.000Z');
INSERT INTO ledger (account_id, list_id, address, customer_id, state, origin, fields, sent_at) VALUES ('acct-1', 'listb', 'ann@example.com', 'cus-ann', 'intended', 'added', '{}', '2026-11-22T10:00:00.000Z');
INSERT INTO ledger (account_id, list_id, address, customer_id, state, origin, fields, sent_at) VALUES ('acct-1', 'listb', 'bob@example.com', 'cus-bob', 'gone', 'added', '{}', '2026-11-22T10:00:00.000Z');
INSERT INTO ledger (account_id, list_id, address, customer_id, state, origin, member_status, fields, sent_at, status_before, last_changed) VALUES ('acct-1', 'listb', 'cat@example.com', 'cus-cat', 'archived', 'added', 'archived', '{}', '2026-11-22T10:00:00.000Z', 'subscribed', '2026-11-22T10:00:00.000Z');
INSERT INTO list (account_id, list_id, name, stored, member_count, marketing_permissions, refreshed_at) VALUES ('acct-1', 'lista', 'List A', 1, 2, 0, '2026-11-22T10:00:00.000Z');
INSERT INTO list (account_id, list_id, name, stored, member_count, marketing_permissions, refreshed_at, paused_reason, paused_at) VALUES ('acct-1', 'listb', 'List B', 1, 0, 1, '2026-11-22T10:00:00.000Z', 'it refuses everybody: Full', '2026-11-22T10:00:00.000Z');
INSERT INTO list (account_id, list_id, name, stored, member_count, marketing_permissions, refreshed_at, gone_at) VALUES ('acct-1', 'listc', 'List C', 0, 5, 0, '2026-11-22T10:00:00.000Z', '2026-11-22T10:00:00.000Z');
INSERT INTO next_offset (topic, topic_id, partition, next_offset, updated_at) VALUES ('billmywork.customers', 't0p1cId', 0, 13, '2026-11-22T10:00:00.000Z');
INSERT INTO next_offset (topic, topic_id, partition, next_offset, updated_at) VALUES ('billmywork.customers', 't0p1cId', 1, 4, '2026-11-22T10:00:00.000Z');
INSERT INTO read_count (topic, partition, what, count) VALUES ('billmywork.customers', 0, 'skipped', 2);
INSERT INTO read_count (topic, partition, what, count) VALUES ('billmywork.customers', 1, 'older', 1);
INSERT INTO receipt (number, run, at, account_id, customer_id, address, revision, event_id, topic, partition, "offset", list_id, list_reason, call, sent, answer_status, answer, outcome, detail, next) VALUES (5, 1, '2026-11-22T10:00:00.000Z', 'acct-1', 'cus-ann', 'ann@example.com', 3, 'e2', 'billmywork.customers', 0, 11, 'lista', 'its own list', 'POST /lists/lista', '{"email_address": "Ann@example.com"}', 200, '{"status": "subscribed"}', 'added', 'Added.', 'Nothing.');
INSERT INTO receipt (number, run, at, account_id, customer_id, address, revision, topic, partition, "offset", outcome, detail, next) VALUES (6, 1, '2026-11-22T10:00:00.000Z', 'acct-1', 'cus-bob', 'bob@example.com', 1, 'billmywork.customers', 0, 7, 'held', 'Held back.', 'Confirm.');
INSERT INTO standing (account_id, customer_id, list_id, address, attempts) VALUES ('acct-1', 'cus-ann', 'lista', 'ann@example.com', 0);
INSERT INTO standing (account_id, customer_id, list_id, address, refusal, refused_address, attempts, retry_at) VALUES ('acct-1', 'cus-bob', 'lista', 'bob@example.com', 'Member In Compliance State', 'bob@example.com', 2, '2026-11-22T10:00:00.000Z');
INSERT INTO standing (account_id, customer_id, attempts) VALUES ('acct-1', 'cus-cat', 0);
-- 0002_kept_in_kafka 8dd3f9f69d52abf0
UPDATE account SET resyncs = 2 WHERE account_id IS 'acct-1';
UPDATE standing SET settled = '2 t0p1cId 0 7' WHERE account_id IS 'acct-1' AND customer_id IS 'cus-bob';
-- 0003_identity b92885b2f46f0424
UPDATE ledger SET contact_id = 'c0ntact', seen_at = '2026-11-22T10:00:00.000Z' WHERE account_id IS 'acct-1' AND list_id IS 'lista' AND address IS 'ann@example.com';
UPDATE ledger SET intent = '{"kind": "add", "at": "2026-11-22T10:00:00.000Z"}' WHERE account_id IS 'acct-1' AND list_id IS 'listb' AND address IS 'ann@example.com';
-- 0004_upkeep b87e8e5c0bb98d24
INSERT INTO account_flush (account_id, done_at, failures) VALUES ('acct-1', '2026-11-22T10:00:00.000Z', 0);
INSERT INTO account_flush (account_id, done_at, failed_at, failures) VALUES ('acct-2', '2026-11-21T10:00:00.000Z', '2026-11-22T10:15:00.000Z', 2);
INSERT INTO marking (account_id, after) VALUES ('acct-2', 'cus-ann');
INSERT INTO tidied (what, at) VALUES ('receipts', '2026-11-22T10:00:00.000Z');
-- 0005_consent 46cb09499fb7828f
INSERT INTO forgotten (account_id, digest, forgotten_at, has_left) VALUES ('acct-1', 'd1g3st', '2026-11-22T10:00:00.000Z', 1);
INSERT INTO held_back (account_id, list_id, what, count, shown_at) VALUES ('acct-1', 'lista', 'departures', 60, '2026-11-22T10:00:00.000Z');
UPDATE ledger SET names_agreed = 1, customer_since = '2026-11-22T10:00:00.000Z' WHERE account_id IS 'acct-1' AND list_id IS 'lista' AND address IS 'bob@example.com';
UPDATE list SET departures_read_at = '2026-11-22T10:00:00.000Z' WHERE account_id IS 'acct-1' AND list_id IS 'lista';
UPDATE standing SET waits_for = 'cus-ann' WHERE account_id IS 'acct-1' AND customer_id IS 'cus-cat';
-- 0006_order 57e96d9bd5640f68
INSERT INTO first_reading (topic, topic_id, partition, state, next_offset) VALUES ('billmywork.customers', 't0p1cId', 0, 'read', 13);
INSERT INTO ignored_event (account_id, customer_id, address, state, deleted, version, event_id, topic, topic_id, partition, "offset", staged_at) VALUES ('acct-1', 'cus-ann', 'ann@example.com', X'7B226964223A226375732D616E6E222C22656D61696C223A22616E6E406578616D706C652E636F6D227D', 0, 2, 'e3', 'billmywork.customers', 't0p1cId', 0, 12, '2026-11-22T10:00:00.000Z');
INSERT INTO not_staged (topic, topic_id, partition, account_id, customer_id) VALUES ('billmywork.customers', 't0p1cId', 0, 'acct-1', 'cus-x');
UPDATE standing SET version = 1, deleted = 0 WHERE account_id IS 'acct-1' AND customer_id IS 'cus-bob';
INSERT INTO topic_size (topic, topic_id, partitions, ledger) VALUES ('billmywork.customers', 't0p1cId', 6, 6);
-- 0007_changelog 1ee49934adad80b2
INSERT INTO changelog_topic (about, partition, note) VALUES ('ledger', '0', '{"topic_id": "l3dg3rId"}');
UPDATE ledger SET other_fields = '{"later": [1]}' WHERE account_id IS 'acct-1' AND list_id IS 'lista' AND address IS 'bob@example.com';
-- 0008_forgotten bc713b5eebe41e10
INSERT INTO forgotten (account_id, digest, forgotten_at, has_left, position) VALUES ('acct-1', 'd1g3st0f1d', '2026-11-22T10:00:00.000Z', 0, '{"log": ["billmywork.customers", "t0p1cId", 0, 12], "version": 3}');
-- 0009_departure_reading d1712d2d76bd3b61
INSERT INTO departure_reading (account_id, list_id, began_at, status) VALUES ('acct-1', 'listb', '2026-11-22T10:00:00.000Z', 'cleaned');
-- 0010_statistics f141a4960b675211
-- 0011_erasure d231f9d178981e5d
INSERT INTO compared (account_id, hashes) VALUES ('acct-1', '1 2026-11-22T10:00:00.000Z');
INSERT INTO erasure (account_id, number, whole) VALUES ('acct-1', 2, 0);
-- 0012_left_out 64207fddc190eef2
UPDATE flush_run_account SET left_out = '[{"list_id": "master", "field": "ADDRESS", "reason": "no city", "contacts": 1, "of": 2}]' WHERE run IS 1 AND account_id IS 'acct-1';
-- 0013_first_delivery e9d4ca033dd51df6
UPDATE account SET enabled_at = '2026-11-22T10:00:00.000Z', confirmed = '{"lista": 12}' WHERE account_id IS 'acct-1';
-- 0014_erasure_request 461d0f662a20a3be
INSERT INTO erasure_done (account_id, digest, requested_at) VALUES ('', 'd1g3st', '2026-11-22T10:00:00.000Z');
INSERT INTO erasure_request (account_id, digest, requested_at, done_by) VALUES ('', 'd1g3st', '2026-11-22T10:00:00.000Z', '{"worker-1":"2026-11-22T10:00:01.000Z"}');
-- 0015_outcome 053e7e0063fc4ed2
UPDATE standing SET outcome = '{"version": 1, "event_id": "e-1", "list_id": "lista", "list_reason": "master list", "member_status": "subscribed", "since": "2026-11-22T10:00:00.000Z", "outcome": "added", "reason": "The contact was added to its list.", "next": "Nothing until the customer changes.", "caused_by": "billmywork", "run": 1, "at": "2026-11-22T10:00:00.000Z"}' WHERE account_id IS 'acct-1' AND customer_id IS 'cus-bob';
-- 0016_account_flush 86fc0fc08a4fb52f
UPDATE account_flush SET completed_at = '2026-11-22T10:00:00.000Z' WHERE account_id IS 'acct-1';
-- 0017_counts 0d8eb3dea8a43a2a
-- 0018_merge_fields 7556ad0a24e35760
UPDATE list SET merge_fields = '{"BIRTHDAY": "birthday", "COMPANY": ""}' WHERE account_id IS 'acct-1' AND list_id IS 'lista';
-- 0019_member_tags b649f02c0626f39a
UPDATE ledger SET member_tags = '{"vip": "set", "by hand": "there"}' WHERE account_id IS 'acct-1' AND list_id IS 'lista' AND address IS 'ann@example.com';
-- 0020_unowned_partition 994a08f2ca86e070
INSERT INTO unowned_partition (partition, since, state) VALUES (3, '2026-11-22T10:00:00.000Z', 0);
-- 0021_member_reading 522a7e2dc12a7f11
INSERT INTO member_reading (account_id, list_id, began_at, status, members, total, learnt, unknown, written_at) VALUES ('acct-1', 'listb', '2026-11-22T10:00:00.000Z', 'archived', 1998, 3500, 2, 7, '2026-11-22T10:00:03.000Z');
-- 0022_bare 31f33494e3bed3d9
INSERT INTO bare_account (account_id, topic, topic_id, partition, first_offset) VALUES ('acct-1', 'billmywork.customers', 't0p1cId', 0, 3);
-- 0023_begun_update f9cc87fcfee1dc9d
INSERT INTO begun_update (account_id, customer_id, list_id, fields, begun_at) VALUES ('acct-1', 'ann', 'master', '["FNAME"]', '2026-11-22T10:00:00.000Z');
-- 0024_taken_partition c79b9d9e15564036
INSERT INTO taken_partition (topic, partition, since) VALUES ('billmywork.customers', 1, '2026-11-22T10:00:00.000Z');
-- 0025_departed_stranger 3d98da1849058789
INSERT INTO departed_list (number, account_id, list_id, hashed_with, read_at) VALUES (1, 'acct-1', 'lista', '0a1b2c3d4e5f', '2026-11-22T10:00:00.000Z');
INSERT INTO departed_stranger (list, digest) VALUES (1, -1234567890123456789);
UPDATE member_reading SET strangers = 1 WHERE account_id IS 'acct-1';
-- 0026_run_reason 87dbc8d26c6493d5
UPDATE flush_run SET reason = 'The database is full. Make room on the disk.' WHERE run IS 2;
-- 0027_stranger_contact cb5288e83831b6e1
INSERT INTO stranger_contact (list, contact, address) VALUES (1, 2345678901234567890, -3456789012345678901);
UPDATE departed_list SET contacts_read_at = '2026-11-22T10:00:00.000Z' WHERE account_id IS 'acct-1';
UPDATE member_reading SET contacts = 1 WHERE account_id IS 'acct-1';
-- 0028_compared 347181b083aa0815
UPDATE taken_partition SET compared = 0 WHERE topic IS 'billmywork.customers' AND partition IS 1;
