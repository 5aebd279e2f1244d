from dataclasses import replace

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.unit.accounts.build import (
    ACCOUNT,
    AT,
    KEY,
    LATER,
    NEIGHBOUR,
    OTHER_KEY,
    OTHER_SECRET,
    PONG,
    SECRET,
    Mailchimp,
    Scripted,
    connect,
    everything,
    nobody,
    stage,
)
from tests.unit.accounts.test_api_keys import NO_LISTS, REFUSALS
from worker.accounts import api_keys, lists
from worker.accounts.settings import load
from worker.errors import AccountError, MailchimpError, NotFound, SecretKeyError
from worker.mailchimp.answers import Answer
from worker.model import ListId
from worker.store import accounts, customers
from worker.store.accounts import Pause

PAUSE = Pause("Mailchimp refuses the list.", AT)


def refresh(db, mailchimp, at=LATER, account_id=ACCOUNT, secret=SECRET):
    """Reads the account's lists."""
    return lists.refresh(db, CHANGELOG, account_id, secret=secret, open_sender=mailchimp.open, at=at)


def choose(db, *wanted, master=None, account_id=ACCOUNT):
    """Stores lists and makes one of them the master list."""
    setters.store(db, CHANGELOG, account_id, [ListId(one) for one in wanted])
    return setters.choose_master(db, CHANGELOG, account_id, ListId(master or wanted[0]))


def ids(found):
    """The ids of lists."""
    return [one.list_id for one in found]


@pytest.fixture
def mailchimp():
    """A Mailchimp whose user has three lists."""
    return Mailchimp("one", "two", "three")


@pytest.fixture
def ready(db, mailchimp):
    """An account that stored two of its three lists, with three customers of which nothing is left to do."""
    connect(db)
    refresh(db, mailchimp, at=AT)
    choose(db, "one", "two")
    stage(db, 1, 2, 3)
    return db


# --- refreshing


def test_the_first_refresh_finds_lists_and_stores_none(db, mailchimp):
    """Every list of Mailchimp is found, by name, with its members counted; none is stored, and there is no master."""
    mailchimp.standin.create_list("owner", "ask", "Asks", marketing_permissions=True)
    mailchimp.standin.by_hand("two", "ann@example.com", "subscribe")
    connect(db)
    found = refresh(db, mailchimp)
    assert ids(found.settings.lists) == ["ask", "one", "three", "two"]
    assert [one.member_count for one in found.settings.lists] == [0, 0, 0, 1]
    assert [one.marketing_permissions for one in found.settings.lists] == [True, False, False, False]
    assert found.settings.stored == ()
    assert found.settings.master_list is None
    assert found.settings.refreshed_at == LATER
    assert (ids(found.new), found.missing, found.back) == (["ask", "one", "three", "two"], (), ())
    assert load(db, ACCOUNT) == found.settings


def test_more_lists_than_a_page_are_all_read(db):
    """2,300 lists come in three pages of at most 1,000, each list once, and all can be stored."""
    mailchimp = Mailchimp(*(f"list{number:04}" for number in range(2300)))
    connect(db)
    found = refresh(db, mailchimp)
    asked = [one.call.query for one in mailchimp.standin.audit.calls]
    assert [(one["count"], one["offset"]) for one in asked] == [("1000", "0"), ("1000", "1000"), ("1000", "2000")]
    assert ids(load(db, ACCOUNT).lists) == [f"list{number:04}" for number in range(2300)]
    assert len(found.new) == 2300
    assert len(setters.store(db, CHANGELOG, ACCOUNT, None).stored) == 2300
    assert len(load(db, ACCOUNT).stored) == 2300


@pytest.mark.parametrize(("answer", "kind", "words"), REFUSALS)
def test_a_refresh_that_fails_changes_nothing(ready, path, answer, kind, words):
    """Whatever Mailchimp or the network answers but lists, the error names it and everything stays as it was."""
    before = everything(path)
    with pytest.raises(kind) as caught:
        refresh(ready, Scripted(answer))
    assert words in caught.value.message
    assert caught.value.advice
    assert KEY[:8] not in str(caught.value) + caught.value.advice
    assert everything(path) == before


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"lists": [], "total_items": "none"},
        {"lists": {}, "total_items": 0},
        {"lists": [{"id": "x"}], "total_items": 1},
    ],
)
def test_a_refresh_with_an_answer_that_is_not_understood_changes_nothing(ready, path, body):
    """A 2xx answer that is not what Mailchimp documents is refused whole: no list is taken for gone."""
    before = everything(path)
    with pytest.raises(MailchimpError, match="cannot be understood"):
        refresh(ready, Scripted(Answer(200, body)))
    assert everything(path) == before


