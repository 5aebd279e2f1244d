"""People act between the calls of 500 that a large list is filled with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.histories.history import History
from worker.mailchimp.calls import Call


@pytest.mark.parametrize("action", ["archive", "unsubscribe"])
def test_who_leaves_between_two_calls_of_500_is_not_put_back_by_the_next(tmp_path: Path, action: str) -> None:
    """Between two chunks, somebody of the next chunk joins and leaves: the list is asked again before that chunk."""
    history = History(tmp_path, 0, calm=True)
    coming = {f"c{number}@crowd.com" for number in range(510)}
    chunks = []

    def between(call: Call) -> None:
        if call.method == "POST":
            chunks.append(call)
            coming.difference_update(contact["email_address"] for contact in (call.body or {})["members"])
            if coming:
                history.actors.do("master", min(coming), "subscribe")
                history.actors.do("master", min(coming), action)

    with history.world:
        history.listen()
        history.actors.crowd(510)
        history.world.wire.after = between
        history.flush()

    assert len(chunks) >= 2
    assert not history.oracle.broken
