"""Errors as a shop's owner reads them."""

from __future__ import annotations

import inspect

import pytest

from worker import errors
from worker.errors import WorkerError
from worker.web import errors as web_errors
from worker.web.error_responses import message_for_owner
from worker.web.errors import ConfirmationNeeded, NotSignedIn, WebProblem

OF_OPERATORS = "Run mailchimp-worker account connect acct-1, or set WORKER_KAFKA__TOPIC for Kafka."
KINDS = [
    kind
    for module in (errors, web_errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, WorkerError) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_error_tells_an_owner_of_commands(kind: type[WorkerError]) -> None:
    """Whatever an error says to operators, owners read other words, which end as sentences do."""
    if issubclass(kind, WebProblem) and kind.__name__ != "WorkerAway":
        return  # said for the visitor where it is raised
    what, advice = message_for_owner(kind(OF_OPERATORS, OF_OPERATORS))
    for word in ("mailchimp-worker", "WORKER_", "Kafka"):
        assert word not in what + advice
    assert what.endswith(".")
    assert advice.endswith(".")


def test_problems_of_a_visitor_are_said_as_they_are() -> None:
    """They are written for visitors; who is not signed in reads nothing of the operators' token."""
    assert message_for_owner(ConfirmationNeeded("What?", "Do it.", {})) == ("What?", "Do it.")
    assert "Bearer" not in " ".join(message_for_owner(NotSignedIn()))
