"""Answers a request with an error: a page for browsers, an RFC 9457 problem for programs.

An owner reads it without commands, files or the operators' settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from worker import errors
from worker.errors import WorkerError
from worker.web.call import SAFE_METHODS, target_of
from worker.web.errors import NotAllowed, NotSignedIn, TooManyTries, WebProblem, WorkerAway, problem_of, status_of
from worker.web.templates import render

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


def error_response(request: Request, error: WorkerError) -> Response:
    """Returns an error as a page, or for programs as an RFC 9457 problem."""
    status = status_of(error)
    headers = {"Retry-After": "60"} if status in (429, 503) else {}
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = 'Bearer realm="mailchimp-worker"'
    if request.url.path.startswith("/api/"):
        return JSONResponse(problem_of(error), status, headers, media_type="application/problem+json")
    return HTMLResponse(_error_page(request, error, status), status, headers)


def _error_page(request: Request, error: WorkerError, status: int) -> str:
    path = request.url.path
    of_account, visitor = path.startswith("/accounts/"), getattr(request.state, "visitor", None)
    for_owner = of_account or isinstance(error, NotSignedIn)
    message, advice = message_for_owner(error) if for_owner else (error.message, error.advice)
    operator = visitor is not None and visitor.operator
    more = f"{error.message} {error.advice}" if of_account and operator and message != error.message else None
    if path == "/open" and isinstance(error, NotAllowed):
        more = "Make a new link: mailchimp-worker link opens this page, mailchimp-worker link ACCOUNT an account's."
    settings = quote("/".join(path.split("/")[:3]), safe="/~") + "/mailchimp" if of_account and visitor else None
    again = request.method in SAFE_METHODS and (status >= 500 or isinstance(error, TooManyTries))
    return render(
        "problem.html",
        message=message,
        advice=advice,
        more=more,
        sign_in=isinstance(error, NotSignedIn),
        again=target_of(request) if again else None,
        settings=None if again else settings,
    )


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
