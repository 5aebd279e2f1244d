"""The Mailchimp user whom an API key belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from worker.mailchimp.call import Answer, Call

ROOT = Call("GET", "/", {"fields": "account_name,username"})
"""Answers 2xx to a good API key with whose it is, and changes nothing. Source: Mailchimp's API root."""


@dataclass(frozen=True, slots=True)
class MailchimpUser:
    """Whose an API key is.

    Attributes:
        name: of the Mailchimp account; empty where the answer does not say.
        login: the name by which its owner logs in; empty where the answer does not say.
    """

    name: str
    login: str

    def __str__(self) -> str:
        """Returns both for a sentence."""
        return f'the Mailchimp account "{self.name}" (login {self.login})'


def user_of(answer: Answer) -> MailchimpUser:
    """Returns the user whom an answer to :data:`ROOT` describes."""
    told = [(answer.body or {}).get(one) for one in ("account_name", "username")]
    name, login = (one if isinstance(one, str) else "" for one in told)
    return MailchimpUser(name, login)
