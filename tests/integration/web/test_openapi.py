"""The API is what its description says: tried by a real server, with what Schemathesis thinks of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import schemathesis
from hypothesis import Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS as CHECKS_BY_NAME
from schemathesis.checks import load_all_checks

from tests.integration.flush.world import ACCOUNT, World
from tests.integration.web.site import TOKEN, Site
from worker.web.api.openapi import document
from worker.web.api.routes import PAGES
from worker.web.server import WebServer

EXAMPLES = 8
load_all_checks()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with one account."""
    folder: Path = tmp_path_factory.mktemp("api")
    with World(folder, direct=True) as world, closing(WebServer("127.0.0.1", 0)) as server:
        server.start(Site(world).application)
        yield server.url


@pytest.fixture(scope="module")
def described(url: str):
    """The description that the server gives."""
    return schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")


OPERATIONS = [
    (path, method, mode)
    for path, operations in document(PAGES)["paths"].items()
    for method in operations
    if method != "parameters"
    for mode in GenerationMode
]
CHECKS = [
    CHECKS_BY_NAME.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "ignored_auth",
    )
]


def test_everything_is_described() -> None:
    """Each path and method of the API is in the description, and nothing else."""
    assert {(path, method.upper()) for path, method, _ in OPERATIONS} == {
        (one.path, method) for one in PAGES for method in one.methods
    }


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_the_api_is_as_described(described, path: str, method: str, mode: GenerationMode) -> None:
    """Whatever is sent, right or wrong: a described answer of a described form, and no internal error."""
    operation = described[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
        return  # nothing in it can be wrong but the account

    named = {"account_id": ACCOUNT, "list_id": "master"}
    parameters = {name: value for name, value in named.items() if f"{{{name}}}" in path}

    @given(operation.as_strategy(mode, path_parameters=parameters or None))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    def sent(case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

    sent()