def test_a_refresh_that_fails_on_a_later_page_changes_nothing(ready, path):
    """When the second page does not come, the first changes nothing either."""
    page = [{"id": f"new{number}", "name": "New"} for number in range(1000)]
    before = everything(path)
    with pytest.raises(MailchimpError):
        refresh(ready, Scripted(Answer(200, {"lists": page, "total_items": 1500}), Answer(None, failure="timeout")))
    assert everything(path) == before


def test_a_refresh_needs_an_account_with_a_key_that_opens(db, path):
    """Without settings, without a key, or with another secret key, Mailchimp is not asked and nothing changes."""

    class _Nobody:
        open = staticmethod(nobody)

    with pytest.raises(NotFound):
        refresh(db, _Nobody)
    accounts.save(db, accounts.AccountSettings(ACCOUNT))
    with pytest.raises(AccountError, match="no Mailchimp API key"):
        refresh(db, _Nobody)
    connect(db)
    before = everything(path)
    with pytest.raises(SecretKeyError):
        refresh(db, _Nobody, secret=OTHER_SECRET)
    assert everything(path) == before


def test_lists_of_a_key_that_was_replaced_meanwhile_are_not_taken(ready, path):
    """When the account gets another key while its lists are read, they are dropped and the error says to try again."""
    before = load(ready, ACCOUNT)

    class _Meanwhile(Scripted):
        def send(self, call):
            api_keys.connect(
                ready,
                CHANGELOG,
                ACCOUNT,
                OTHER_KEY,
                secret=SECRET,
                open_sender=Scripted(PONG, NO_LISTS).open,
                at=before.connected_at,
            )
            return super().send(call)

    with pytest.raises(AccountError, match="another API key"):
        refresh(ready, _Meanwhile(NO_LISTS))
    lists = [
        replace(known_list, gone_at=before.connected_at if known_list.stored else None) for known_list in before.lists
    ]
    assert load(ready, ACCOUNT) == replace(before, key_hint="3210-us21", lists=tuple(lists))


def test_a_refresh_keeps_what_was_chosen(ready, mailchimp):
    """A refresh takes names and counts over; what is stored, the master list and pauses stay; nobody is marked."""
    accounts.pause_list(ready, ACCOUNT, ListId("two"), PAUSE)
    mailchimp.standin.find_list("two").name = "Renamed"
    found = refresh(ready, mailchimp)
    two = found.settings.list_of("two")
    assert (two.name, two.stored, two.pause) == ("Renamed", True, PAUSE)
    assert ids(found.settings.stored) == ["one", "two"]
    assert found.settings.master_list == "one"
    assert (found.new, found.missing, found.back) == ((), (), ())
    assert customers.changed_count(ready, ACCOUNT) == 0


def test_stored_lists_that_are_gone_stay_known_and_others_are_forgotten(ready, mailchimp):
    """A stored list that Mailchimp no longer has stays as gone since it was first missed; one not stored is removed."""
    for one in ("two", "three"):
        mailchimp.standin.delete_list(one)
    found = refresh(ready, mailchimp, at=AT)
    assert ids(found.missing) == ["two"]
    assert ids(found.settings.lists) == ["one", "two"]
    assert found.settings.list_of("two").gone_at == AT
    again = refresh(ready, mailchimp, at=LATER)
    assert again.missing == ()
    assert again.settings.list_of("two").gone_at == AT
    assert load(ready, ACCOUNT) == again.settings
    assert customers.changed_count(ready, ACCOUNT) == 0


def test_a_list_that_is_back_is_used_again(ready, mailchimp):
    """A stored list that is there again is no longer gone, and every customer is looked at again."""
    mailchimp.standin.delete_list("two")
    refresh(ready, mailchimp, at=AT)
    mailchimp.standin.create_list("owner", "two", "List two")
    found = refresh(ready, mailchimp)
    assert (ids(found.back), found.new, found.missing) == (["two"], (), ())
    assert not found.settings.list_of("two").gone
    assert customers.changed_count(ready, ACCOUNT) == 3


