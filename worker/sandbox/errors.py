"""Mailchimp's refusals: problem documents with a stable title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.mailchimp.answers import Answer


class Problem(Exception):
    """Mailchimp refuses a call.

    Attributes:
        errors: each refused field, with its message.
    """

    def __init__(self, status: int, title: str, detail: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)

    def answer(self) -> Answer:
        """Returns the answer with the problem document."""
        body: dict[str, Any] = {
            "type": "https://mailchimp.com/developer/marketing/docs/errors/",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": "00000000-0000-0000-0000-000000000000",
        }
        if self.errors:
            body["errors"] = [{"field": field, "message": message} for field, message in self.errors]
        return Answer(self.status, body)


def invalid(detail: str, *errors: tuple[str, str]) -> Problem:
    """Returns the refusal of an invalid resource, with the fields that caused it, if any."""
    return Problem(400, "Invalid Resource", detail, errors)


def not_found() -> Problem:
    """Returns the refusal of a call to a resource that does not exist."""
    return Problem(404, "Resource Not Found", "The requested resource could not be found.")
