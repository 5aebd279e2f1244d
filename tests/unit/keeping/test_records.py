"""Rows as Kafka keeps them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from worker.keeping.records import kept_of, key_of, value_of
from worker.staging.kept import Kept

TEXT = st.text(max_size=20)
ROWS = st.dictionaries(TEXT, st.none() | st.integers(-(2**53), 2**53) | TEXT, min_size=1)
KEPT = st.one_of(
    st.builds(lambda key, row: Kept("place", key, row), st.tuples(TEXT, TEXT, TEXT), ROWS),
    st.builds(lambda key, row: Kept("customer", key, row), st.tuples(TEXT, TEXT), ROWS),
    st.builds(lambda key, row: Kept("account", key, row), st.tuples(TEXT), ROWS),
)


@given(KEPT, st.booleans())
def test_a_row_comes_back_as_it_was(kept: Kept, erase: bool) -> None:
    """Whatever its texts are, in any script."""
    assert kept_of(key_of(kept), value_of(kept, erase=erase)) == kept


def test_a_row_that_is_gone_is_no_null() -> None:
    """Compaction takes nulls away, and who had not read one would keep the row."""
    gone = Kept("place", ("acct-1", "master", "a@example.com"), None)
    value = value_of(gone, erase=False)
    assert value == b"{}"
    assert kept_of(key_of(gone), value) == gone


def test_a_row_that_must_be_forgotten_is_a_null() -> None:
    """Nothing of it may stay in Kafka."""
    gone = Kept("customer", ("acct-1", "cus-1"), None)
    assert value_of(gone, erase=True) is None
    assert kept_of(key_of(gone), None) == gone


@given(st.binary(max_size=40) | st.none(), st.binary(max_size=40) | st.none())
def test_no_record_raises(key: bytes | None, value: bytes | None) -> None:
    """What this release does not understand is told as None."""
    found = kept_of(key, value)
    assert found is None or isinstance(found, Kept)


def test_records_of_later_releases_are_not_understood() -> None:
    """Another kind, or a key with other parts, is left to whoever knows it."""
    for key in (["fund", "x"], ["place", "acct-1"], ["account", 1], "account", None):
        assert kept_of(json.dumps(key).encode(), b"{}") is None
    assert kept_of(b'["account","acct-1"]', b"[]") is None
