"""The Mailchimp user who owns an API key."""

from __future__ import annotations

from dataclasses import dataclass

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call

ROOT = Call("GET", "/", {"fields": "account_name,username"})
"""Returns the owner of a valid API key and changes nothing. Source: Mailchimp's API root."""


@dataclass(frozen=True, slots=True)
class MailchimpUser:
    """The owner of an API key.

    Attributes:
        name: of the Mailchimp account; "" if the answer lacks it.
        login: the user name; "" if the answer lacks it.
    """

    name: str
    login: str

    def __str__(self) -> str:
        return f'the Mailchimp account "{self.name}" (login {self.login})'


def user_of(answer: Answer) -> MailchimpUser:
    """Returns the user in an answer to :data:`ROOT`."""
    values = [(answer.body or {}).get(name) for name in ("account_name", "username")]
    name, login = (value if isinstance(value, str) else "" for value in values)
    return MailchimpUser(name, login)