def test_a_new_list_is_reported_and_not_stored(ready, mailchimp):
    """A list that was made in Mailchimp since is reported as new, and used only once it is stored."""
    mailchimp.standin.create_list("owner", "four", "List four")
    found = refresh(ready, mailchimp)
    assert ids(found.new) == ["four"]
    assert not found.settings.list_of("four").stored
    assert customers.changed_count(ready, ACCOUNT) == 0


# --- storing


def test_lists_are_stored_exactly_as_named(ready):
    """Exactly the named lists are stored afterwards, each once however often it is named."""
    assert ids(setters.store(ready, CHANGELOG, ACCOUNT, ["three", "one", "one"]).stored) == ["one", "three"]
    assert ids(load(ready, ACCOUNT).stored) == ["one", "three"]
    assert ids(setters.store(ready, CHANGELOG, ACCOUNT, None).stored) == ["one", "three", "two"]


@pytest.mark.parametrize("wanted", [["one"], ["one", "two", "three"], ["one", "three"], None])
def test_storing_other_lists_marks_every_customer(ready, wanted):
    """When what is stored changes, every customer of the account is looked at again, as of a new revision."""
    setters.store(ready, CHANGELOG, ACCOUNT, wanted)
    assert customers.changed_count(ready, ACCOUNT) == 3
    assert {one.revision for one in customers.changed(ready, ACCOUNT, None, 10)} == {2}


def test_storing_the_same_lists_marks_nobody(ready, path):
    """Storing what is stored already, in whatever order, changes nothing."""
    before = everything(path)
    setters.store(ready, CHANGELOG, ACCOUNT, ["two", "one"])
    assert everything(path) == before


def test_only_the_customers_of_the_account_are_marked(ready):
    """Another account's customers are left alone."""
    stage(ready, 1, account_id=NEIGHBOUR)
    setters.store(ready, CHANGELOG, ACCOUNT, None)
    assert customers.changed_count(ready, NEIGHBOUR) == 0


def test_a_list_that_is_no_longer_stored_loses_its_pause(ready):
    """A list that is left out and stored again begins without the pause it had; one that stays keeps it."""
    for one in ("one", "two"):
        accounts.pause_list(ready, ACCOUNT, ListId(one), PAUSE)
    setters.store(ready, CHANGELOG, ACCOUNT, ["one"])
    found = setters.store(ready, CHANGELOG, ACCOUNT, ["one", "two"])
    assert [found.list_of(one).pause for one in ("one", "two")] == [PAUSE, None]


def refused(db, path, kind, step):
    """Returns the error of a step that must change nothing."""
    before = everything(path)
    with pytest.raises(kind) as caught:
        step()
    assert everything(path) == before
    assert caught.value.advice
    return caught.value


def test_the_master_list_must_stay_stored(ready, path):
    """Leaving the master list out is refused, with the command that chooses another one first."""
    error = refused(ready, path, AccountError, lambda: setters.store(ready, CHANGELOG, ACCOUNT, ["two"]))
    assert "List one (one) is the master list" in error.message
    assert "lists master acct-1" in error.advice
    refused(ready, path, AccountError, lambda: setters.store(ready, CHANGELOG, ACCOUNT, []))
    setters.choose_master(ready, CHANGELOG, ACCOUNT, ListId("two"))
    assert ids(setters.store(ready, CHANGELOG, ACCOUNT, ["two"]).stored) == ["two"]


def test_a_master_list_that_is_gone_can_be_left_out(ready, mailchimp):
    """A master list that Mailchimp no longer has may be left out, and the choice is taken back with it."""
    mailchimp.standin.delete_list("one")
    refresh(ready, mailchimp)
    kept = setters.store(ready, CHANGELOG, ACCOUNT, ["one", "two"])
    assert kept.master_list == "one"
    left = setters.store(ready, CHANGELOG, ACCOUNT, ["two"])
    assert left.master_list is None
    assert load(ready, ACCOUNT) == left
    assert customers.changed_count(ready, ACCOUNT) == 3


def test_all_that_mailchimp_has_leaves_out_what_is_gone(ready, mailchimp):
    """Storing all lists stores those that are there."""
    mailchimp.standin.delete_list("two")
    refresh(ready, mailchimp)
    assert ids(setters.store(ready, CHANGELOG, ACCOUNT, None).stored) == ["one", "three"]


