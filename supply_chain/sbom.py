"""The worker's locked dependencies as a CycloneDX document, with hashes and licences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
NOT_KNOWN = "not known here"


@dataclass(frozen=True, slots=True)
class Component:
    """One locked package.

    Attributes:
        hashes: SHA-256 of its files.
        licence: from its metadata; NOT_KNOWN if it is not installed on this platform.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    licence: str

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def components(lock: Path) -> list[Component]:
    """Returns the packages of a lock file."""
    found: list[tuple[str, str, list[str]]] = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if pinned := _PINNED.match(line):
            found.append((pinned[1], pinned[2], []))
        if found:
            found[-1][2].extend(_HASH.findall(line))
    return [Component(name, version, tuple(hashes), licence_of(name)) for name, version, hashes in found]


def licence_of(name: str) -> str:
    """Returns the licence in a package's metadata."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return NOT_KNOWN
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = [one for one in told.get_all("Classifier") or () if one.startswith("License :: ")]
    if classifiers:
        return " AND ".join(one.rpartition(" :: ")[2] for one in classifiers)
    return (told.get("License") or NOT_KNOWN).strip().splitlines()[0]


def cyclonedx(parts: Iterable[Component], version: str) -> dict[str, Any]:
    """Returns the document. Source: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "mailchimp-worker", "version": version}},
        "components": [
            {
                "type": "library",
                "name": one.name,
                "version": one.version,
                "purl": one.purl,
                "bom-ref": one.purl,
                "licenses": [{"license": {"name": one.licence}}],
                # A component has one hash, which can only be that of a single file; the lock allows several files.
                "properties": [{"name": "lock:sha256", "value": each} for each in one.hashes],
            }
            for one in parts
        ],
    }
