from dataclasses import replace

import pytest

from tests.checked_changelog import CHANGELOG
from tests.setters import disable, enable, resume
from tests.unit.accounts.build import ACCOUNT, AT, LATER, connect, everything, stage
from worker.accounts.settings import load, missing
from worker.errors import AccountError, NotFound
from worker.model import ListId
from worker.store import accounts, customers
from worker.store.accounts import AccountList, AccountSettings, Pause

PAUSE = Pause("Mailchimp does not accept the API key.", AT)


def a_list(list_id, **values):
    """A stored list that Mailchimp still has."""
    values = {"stored": True, "member_count": 3, "marketing_permissions": False} | values
    return AccountList(ListId(list_id), f"List {list_id}", refreshed_at=AT, **values)


def complete(**values):
    """Settings that lack nothing."""
    chosen = {
        "enabled": True,
        "key_hint": "us21",
        "master_list": ListId("one"),
        "connected_at": AT,
        "refreshed_at": AT,
        "lists": (a_list("one"), a_list("two")),
    }
    return AccountSettings(ACCOUNT, **(chosen | values))


# --- what is missing


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({}, []),
        ({"key_hint": None}, ["no_key"]),
        ({"enabled": False}, ["not_enabled"]),
        ({"pause": PAUSE}, ["paused"]),
        ({"lists": ()}, ["no_stored_list"]),
        ({"lists": (a_list("one", stored=False),)}, ["no_stored_list"]),
        ({"master_list": None}, ["no_master_list"]),
        ({"lists": (a_list("one", stored=False), a_list("two"))}, ["master_list_not_stored"]),
        ({"master_list": ListId("forgotten")}, ["master_list_not_stored"]),
        ({"lists": (a_list("one", gone_at=LATER), a_list("two"))}, ["master_list_gone"]),
        ({"lists": (a_list("one"), a_list("two", gone_at=LATER))}, []),
        ({"lists": (a_list("one", pause=PAUSE), a_list("two"))}, []),
        (
            {"key_hint": None, "enabled": False, "pause": PAUSE, "lists": (), "master_list": None},
            ["no_key", "not_enabled", "paused", "no_stored_list"],
        ),
    ],
)
def test_what_is_missing_is_reported_in_the_order_of_the_steps(values, codes):
    """Each thing without which nothing is delivered is named once, in the order of the steps; gone lists are no reason.

    A stored list that is gone counts only if it is the master list.
    """
    found = missing(complete(**values))
    assert [one.code for one in found] == codes
    assert all(one.message and ("acct-1" in one.advice or one.code == "master_list_gone") for one in found)


def test_a_new_account_is_told_every_step():
    """An account that chose nothing lacks a key, its enabling and its lists, which are to be refreshed first."""
    found = missing(AccountSettings(ACCOUNT))
    assert [one.code for one in found] == ["no_key", "not_enabled", "no_stored_list"]
    assert "lists refresh acct-1, then" in found[-1].advice
    assert "lists refresh" not in missing(complete(lists=()))[-1].advice


def test_a_pause_is_reported_with_its_reason():
    """What paused the account is in the sentence, and how to end that in the advice."""
    (one,) = missing(complete(pause=PAUSE))
    assert PAUSE.reason in one.message
    assert "account connect acct-1" in one.advice
    assert "account resume acct-1" in one.advice


# --- steps


@pytest.mark.parametrize(
    "step",
    [load, *(lambda db, account_id, step=step: step(db, CHANGELOG, account_id) for step in (enable, disable, resume))],
    ids=["load", "enable", "disable", "resume"],
)
def test_steps_of_an_unknown_account_say_so(db, path, step):
    """No step makes an account that never chose any settings; the error says how to begin."""
    before = everything(path)
    with pytest.raises(NotFound) as caught:
        step(db, ACCOUNT)
    assert "acct-1" in caught.value.message
    assert "account connect acct-1" in caught.value.advice
    assert everything(path) == before


def test_enabling_needs_a_key(db, path):
    """An account without an API key cannot be enabled, and nothing of it changes."""
    accounts.save(db, AccountSettings(ACCOUNT))
    before = everything(path)
    with pytest.raises(AccountError) as caught:
        enable(db, CHANGELOG, ACCOUNT, "pending")
    assert "account connect acct-1" in caught.value.advice
    assert everything(path) == before


