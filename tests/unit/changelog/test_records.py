"""Rows as Kafka keeps them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from worker.changelog.records import Unreadable, changelog_row_of, key_of, value_of
from worker.changelog.table_rows import ChangelogRow

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
OTHERS = st.dictionaries(TEXT.filter(lambda name: name != "format"), st.integers() | TEXT | st.lists(TEXT, max_size=2))
PLACE = {
    "customer_id": "cus-1", "state": "present", "origin": "added", "member_status": None, "fields": "{}",
    "sent_at": "2026-11-22T10:00:00.000Z", "status_before": None, "last_changed": None, "contact_id": None,
    "seen_at": None, "intent": None, "names_agreed": None, "customer_since": None, "member_tags": None,
    "address_now": None,
}  # fmt: skip
CUSTOMER = {
    "list_id": None, "address": None, "refusal": None, "refused_address": None, "attempts": 0, "retry_at": None,
    "settled": None, "waits_for": None, "version": None, "deleted": None, "outcome": None,
}  # fmt: skip
KEPT = st.one_of(
    st.builds(lambda key, others: ChangelogRow("place", key, others | PLACE), st.tuples(TEXT, TEXT, TEXT), OTHERS),
    st.builds(lambda key, others: ChangelogRow("customer", key, others | CUSTOMER), st.tuples(TEXT, TEXT), OTHERS),
    st.builds(lambda key: ChangelogRow("place", key, None), st.tuples(TEXT, TEXT, TEXT)),
)


@given(KEPT, st.booleans())
def test_a_row_comes_back_as_it_was(kept: ChangelogRow, erase: bool) -> None:
    """Whatever its texts are, in any script, and whatever a later release put beside them."""
    assert changelog_row_of(key_of(kept), value_of(kept, erase=erase)) == kept


def test_a_row_that_is_gone_is_no_null() -> None:
    """Compaction takes nulls away, and who had not read one would keep the row."""
    gone = ChangelogRow("place", ("acct-1", "master", "a@example.com"), None)
    value = value_of(gone, erase=False)
    assert value == b"{}"
    assert changelog_row_of(key_of(gone), value) == gone


def test_a_row_that_must_be_forgotten_is_a_null() -> None:
    """Nothing of it may stay in Kafka."""
    gone = ChangelogRow("customer", ("acct-1", "cus-1"), None)
    assert value_of(gone, erase=True) is None
    assert changelog_row_of(key_of(gone), None) == gone


@given(st.binary(max_size=40) | st.none(), st.binary(max_size=40) | st.none())
def test_no_record_raises(key: bytes | None, value: bytes | None) -> None:
    """A record that this release does not understand comes with the reason."""
    assert isinstance(changelog_row_of(key, value), ChangelogRow | Unreadable)


def test_records_of_later_releases_are_not_understood() -> None:
    """Another kind, or a key with other parts, comes with its account where the key names one."""
    for key, account in (
        (["fund", "x"], "x"),
        (["place", "acct-1"], "acct-1"),
        (["topic", "ledger"], None),
        (["account", 1], None),
        (["account"], None),
        ("account", None),
        (None, None),
    ):
        found = changelog_row_of(json.dumps(key).encode(), b"{}")
        assert isinstance(found, Unreadable)
        assert found.account_id == account
    assert isinstance(changelog_row_of(b'["account","acct-1"]', b"[]"), Unreadable)
