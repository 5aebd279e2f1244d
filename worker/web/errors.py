"""The errors of requests, and the HTTP status of each error. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker import errors
from worker.errors import WorkerError
from worker.model import ListId


class WebProblem(WorkerError):
    """A request cannot be answered as requested."""

    status = 400


class BadInput(WebProblem):
    """The request contains something invalid, or lacks something."""

    status = 422


class NotSignedIn(WebProblem):
    """The request has neither a session nor a token."""

    status = 401

    def __init__(self) -> None:
        super().__init__(
            "You are not signed in, or your session has ended.",
            "Open this page again from your billmywork settings. Operators: sign in, or send web.token as a Bearer.",
        )


class NotAllowed(WebProblem):
    """The visitor is known but may not do this."""

    status = 403


class PageNotFound(WebProblem):
    """The page does not exist."""

    status = 404


class WrongMethod(WebProblem):
    """The page exists but does not support the method."""

    status = 405


class NotHere(WebProblem):
    """The request can be carried out, but not over HTTP."""

    status = 409


class ConfirmationNeeded(WebProblem):
    """More members would leave a list than were confirmed.

    Attributes:
        to_confirm: members that would leave, by list.
    """

    status = 409

    def __init__(self, message: str, advice: str, to_confirm: Mapping[ListId, int]) -> None:
        super().__init__(message, advice)
        self.to_confirm = to_confirm


class BodyTooLarge(WebProblem):
    """The request's body is too large."""

    status = 413


class TooManyTries(WebProblem):
    """Somebody tried too often."""

    status = 429


class Busy(WebProblem):
    """The worker has too many requests already."""

    status = 503


class WorkerAway(WebProblem):
    """Another worker has the data, and cannot be reached."""

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
    """Returns an error as an RFC 9457 problem, with ``code`` and ``advice`` as the commands print them."""
    status = status_of(error)
    data: dict[str, Any] = {
        "type": f"urn:mailchimp-worker:{error.code}",
        "title": error.code.replace("_", " "),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "advice": error.advice,
    }
    if isinstance(error, ConfirmationNeeded):
        data["to_confirm"] = dict(error.to_confirm)
    return data
