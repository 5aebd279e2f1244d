"""Errors in words for a shop's owner, without commands, files or the operators' settings. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping

from worker import errors
from worker.errors import WorkerError
from worker.web.errors import NotSignedIn, WebProblem, WorkerAway

OwnerMessage = tuple[str, str]
"""What went wrong, and what to do about it."""

_BY_CODE: Mapping[str, OwnerMessage] = {
    "api_key_malformed": (
        "This is not a Mailchimp API key.",
        "A key has 32 letters and digits, a hyphen and a short ending, such as -us21. Copy all of it.",
    ),
    "api_key_refused": (
        "Mailchimp does not accept this key.",
        "It may be switched off, or its last part may be missing. Make a new key in Mailchimp, and copy all of it.",
    ),
    "wrong_data_centre": (
        "The ending of this key is not right.",
        "Copy the whole key from Mailchimp again, with its ending, such as -us21.",
    ),
    "mailchimp_unreachable": ("Mailchimp does not answer at the moment.", "Nothing was changed. Try again soon."),
    "certificate_not_accepted": (
        "We cannot reach Mailchimp safely at the moment.",
        "Nothing was changed, and your key was not sent. If this happens again, contact our support.",
    ),
}
_BY_CLASS: tuple[tuple[type[WorkerError], OwnerMessage], ...] = (
    (
        WorkerAway,
        (
            "We cannot show your account at the moment.",
            "The part of our system that looks after it does not answer. Nothing is lost: your customers are sent once "
            "it is back. Try again in a minute.",
        ),
    ),
    (errors.MailchimpError, ("Mailchimp could not do this.", "Nothing was changed. Try again soon.")),
    (errors.KafkaError, ("We cannot do this at the moment.", "Nothing was changed. Try again in a minute.")),
    (
        errors.DatabaseError,
        ("We cannot look anything up at the moment.", "Nothing was changed. Try again in a minute."),
    ),
    (errors.NotFound, ("This no longer exists.", "Go back to your settings, and choose again.")),
    (
        errors.AccountError,
        ("This cannot be done at the moment.", "Go back to your settings: they say what is missing."),
    ),
)
_OTHERS = ("Something went wrong on our side.", "Try again. If this happens again, contact our support.")


def message_for_owner(error: WorkerError) -> OwnerMessage:
    """Returns what went wrong and what to do, for an owner."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if isinstance(error, NotSignedIn):
        return error.message, "Open this page again from your billmywork settings."
    for kind, message in _BY_CLASS:
        if isinstance(error, kind):
            return message
    # Errors of a request are already worded for its visitor.
    return (error.message, error.advice) if isinstance(error, WebProblem) else _OTHERS
