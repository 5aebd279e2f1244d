"""What can go wrong for a visitor, and the HTTP status of each error. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker import errors
from worker.errors import WorkerError
from worker.model import ListId


class WebProblem(WorkerError):
    """A request cannot be answered as asked.

    Attributes:
        status: of HTTP.
    """

    status = 400


class BadInput(WebProblem):
    """The request holds something that it may not, or lacks something."""

    status = 422


class NotSignedIn(WebProblem):
    """There is no session and no token."""

    status = 401

    def __init__(self) -> None:
        super().__init__(
            "You are not signed in, or your session has ended.",
            "Open this page again from your billmywork settings. Operators: sign in, or send web.token as a Bearer.",
        )


class NotAllowed(WebProblem):
    """The visitor is known, and may not do this."""

    status = 403


class PageNotFound(WebProblem):
    """There is no such page."""

    status = 404


class WrongMethod(WebProblem):
    """The page is there, and has no such method."""

    status = 405


class NotHere(WebProblem):
    """It can be done, but not over HTTP."""

    status = 409


class ConfirmationNeeded(WebProblem):
    """More members would leave a list than was confirmed.

    Attributes:
        to_confirm: members that would leave, by list.
    """

    status = 409

    def __init__(self, what: str, advice: str, to_confirm: Mapping[ListId, int]) -> None:
        super().__init__(what, advice)
        self.to_confirm = to_confirm


class BodyTooLarge(WebProblem):
    """The request is larger than any that is needed."""

    status = 413


class TooManyTries(WebProblem):
    """Somebody tries too often."""

    status = 429


class Busy(WebProblem):
    """More is asked at one time than the worker answers."""

    status = 503


class WorkerAway(WebProblem):
    """What is asked for is known by another worker, which cannot be reached."""

    status = 503


_STATUS: tuple[tuple[type[WorkerError], int], ...] = (
    (errors.NotFound, 404),
    (errors.UsageError, 422),
    (errors.AccountError, 409),
    (errors.ApiKeyMalformed, 422),
    (errors.ApiKeyRefused, 422),
    (errors.WrongDataCentre, 422),
    (errors.MailchimpError, 502),
    (errors.KafkaError, 503),
    (errors.DatabaseError, 503),
)


def status_of(error: WorkerError) -> int:
    """Returns the HTTP status of an error."""
    if isinstance(error, WebProblem):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: WorkerError) -> dict[str, Any]:
    """Returns an error as RFC 9457 has it, with ``code`` and ``advice`` as the commands print them."""
    status = status_of(error)
    told: dict[str, Any] = {
        "type": f"urn:mailchimp-worker:{error.code}",
        "title": error.code.replace("_", " "),
        "status": status,
        "detail": error.what,
        "code": error.code,
        "advice": error.advice,
    }
    if isinstance(error, ConfirmationNeeded):
        told["to_confirm"] = dict(error.to_confirm)
    return told
