"""Asks a web application without a server, a socket or an event loop, which opens one."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp


def get(application: ASGIApp, path: str, method: str = "GET", accept: str = "") -> tuple[int, dict[str, str], str]:
    """Returns status, headers and body of an answer; the application must wait for nothing."""
    answer: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        answer.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"accept", accept.encode())],
    }
    running: Any = application(scope, receive, send)
    try:
        running.send(None)
    except StopIteration:
        pass
    else:
        raise AssertionError("it waits for something")
    headers = {name.decode(): value.decode() for name, value in answer[0]["headers"]}
    return answer[0]["status"], headers, b"".join(one["body"] for one in answer[1:]).decode()
