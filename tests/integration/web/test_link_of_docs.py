"""The lines that docs/web.md gives to those who sign links themselves."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.flush.world import ACCOUNT
from tests.integration.web.site import Site
from worker.clock import utc_now
from worker.web.access.signing import base64url

PAGE = Path(__file__).parents[3] / "docs" / "web.md"


def test_a_link_by_the_lines_of_the_docs_opens_a_session(site: Site) -> None:
    """With the key that `link --key` prints, once, and the name is that of the session."""
    site.world.app.clock = utc_now
    (lines,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(lines, names)
    key = base64url(site.world.app.secret.derived("web link"))
    path = names["link"]("", key, ACCOUNT, "Ann")  # type: ignore[operator]
    client = site.anybody()
    assert client.get(path).status_code == 303
    assert client.get(f"/api/v1/accounts/{ACCOUNT}").status_code == 200
    assert site.anybody().get(path).status_code == 403