def test_a_list_that_is_gone_cannot_be_stored_again(ready, path, mailchimp):
    """A list that was found gone and left out cannot be stored again before a refresh finds it."""
    mailchimp.standin.delete_list("two")
    refresh(ready, mailchimp)
    setters.store(ready, CHANGELOG, ACCOUNT, ["one"])
    error = refused(ready, path, AccountError, lambda: setters.store(ready, CHANGELOG, ACCOUNT, ["one", "two"]))
    assert "List two (two) is gone" in error.message
    assert "lists refresh acct-1" in error.advice


def test_unknown_lists_are_not_found(ready, path):
    """Naming one list that no refresh found stores none of the others."""
    error = refused(
        ready, path, NotFound, lambda: setters.store(ready, CHANGELOG, ACCOUNT, ["one", "three", "unknown"])
    )
    assert "no list unknown" in error.message
    assert "lists refresh acct-1" in error.advice
    refused(ready, path, NotFound, lambda: setters.choose_master(ready, CHANGELOG, ACCOUNT, ListId("unknown")))


def test_lists_are_refreshed_before_they_are_chosen(db, path):
    """Before any refresh lists can neither be stored nor be the master list, and the error names the command."""
    for kind, words in ((NotFound, "account connect acct-1"), (AccountError, "lists refresh acct-1")):
        for step in (
            lambda: setters.store(db, CHANGELOG, ACCOUNT, ["one"]),
            lambda: setters.store(db, CHANGELOG, ACCOUNT, None),
            lambda: setters.choose_master(db, CHANGELOG, ACCOUNT, ListId("one")),
        ):
            assert words in refused(db, path, kind, step).advice
        connect(db)


def test_a_list_is_stored_by_one_account_only(ready, path, mailchimp):
    """A list that another account stored is refused, whole, until that account leaves it out."""
    connect(ready, NEIGHBOUR)
    refresh(ready, mailchimp, account_id=NEIGHBOUR)
    for wanted in (["three", "two"], None):
        error = refused(
            ready, path, AccountError, lambda wanted=wanted: setters.store(ready, CHANGELOG, NEIGHBOUR, wanted)
        )
        assert "Only one account" in error.message
    setters.store(ready, CHANGELOG, ACCOUNT, ["one"])
    assert ids(setters.store(ready, CHANGELOG, NEIGHBOUR, ["three", "two"]).stored) == ["three", "two"]
    assert accounts.stored_by(ready, ListId("two")) == NEIGHBOUR
    assert accounts.stored_by(ready, ListId("one")) == ACCOUNT
    assert accounts.stored_by(ready, ListId("unknown")) is None


# --- the master list


def test_another_master_list_marks_every_customer(ready):
    """Choosing another master list has every customer looked at again; choosing the same one has nobody."""
    setters.choose_master(ready, CHANGELOG, ACCOUNT, ListId("one"))
    assert customers.changed_count(ready, ACCOUNT) == 0
    assert setters.choose_master(ready, CHANGELOG, ACCOUNT, ListId("two")).master_list == "two"
    assert load(ready, ACCOUNT).master_list == "two"
    assert customers.changed_count(ready, ACCOUNT) == 3


def test_the_master_list_is_a_stored_one(ready, path):
    """A list that is not stored is refused, with the command that stores it beside those that are."""
    error = refused(
        ready, path, AccountError, lambda: setters.choose_master(ready, CHANGELOG, ACCOUNT, ListId("three"))
    )
    assert "not stored" in error.message
    assert "lists store acct-1 one two three" in error.advice


def test_the_master_list_is_one_that_is_there(ready, path, mailchimp):
    """A stored list that is gone from Mailchimp is refused as master list."""
    mailchimp.standin.delete_list("two")
    refresh(ready, mailchimp)
    error = refused(ready, path, AccountError, lambda: setters.choose_master(ready, CHANGELOG, ACCOUNT, ListId("two")))
    assert "gone" in error.message


# --- as pure values


def test_a_refresh_is_reported_by_the_settings_and_what_was_found(ready):
    """The same settings and lists give the same result, and refreshing it again changes nothing more."""
    settings = load(ready, ACCOUNT)
    first = lists.refreshed(settings, [], LATER)
    assert ids(first.missing) == ["one", "two"]
    assert lists.refreshed(settings, [], LATER) == first
    assert lists.refreshed(first.settings, [], LATER) == replace(first, missing=())
