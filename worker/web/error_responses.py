"""Answers a request with an error: a page for browsers, an RFC 9457 problem for programs."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from worker.errors import WorkerError
from worker.web.call import SAFE_METHODS, target_of
from worker.web.errors import NotSignedIn, TooManyTries, problem_of, status_of
from worker.web.owner_messages import message_for_owner
from worker.web.templates import render


def error_response(request: Request, error: WorkerError) -> Response:
    """Returns an error as a page, or for programs as an RFC 9457 problem."""
    status = status_of(error)
    headers = {"Retry-After": "60"} if status in (429, 503) else {}
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = 'Bearer realm="mailchimp-worker"'
    if for_programs(request):
        return JSONResponse(problem_of(error), status, headers, media_type="application/problem+json")
    return HTMLResponse(_error_page(request, error, status), status, headers)


def _error_page(request: Request, error: WorkerError, status: int) -> str:
    path = request.url.path
    of_account, visitor = path.startswith("/accounts/"), getattr(request.state, "visitor", None)
    message, advice = message_for_owner(error) if of_account else (error.message, error.advice)
    operator = visitor is not None and visitor.operator
    settings = quote("/".join(path.split("/")[:3]), safe="/~") + "/mailchimp" if of_account and visitor else None
    again = request.method in SAFE_METHODS and (status >= 500 or isinstance(error, TooManyTries))
    return render(
        "problem.html",
        message=message,
        advice=advice,
        more=f"{error.message} {error.advice}" if of_account and operator and message != error.message else None,
        sign_in=isinstance(error, NotSignedIn),
        again=target_of(request) if again else None,
        settings=None if again else settings,
    )


def for_programs(request: Request) -> bool:
    """Returns whether the route is for programs."""
    return request.url.path.startswith("/api/")
