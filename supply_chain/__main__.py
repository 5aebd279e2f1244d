"""``make audit``: writes the SBOM, lists licences, and queries advisories."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from supply_chain.advisories import ASKED, NotReached, advisories
from supply_chain.sbom import components, cyclonedx
from worker import __version__

ROOT = Path(__file__).parents[1]
SBOM = ROOT / "build" / "sbom.json"


def main() -> int:
    """Returns the exit code: 0 if there is no advisory, 1 if there is one, 3 if they could not be queried."""
    parts = components(ROOT / "requirements.lock")
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(json.dumps(cyclonedx(parts, __version__), indent=2) + "\n", encoding="utf-8")
    print(f"{len(parts)} packages; CycloneDX in {SBOM.relative_to(ROOT)}")
    for one in parts:
        print(f"  {one.name} {one.version}: {one.licence}")
    try:
        found = advisories(parts)
    except NotReached as error:
        print(f"Advisories were NOT checked: {ASKED} was not reached ({error}). Try again with a connection.")
        return 3
    for purl, ids in found.items():
        print(f"ADVISORY {purl}: {', '.join(ids)}; see https://osv.dev/list?q={ids[0]}")
    print("Advisories: " + (f"{len(found)} packages have some." if found else "none is known for these versions."))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
