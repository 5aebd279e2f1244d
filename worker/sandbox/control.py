"""What only a stand-in has, under ``/sandbox``: actions of people, faults, and a log of what happened, over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
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
    """Returns the web application; ``GET /sandbox`` lists what it takes."""
    routes = [Route("/sandbox", _help, methods=["GET"])]
    for path, methods in _HANDLERS.items():
        for method, (handler, _) in methods.items():
            routes.append(Route(f"/sandbox/{path}", _endpoint(standin, handler), methods=[method]))
    return Starlette(routes=routes)


async def _help(request: Request) -> Response:
    data = {
        f"{method} /sandbox/{path}": meaning
        for path, methods in _HANDLERS.items()
        for method, (_, meaning) in methods.items()
    }
    return JSONResponse(data)


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


# What happened


def _audit(standin: StandIn, data: Any) -> Any:
    return [change.as_json() for change in tuple(standin.audit.changes)]


def _calls(standin: StandIn, data: Any) -> Any:
    return [call.as_json() for call in tuple(standin.audit.calls)]


def _clear_calls(standin: StandIn, data: Any) -> None:
    standin.audit.clear_calls()


def _counts(standin: StandIn, data: Any) -> Any:
    return standin.audit.as_counts()


# What goes wrong


def _faults(standin: StandIn, data: Any) -> None:
    if not isinstance(data, list):
        raise ValueError("faults are a list")
    standin.faults = [Fault.from_json(fault) for fault in data]


def _no_faults(standin: StandIn, data: Any) -> None:
    standin.faults = []


def _latency(standin: StandIn, data: Any) -> None:
    standin.latency = max(0.0, float(data["seconds"]))


# What owners do


def _add_key(standin: StandIn, data: Any) -> None:
    standin.add_key(data["key"], data["user"])


def _revoke(standin: StandIn, data: Any) -> None:
    standin.revoke(data["key"])


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


def _delete_list(standin: StandIn, data: Any) -> None:
    standin.delete_list(data["list"])


def _add_merge_field(standin: StandIn, data: Any) -> None:
    standin.add_merge_field(data["list"], data["field"])


# What persons do


def _by_hand(standin: StandIn, data: Any) -> None:
    standin.by_hand(data["list"], data["email"], data["act"], data.get("value"))


def _tag(standin: StandIn, data: Any) -> None:
    standin.tag(data["list"], data["email"], data["tag"], active=bool(data.get("active", True)))


def _edit(standin: StandIn, data: Any) -> None:
    standin.edit(data["list"], data["email"], data["tag"], data["value"])


_HANDLERS: Mapping[str, Mapping[str, tuple[Handler, str]]] = {
    "audit": {"GET": (_audit, "every status change, with the call that caused it, or by hand")},
    "calls": {
        "GET": (_calls, "every call and the status of its answer"),
        "DELETE": (_clear_calls, "forget the calls"),
    },
    "counts": {"GET": (_counts, "calls by method and status, the most at once, and people put back by a call")},
    "faults": {
        "PUT": (
            _faults,
            "[{kind, method, path, key, status, title, times, chance}]; kinds: status, bare, status_after, "
            "bare_after, garbled, lacking, cut, timeout_before, timeout_after",
        ),
        "DELETE": (_no_faults, "nothing goes wrong any more"),
    },
    "latency": {"PUT": (_latency, "{seconds} that each call takes")},
    "keys": {
        "PUT": (_add_key, "{key, user}: add an API key, or give a revoked one back"),
        "DELETE": (_revoke, "{key}: revoke it"),
    },
    "lists": {
        "GET": (_lists, "every list with its members, the archived too"),
        "PUT": (_create_list, "{user, list, name, marketing_permissions}"),
        "DELETE": (_delete_list, "{list}"),
    },
    "refusals": {"PUT": (_refusals, "{list, refuses: title or null, fake: [address]}: whom a list does not take")},
    "merge-fields": {"PUT": (_add_merge_field, "{list, field: {name, type, tag, required, options}}")},
    "by-hand": {
        "POST": (
            _by_hand,
            "{list, email, act, value}; acts: subscribe, sign up, confirm, unsubscribe, clean, archive, forget, "
            "rename (to value)",
        )
    },
    "tag": {"POST": (_tag, "{list, email, tag, active}: a member's tag")},
    "edit": {"POST": (_edit, "{list, email, tag, value}: a member's merge field")},
}
