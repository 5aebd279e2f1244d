"""Refusals as Mailchimp words them: problem documents with a stable title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.mailchimp.call import Answer


class Problem(Exception):
    """A call is refused.

    Attributes:
        errors: field and message of each field that is refused.
    """

    def __init__(self, status: int, title: str, detail: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)

    def answer(self) -> Answer:
        """Returns the answer that says so."""
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
    """Returns the refusal of a resource that is not valid, by field where one is to blame."""
    return Problem(400, "Invalid Resource", detail, errors)


def not_found() -> Problem:
    """Returns the refusal of what is not there."""
    return Problem(404, "Resource Not Found", "The requested resource could not be found.")
