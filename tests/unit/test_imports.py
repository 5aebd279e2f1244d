"""Which way imports go, and which library is known where."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

from worker.cli.app import COMMANDS

WORKER = Path(__file__).parents[2] / "worker"

PAGE = (WORKER.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
LAYERS = [re.findall(r"`([\w.]+)`", row) for row in re.findall(r"^\| (`worker.*?) \|", PAGE, re.MULTILINE)]
"""The rows of the map in docs/architecture.md, the lowest first."""
DECISIONS = (
    "worker.fields",
    "worker.plan",
    "worker.mailchimp.answers",
    "worker.mailchimp.calls",
    "worker.flush.schedule",
)
"""What decides about a customer, and touches nothing."""
READING = {"worker.fields.rehash", "worker.plan.related_customers", "worker.plan.candidates"}
"""Modules beside them that read what they decide on."""
KNOWN_TO = {
    "requests": {"worker.mailchimp.endpoint"},
    "urllib3": {"worker.mailchimp.connection", "worker.mailchimp.endpoint"},
    "confluent_kafka": {"worker.kafka", "worker.consumer", "worker.publish", "worker.changelog", "worker.demo.broker"},
    "pysqlite3": {"worker.sqlite.library"},
    "sqlite_utils": {"worker.sqlite.migrations"},
    "cryptography": {"worker.accounts.secrets"},
    "schedule": {"worker.daemon"},
    "pydantic": {"worker.config"},
    "pydantic_settings": {"worker.config"},
    "structlog": {"worker.log"},
    "msgspec": {
        "worker.consumer",
        "worker.store.customers",
        "worker.sqlite.rows",
        "worker.text.json_input",
        "worker.web.api",
    },
    "typer": {"worker.cli"},
    "rich": {"worker.cli", "worker.demo.demo"},
    "starlette": {"worker.sandbox.server", "worker.sandbox.control", "worker.web"},
    "jinja2": {"worker.web.templates"},
    "uvicorn": {"worker.sandbox.server", "worker.web.connection", "worker.web.server"},
    "prometheus_client": {"worker.web.application", "worker.web.collector"},
}


def test_msgspec_knows_each_type_before_there_are_threads() -> None:
    """It looks at a type when that is first decoded; two threads that do so at once end the process (SIGSEGV)."""
    calls = [node for tree in modules().values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    decoding = [one for one in calls if ast.unparse(one.func).endswith(("json.decode", "msgspec.convert"))]
    assert [ast.unparse(one) for one in decoding if any(word.arg == "type" for word in one.keywords)] == []


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the worker by name."""
    found = {}
    for path in WORKER.rglob("*.py"):
        parts = path.relative_to(WORKER.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@cache
def imported(tree: ast.Module) -> frozenset[str]:
    """The names of all modules that a module imports, with what it takes from a package."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def within(name: str, part: str) -> bool:
    """Whether a module is a part, or in it."""
    return name == part or (part != "worker" and name.startswith(part + "."))


@cache
def layer(name: str) -> int | None:
    """The number of a module's layer."""
    return next((n for n, parts in enumerate(LAYERS) if any(within(name, part) for part in parts)), None)


def test_every_module_has_its_layer():
    """Every module has a layer."""
    assert [name for name in modules() if layer(name) is None] == []


def test_imports_go_one_way():
    """No module imports from a layer above its own."""
    wrong = [
        f"{name} imports {other}"
        for name, tree in modules().items()
        for other in imported(tree)
        if other.startswith("worker.") and layer(other) is not None and layer(other) > layer(name)
    ]
    assert wrong == []


def test_only_the_commands_for_trying_out_import_sandbox_and_demo():
    """The worker itself never needs them."""
    parts = ("worker.sandbox", "worker.demo")
    users = {
        name
        for name, tree in modules().items()
        if any(within(other, part) for other in imported(tree) for part in parts)
        and not any(within(name, part) for part in parts)
    }
    assert users == {"worker.cli.sandbox"}


def test_only_the_daemon_imports_the_web_server_and_only_when_it_runs():
    """Its libraries take long to import, and every command would wait for them."""
    trees = modules()
    reached, ahead = set(), {f"worker.cli.{module}" for module, _, _ in COMMANDS.values()}
    while ahead:
        name = ahead.pop()
        reached.add(name)
        at_once = ast.Module([node for node in trees[name].body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        ahead |= (imported(at_once) & trees.keys()) - reached
    assert "worker.daemon" in reached
    starlette = {name for name, tree in trees.items() if any(within(one, "starlette") for one in imported(tree))}
    assert not reached & (starlette | {"worker.web.collector", "worker.web.templates", "worker.web.server"})


def test_each_outside_library_is_known_in_one_place():
    """What a library raises and returns is translated where it is used."""
    wrong = [
        f"{name} imports {library}"
        for name, tree in modules().items()
        for library, places in KNOWN_TO.items()
        if any(within(other, library) for other in imported(tree)) and not any(within(name, one) for one in places)
    ]
    assert wrong == []


def test_every_outside_library_has_its_place():
    """No library comes in unnoticed: each has its place above, and is a dependency."""
    outside = {
        other.partition(".")[0]
        for tree in modules().values()
        for other in imported(tree)
        if not within(other, "worker")
    }
    used = {name for name in outside if name not in sys.stdlib_module_names and name != "worker"}
    assert used == KNOWN_TO.keys()
    with (WORKER.parent / "pyproject.toml").open("rb") as opened:
        wanted = {re.match(r"[\w-]+", one)[0] for one in tomllib.load(opened)["project"]["dependencies"]}  # type: ignore[index]
    # urllib3 comes with requests, which cannot be used without its errors; tzdata is found by zoneinfo.
    assert {name.replace("_", "-") for name in used} - {"urllib3"} == wanted - {"tzdata"}


def test_decisions_need_no_input_or_output():
    """What decides about a flush imports neither database, network nor clock."""
    trees = modules()
    for name in {one for one in trees if any(within(one, part) for part in DECISIONS)} - READING:
        others = imported(trees[name])
        assert not {other for other in others if within(other, "worker.flush")} - {name}, name
        doing = {"worker.sqlite.database", "worker.mailchimp.client", "worker.mailchimp.connection"}
        assert not others & {*doing, "time", "random", "threading"}, name
    for name in ("consumer.decode", "consumer.event_order", "consumer.start_offset", "kafka.partitioner"):
        assert "worker.sqlite.database" not in imported(trees[f"worker.{name}"]), name


def test_no_file_and_no_function_is_too_long_to_be_read_at_once() -> None:
    """A file has at most 400 lines; a function has 60 after its docstring."""
    files = {path: path.read_text(encoding="utf-8") for path in WORKER.rglob("*.py")}
    assert [path.name for path, text in files.items() if len(text.splitlines()) > 400] == []
    nodes = (node for text in files.values() for node in ast.walk(ast.parse(text)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in functions if _lines_of(node) > 60] == []


def _lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    return (function.end_lineno or 0) - first.lineno + 1
