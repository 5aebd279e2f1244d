"""What owners read: every outcome has its words, and numbers are right for none, one and many."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from worker.accounts.settings_log import SettingChange
from worker.plan.outcomes import MEANINGS, OTHER_STATUS, STATUS_MEANINGS, Meaning, Outcome, StatusMeaning
from worker.status.explanation import NextKind, NextStep
from worker.status.times import moment_in_words
from worker.store.accounts import LIST_GONE, NO_LIST_GIVEN, NOT_STORED, OWN_LIST
from worker.web.pages.next_steps import has_words, next_in_words
from worker.web.pages.settings_log import in_words, in_words_who
from worker.web.pages.words import LIST_REASONS, OUTCOMES, Group, by_group, people, words_of

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
LONDON = ZoneInfo("Europe/London")


def test_every_outcome_has_words() -> None:
    """An outcome that is added must be said to owners too."""
    assert set(OUTCOMES) == set(Outcome)
    assert all(said.sentence.endswith(".") for said in OUTCOMES.values())


@pytest.mark.parametrize("meaning", [*MEANINGS.values(), *STATUS_MEANINGS.values(), OTHER_STATUS])
def test_whatever_is_next_has_words(meaning: Meaning | StatusMeaning) -> None:
    """What `explain` and the published outcome say is next is said to owners too, without commands."""
    said = next_in_words(NextStep(NextKind.AS_SAID, meaning.next), str, "today at 10:00")
    assert has_words(meaning.next)
    assert "(" not in said
    assert said.endswith(".")


def test_what_a_later_release_says_is_next_is_shown_as_it_is() -> None:
    """A database may hold receipts of a later release, and a wrong advice would be worse."""
    assert next_in_words(NextStep(NextKind.AS_SAID, "Asked again in June."), str, "") == "Asked again in June."


def test_every_reason_for_a_list_has_words() -> None:
    """So must a reason for a list."""
    assert set(LIST_REASONS) == {OWN_LIST, NO_LIST_GIVEN, NOT_STORED, LIST_GONE}


def test_an_outcome_of_a_later_release_is_said_in_general() -> None:
    """A database may hold receipts of a later release."""
    assert words_of("teleported").sentence == "Something else happened."
    assert sum(by_group({"teleported": 3}).values()) == 0


def test_numbers_of_people() -> None:
    """None, one and many."""
    assert [people(one) for one in (0, 1, 2, 1662)] == ["0 people", "1 person", "2 people", "1,662 people"]


def test_a_moment_is_said_as_people_say_it() -> None:
    """With its day, in the zone of the daily sync."""
    assert moment_in_words(datetime(2026, 11, 22, 10, tzinfo=UTC), NOW, LONDON) == "today at 10:00"
    assert moment_in_words(datetime(2026, 12, 1, 10, tzinfo=UTC), NOW, LONDON) == "Tue 1 Dec at 10:00"


def test_outcomes_are_counted_by_group() -> None:
    """What nobody would ask about is in no group."""
    found = by_group({Outcome.ADDED: 3, Outcome.MOVED: 1, Outcome.LEFT: 2, Outcome.UNCHANGED: 50})
    assert {group: count for group, count in found.items() if count} == {Group.ADDED: 4, Group.NOT_ADDED: 2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("api_key", None, "…c3d4-us1"), "Connected with the key …c3d4-us1."),
        (("api_key", "…c3d4-us1", None), "Disconnected, and deleted the key …c3d4-us1 here."),
        (("enabled", "false", "true"), "Turned the integration on."),
        (("status_if_new", "subscribed", "pending"), "New people are asked to confirm first."),
        (("stored_list", None, "All (old) (a1)"), "Chose the list “All (old)”."),
        (("master_list", "A (a1)", "B (b1)"), "Made “B” the master list."),
    ],
)
def test_a_change_of_settings_is_a_sentence(change: tuple, said: str) -> None:
    """Owners read what was done, without the names of JSON."""
    assert in_words(SettingChange("2026-11-22T10:00:00.000Z", "operator", *change)) == said


def test_who_changed_something_is_named() -> None:
    """By name where there is one; operators are support."""
    assert in_words_who("account acct-1 (Ann Lee)") == "Ann Lee"
    assert in_words_who("account acct-1") == "your billmywork account"
    assert in_words_who("operator") == "support"