def test_enabling_keeps_how_contacts_are_added_unless_told(db):
    """Contacts are added as subscribed until the account chooses pending; enabling again without a word keeps that."""
    connect(db)
    assert enable(db, CHANGELOG, ACCOUNT).status_if_new == "subscribed"
    assert enable(db, CHANGELOG, ACCOUNT, "pending").status_if_new == "pending"
    assert enable(db, CHANGELOG, ACCOUNT) == load(db, ACCOUNT)
    assert load(db, ACCOUNT).status_if_new == "pending"
    assert enable(db, CHANGELOG, ACCOUNT, "subscribed").status_if_new == "subscribed"


def test_disabling_keeps_everything_else(db):
    """A disabled account keeps its key, its lists and what waits; enabling brings back what was."""
    connect(db)
    accounts.save(db, complete())
    stage(db, 1)
    key = accounts.encrypted_key(db, ACCOUNT)
    assert disable(db, CHANGELOG, ACCOUNT) == complete(enabled=False)
    assert load(db, ACCOUNT) == complete(enabled=False)
    assert accounts.encrypted_key(db, ACCOUNT) == key
    assert disable(db, CHANGELOG, ACCOUNT) == complete(enabled=False)
    assert enable(db, CHANGELOG, ACCOUNT) == complete()
    assert customers.total_count(db) == 1


def test_resuming_ends_the_pauses_of_the_account_and_of_its_lists(db):
    """Resuming ends every pause, and changes nothing else; twice is as once."""
    paused = complete(pause=PAUSE, lists=(a_list("one", pause=PAUSE), a_list("two", pause=PAUSE, gone_at=LATER)))
    accounts.save(db, paused)
    after = replace(paused, pause=None, lists=tuple(replace(one, pause=None) for one in paused.lists))
    assert resume(db, CHANGELOG, ACCOUNT) == after
    assert resume(db, CHANGELOG, ACCOUNT) == after
    assert load(db, ACCOUNT) == after


# --- as they are kept


@pytest.mark.parametrize(
    "settings",
    [
        AccountSettings(ACCOUNT),
        complete(),
        complete(status_if_new="pending", pause=PAUSE, master_list=None),
        complete(
            lists=(a_list("one", stored=False, marketing_permissions=True), a_list("two", gone_at=LATER, pause=PAUSE))
        ),
    ],
)
def test_settings_are_read_as_they_were_written(db, settings):
    """What is saved is what is found, by the account itself and among all."""
    accounts.save(db, settings)
    assert accounts.find(db, ACCOUNT) == settings
    assert accounts.all_accounts(db) == (settings,)


def test_saving_keeps_the_encrypted_key(db):
    """Saving settings leaves the stored API key as it is."""
    connect(db)
    key = accounts.encrypted_key(db, ACCOUNT)
    accounts.save(db, complete())
    assert accounts.encrypted_key(db, ACCOUNT) == key


def test_the_first_pause_stays(db):
    """An account or a list that is paused already keeps its first reason and time; others are not touched."""
    accounts.save(db, complete())
    second = Pause("Another reason.", LATER)
    for pause in (PAUSE, second):
        accounts.pause(db, ACCOUNT, pause)
        accounts.pause_list(db, ACCOUNT, ListId("one"), pause)
    found = load(db, ACCOUNT)
    assert found.pause == PAUSE
    assert [one.pause for one in found.lists] == [PAUSE, None]


def test_a_list_stays_gone_since_it_was_first_missed(db):
    """The time at which a list was first found to be gone stays."""
    accounts.save(db, complete())
    accounts.mark_list_gone(db, ACCOUNT, ListId("two"), AT)
    accounts.mark_list_gone(db, ACCOUNT, ListId("two"), LATER)
    assert [one.gone_at for one in load(db, ACCOUNT).lists] == [None, AT]


def test_settings_tell_a_list_by_its_id(db):
    """A list is found by its id, stored or not; no id, or another, finds none."""
    settings = complete(lists=(a_list("one", stored=False), a_list("two")))
    assert settings.list_of("one") == settings.lists[0]
    assert settings.list_of("three") is None
    assert settings.list_of(None) is None
    assert settings.stored == (settings.lists[1],)
