"""A Mailchimp with one very long list, generated page by page: python -m benchmarks.many_members MEMBERS.

It answers the calls of `read-back`, and needs memory for one page only. Members changed long ago, 20 per second, in the
order of their numbers; "since_last_changed" works as in Mailchimp. Prints its URL.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from worker.clock import as_moment

A_SECOND = 20
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def page(members: int, query: dict[str, str]) -> dict[str, Any]:
    """Returns a page of members as in Mailchimp's answers; no member is archived."""
    since = query.get("since_last_changed")
    first = max(0, int((as_moment(since) - FIRST).total_seconds()) * A_SECOND) if since else 0
    there = 0 if query.get("status") == "archived" else max(0, members - first)
    start = first + int(query.get("offset", 0))
    numbers = range(start, min(start + int(query.get("count", 10)), first + there))
    return {"members": [_member(one) for one in numbers], "total_items": there}


def _member(number: int) -> dict[str, Any]:
    changed = (FIRST + timedelta(seconds=number // A_SECOND)).isoformat()
    return {
        "email_address": f"person{number}@example.com",
        "contact_id": f"{number:032x}",
        "status": "subscribed",
        "last_changed": changed,
        "timestamp_opt": changed,
        "timestamp_signup": changed,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    members = 0

    def do_GET(self) -> None:
        """Answers a GET."""
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body: dict[str, Any] = page(self.members, query) if parts.path.endswith("/members") else {"id": "list"}
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Date", format_datetime(datetime.now(UTC), usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Returns "", because the Date header is sent once, above."""
        return ""

    def send_response(self, code: int, message: str | None = None) -> None:
        """Sends only the status line."""
        self.send_response_only(code, message)

    def log_message(self, *arguments: object) -> None:
        """Logs nothing."""


def serve(members: int) -> None:
    """Serves until the process is stopped."""
    _Handler.members = members
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/3.0", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
