"""Where the worker can be installed without a compiler."""

import hashlib
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from worker.errors import DatabaseError
from worker.sqlite.library import OLDEST, require_current, sqlite3

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
PLATFORMS = {
    "x86_64-unknown-linux-gnu": ("linux", "x86_64"),
    "aarch64-unknown-linux-gnu": ("linux", "aarch64"),
    "x86_64-apple-darwin": ("darwin", "x86_64"),
    "aarch64-apple-darwin": ("darwin", "arm64"),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def locked(platform: str) -> dict[str, str]:
    """Returns what the lock installs on a platform, by name, with the version."""
    system, machine = PLATFORMS[platform]
    environment = {"sys_platform": system, "platform_machine": machine}
    lines = re.findall(r"^([a-z][^\\\n]*==[^\\\n]*)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate(environment)]
    return {one.name: str(one.specifier).removeprefix("==") for one in wanted}


def test_every_locked_package_has_a_wheel_everywhere():
    """`make lock` resolved this very lock by wheels alone, for each platform and Python, and wrote down for which."""
    *found, digest = (ROOT / "tests" / "data" / "wheels.txt").read_text(encoding="utf-8").splitlines()
    assert found == [f"{platform} {python}" for platform in PLATFORMS for python in PYTHONS]
    assert digest == hashlib.sha256(LOCK.read_bytes()).hexdigest(), "the lock was changed without `make lock`"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_has_no_wheel_on_a_platform_is_not_asked_for_there(platform: str):
    """pysqlite3 is for the two platforms with its wheels; Intel Macs get the last cryptography that has one."""
    found = locked(platform)
    assert ("pysqlite3" in found) == (platform in ("x86_64-unknown-linux-gnu", "aarch64-apple-darwin"))
    assert (int(found["cryptography"].partition(".")[0]) < 49) == (platform == "x86_64-apple-darwin")


def test_an_sqlite_that_may_corrupt_the_database_is_refused():
    """Without pysqlite3 the interpreter's own is used only if it is new enough; the message says what to do."""
    require_current(OLDEST)
    require_current(sqlite3.sqlite_version_info)
    with pytest.raises(DatabaseError, match=r"SQLite 3\.46\.1 is too old: releases before 3\.51\.3") as refused:
        require_current((3, 46, 1))
    assert "Install pysqlite3" in refused.value.advice
