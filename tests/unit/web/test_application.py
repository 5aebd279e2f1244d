"""What the web application answers."""

from __future__ import annotations

import json

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.web.asgi import get
from worker.app import App
from worker.config import Config
from worker.web.application import web_application
from worker.web.call import WebContext
from worker.web.health import Conditions

CONTEXT = WebContext(App(Config()))


def answer(path: str, conditions: Conditions) -> tuple[int, dict[str, object]]:
    """Status and JSON of an answer by such conditions."""
    application = web_application(lambda: conditions, lambda: conditions, CollectorRegistry(), CONTEXT)
    status, headers, body = get(application, path)
    assert headers["content-type"] == "application/json"
    return status, json.loads(body)


@pytest.mark.parametrize(("path", "what"), [("/healthz", "live"), ("/readyz", "ready")])
def test_a_probe_says_which_condition_is_missing_and_why(path: str, what: str) -> None:
    """200 where all hold, 503 where not."""
    assert answer(path, {"one": None, "two": None}) == (
        200,
        {what: True, "missing": [], "conditions": {"one": "ok", "two": "ok"}},
    )
    assert answer(path, {"one": None, "two": "It is late."}) == (
        503,
        {what: False, "missing": ["two"], "conditions": {"one": "ok", "two": "It is late."}},
    )


def test_other_paths_and_methods_are_refused() -> None:
    """Nothing else is there, and nothing can be changed."""
    application = web_application(dict, dict, CollectorRegistry(), CONTEXT)
    assert get(application, "/nothing")[0] == 404
    assert get(application, "/healthz", "POST")[0] == 405
    assert get(application, "/healthz", "HEAD")[0] == 200
