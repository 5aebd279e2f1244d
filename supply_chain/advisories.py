"""Queries the OSV database, which has PyPI's and GitHub's advisories, for vulnerabilities of locked packages."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence

from supply_chain.sbom import Component

ASKED = "https://api.osv.dev/v1/querybatch"
"""Source: https://google.github.io/osv.dev/post-v1-querybatch/."""
SECONDS = 20


class NotReached(Exception):
    """The database did not answer."""


def advisories(parts: Sequence[Component]) -> dict[str, list[str]]:
    """Returns the ids of advisories, by package URL, of those packages that have any.

    Raises:
        NotReached: the database did not answer; says why.
    """
    body = json.dumps({"queries": [{"package": {"purl": one.purl}} for one in parts]}).encode()
    asked = urllib.request.Request(ASKED, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:  # noqa: S310
            results = json.load(answer)["results"]
    except (OSError, ValueError, KeyError) as error:
        raise NotReached(str(getattr(error, "reason", error))) from error
    return found_in(parts, results)


def found_in(parts: Sequence[Component], results: Sequence[dict[str, list[dict[str, str]]]]) -> dict[str, list[str]]:
    """Parses the answer, which has a result for each package in the order of the query."""
    told = zip(parts, results, strict=True)
    return {one.purl: [each["id"] for each in result["vulns"]] for one, result in told if result.get("vulns")}
