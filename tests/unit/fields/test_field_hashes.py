"""Hashes of what was sent of a customer."""

import hashlib
import json
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plan.build import HASHES
from worker.fields.field_hashes import FieldHashes, not_sure
from worker.mailchimp.merge_fields import MergeField
from worker.model import AccountId

NOW, BEFORE = b"n" * 32, b"b" * 32
ANN = {"FNAME": "Ann", "LNAME": "Lee"}
LIST = tuple(MergeField(tag, "text") for tag in ("FNAME", "LNAME", "PHONE"))
VALUES = st.one_of(st.text(st.characters(), max_size=20), st.dictionaries(st.text(max_size=5), st.text(max_size=5)))


def by(*keys: bytes, account: str = "acct-1") -> FieldHashes:
    """The hashes of an account by some keys."""
    return FieldHashes(AccountId(account), keys)


def unkeyed(value: object) -> str:
    """A hash as releases before the keyed ones wrote it."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@given(VALUES, VALUES)
def test_a_hash_is_that_of_its_own_value_alone(one: object, other: object):
    """Two values have one hash only if they are the same, of whatever script or length."""
    sent = HASHES.of({"FNAME": one})["FNAME"]
    assert re.fullmatch(r"v[\w-]{22}", sent)
    assert HASHES.are_of(sent, "FNAME", other) == (one == other)


def test_a_mobile_number_is_not_found_without_the_key():
    """Who tries all numbers without the key finds none, and one number has other hashes elsewhere."""
    number = "+44 7700 900123"
    sent = by(NOW).of({"PHONE": number})["PHONE"]
    assert not by(BEFORE).are_of(sent, "PHONE", number)
    assert unkeyed(number) not in sent
    assert not by(NOW, account="acct-2").are_of(sent, "PHONE", number)
    assert not by(NOW).are_of(sent, "COMPANY", number)


def test_a_hash_of_the_key_before_is_recognised_while_that_is_in_force():
    """With two keys nothing counts as changed; with the new one alone all does, and is sent."""
    sent = by(BEFORE).of(ANN)
    assert by(NOW, BEFORE).changes(ANN, sent, LIST) == {}
    assert by(NOW, BEFORE).changes(ANN | {"LNAME": "Low"}, sent, LIST) == {"LNAME": "Low"}
    assert by(NOW).changes(ANN, sent, LIST) == ANN


def test_a_write_replaces_hashes_of_the_key_before():
    """Once a customer's row is written by the new key, the old one is not needed for it."""
    after = by(NOW, BEFORE).sent_after(by(BEFORE).of(ANN), {"LNAME": "Low"}, ANN | {"LNAME": "Low"})
    assert after == by(NOW).of({"FNAME": "Ann", "LNAME": "Low"})


def test_a_field_that_nobody_is_sure_of_needs_no_key():
    """Its mark stays, and does not count as a hash that the key before is needed for."""
    sent = not_sure(HASHES.of({"FNAME": "Ann"}), ["LNAME"])
    found = HASHES.rehashed(sent, lambda tag: ["Ann"] if tag == "FNAME" else ["Lee"])
    assert (found.fields, found.left) == (sent, False)
    assert HASHES.rehashed(sent, lambda tag: ()).left


def test_a_hash_of_an_earlier_release_is_recognised_and_replaced_by_the_next_write():
    """An upgrade costs no call, misses no change, and clears what this worker filled."""
    sent = {tag: unkeyed(value) for tag, value in {**ANN, "PHONE": "555"}.items()}
    assert by(NOW).changes({**ANN, "PHONE": "555"}, sent, LIST) == {}
    assert by(NOW).changes({"FNAME": "Anna", "LNAME": "Lee"}, sent, LIST) == {"FNAME": "Anna", "PHONE": ""}
    after = by(NOW).sent_after(sent, {"FNAME": "Anna", "PHONE": ""}, {"FNAME": "Anna", "LNAME": "Lee"})
    assert after == by(NOW).of({"FNAME": "Anna", "LNAME": "Lee"})


def test_a_hash_of_an_earlier_release_whose_value_is_not_known_is_hashed_with_the_key():
    """No hash without a key stays in a row that is written, and it still tells its value."""
    number = {"PHONE": "+44 7700 900123"}
    kept = HASHES.renewed({"PHONE": unkeyed(number["PHONE"])}, {})
    assert re.fullmatch(r"o[\w-]{22}", kept["PHONE"])
    assert HASHES.are_of(kept["PHONE"], "PHONE", number["PHONE"])
    assert not HASHES.are_of(kept["PHONE"], "PHONE", "+44 7700 900124")
    assert not replace(HASHES, account_id=AccountId("acct-2")).are_of(kept["PHONE"], "PHONE", number["PHONE"])
    assert HASHES.renewed(kept, {}) == kept
    assert HASHES.renewed(kept, number) == HASHES.of(number)


def test_printing_hashes_shows_no_key():
    """No log or traceback that shows the object has the key."""
    assert "kkk" not in repr(HASHES)
