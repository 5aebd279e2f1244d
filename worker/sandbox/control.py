"""The stand-in's own endpoints, ``/sandbox``, which Mailchimp lacks: actions of people, faults, and the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.sandbox.errors import Problem
from worker.sandbox.faults import Fault
from worker.sandbox.server_state import StandIn

Handler = Callable[[StandIn, Any], Any]


def control(standin: StandIn) -> Starlette:
    """Returns the web application; ``GET /sandbox`` lists its endpoints."""
    routes = [Route("/sandbox", _help, methods=["GET"])]
    for method, path, _, handler in _HANDLERS:
        routes.append(Route(path, _endpoint(standin, handler), methods=[method]))
    return Starlette(routes=routes)


async def _help(request: Request) -> Response:
    return JSONResponse({f"{method} {path}": meaning for method, path, meaning, _ in _HANDLERS})


def _endpoint(standin: StandIn, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            data = await request.json() if await request.body() else {}
            result = handler(standin, data)
        except Problem as problem:
            return JSONResponse({"error": problem.detail, "fields": dict(problem.errors)}, status_code=400)
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)
        return Response(status_code=204) if result is None else JSONResponse(result)

    return endpoint


def _faults(standin: StandIn, data: Any) -> None:
    if not isinstance(data, list):
        raise ValueError("faults are a list")
    standin.faults = [Fault.from_json(fault) for fault in data]


def _no_faults(standin: StandIn, data: Any) -> None:
    standin.faults = []


def _latency(standin: StandIn, data: Any) -> None:
    standin.latency = max(0.0, float(data["seconds"]))


def _lists(standin: StandIn, data: Any) -> Any:
    return [
        {
            "user": user.name,
            "list": mailing_list.as_json(),
            "members": [member.as_json() for member in standin.members(mailing_list.list_id)],
        }
        for user in list(standin.users.values())
        for mailing_list in list(user.lists.values())
    ]


def _create_list(standin: StandIn, data: Any) -> None:
    permissions = data.get("marketing_permissions") is True
    standin.create_list(data["user"], data["list"], data.get("name", data["list"]), marketing_permissions=permissions)


def _refusals(standin: StandIn, data: Any) -> None:
    mailing_list = standin.find_list(data["list"])
    mailing_list.refuses = data.get("refuses")
    mailing_list.fake = {str(address).lower() for address in data.get("fake", ())}


def _add_merge_field(standin: StandIn, data: Any) -> None:
    standin.add_merge_field(data["list"], data["field"])


_HANDLERS: Sequence[tuple[str, str, str, Handler]] = (
    # The log
    (
        "GET",
        "/sandbox/audit",
        "every status change, with the call that caused it, or by hand",
        lambda standin, _: [change.as_json() for change in tuple(standin.audit.changes)],
    ),
    (
        "GET",
        "/sandbox/calls",
        "every call and the status of its answer",
        lambda standin, _: [call.as_json() for call in tuple(standin.audit.calls)],
    ),
    ("DELETE", "/sandbox/calls", "forget the calls", lambda standin, _: standin.audit.clear_calls()),
    (
        "GET",
        "/sandbox/counts",
        "calls by method and status, the most at once, and people put back by a call",
        lambda standin, _: standin.audit.as_counts(),
    ),
    # Faults
    (
        "PUT",
        "/sandbox/faults",
        "[{kind, method, path, key, status, title, times, chance}]; kinds: status, bare, status_after, bare_after, "
        "page, garbled, lacking, cut, timeout_before, timeout_after",
        _faults,
    ),
    ("DELETE", "/sandbox/faults", "nothing goes wrong any more", _no_faults),
    ("PUT", "/sandbox/latency", "{seconds}: how long each call takes", _latency),
    # Actions of list owners
    (
        "PUT",
        "/sandbox/keys",
        "{key, user}: add an API key, or give a revoked one back",
        lambda standin, data: standin.add_key(data["key"], data["user"]),
    ),
    ("DELETE", "/sandbox/keys", "{key}: revoke it", lambda standin, data: standin.revoke(data["key"])),
    ("GET", "/sandbox/lists", "every list with its members, the archived too", _lists),
    ("PUT", "/sandbox/lists", "{user, list, name, marketing_permissions}", _create_list),
    ("DELETE", "/sandbox/lists", "{list}", lambda standin, data: standin.delete_list(data["list"])),
    (
        "PUT",
        "/sandbox/refusals",
        "{list, refuses: title or null, fake: [address]}: whom a list does not take",
        _refusals,
    ),
    ("PUT", "/sandbox/merge-fields", "{list, field: {name, type, tag, required, options}}", _add_merge_field),
    # Actions on members
    (
        "POST",
        "/sandbox/by-hand",
        "{list, email, act, value}; acts: subscribe, sign up, confirm, unsubscribe, clean, archive, forget, rename (to "
        "value)",
        lambda standin, data: standin.by_hand(data["list"], data["email"], data["act"], data.get("value")),
    ),
    (
        "POST",
        "/sandbox/tag",
        "{list, email, tag, active}: a member's tag",
        lambda standin, data: standin.tag(
            data["list"], data["email"], data["tag"], active=bool(data.get("active", True))
        ),
    ),
    (
        "POST",
        "/sandbox/edit",
        "{list, email, tag, value}: a member's merge field",
        lambda standin, data: standin.edit(data["list"], data["email"], data["tag"], data["value"]),
    ),
)
"""Method, path, meaning with the expected JSON, and handler."""
