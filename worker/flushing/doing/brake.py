"""The brake: many members that would leave a list at once wait for an operator, since that is rarely meant."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from worker.flushing.deciding.steps import Lane
from worker.flushing.deciding.survey import leaves
from worker.model import AccountId, ListId

FEW = 50
"""So many may leave any list in one flush."""
SHARE = 0.1
"""Or this share of the members that the ledger knows there, where that is more."""

BRAKED = "more members would leave this list in one flush than is usual"
CONFIRM = "Done when an operator confirms it (flush --account ID --confirm)."


def limit(present: int) -> int:
    """Returns how many may leave a list in one flush.

    Args:
        present: members that the ledger knows on the list.
    """
    return max(FEW, int(present * SHARE))


class Brake:
    """Decides list by list whether departures are held. The account's threads share it."""

    def __init__(self, planned: Mapping[ListId, int], present: Mapping[ListId, int], *, confirmed: bool) -> None:
        """Decides on those that are planned.

        Args:
            planned: members that would leave each list.
            present: members that the ledger knows on each list.
            confirmed: whether an operator confirmed: then nothing is held.
        """
        self._left = dict(planned)
        self._present = present
        self._confirmed = confirmed
        self._lock = threading.Lock()
        self.held = {
            list_id: count
            for list_id, count in planned.items()
            if not confirmed and count > limit(present.get(list_id, 0))
        }
        """Lists whose planned departures are held, with how many these are."""

    def sort(self, lanes: Iterable[Lane]) -> tuple[list[Lane], list[Lane]]:
        """Sorts lanes into those that may be done and those held back, each held as a whole."""
        free: list[Lane] = []
        held: list[Lane] = []
        for lane in lanes:
            braked = any(leaves(step) and step.place.list_id in self.held for step in lane)
            (held if braked else free).append(lane)
        return free, held

    def notices(self, account_id: AccountId) -> list[str]:
        """Returns a sentence for each list whose planned departures are held."""
        return [
            f"Held back on list {list_id}: {count} members would leave it in one flush, more than "
            f"{limit(self._present.get(list_id, 0))}. If that is meant: mailchimp-worker flush --account {account_id} "
            "--confirm"
            for list_id, count in self.held.items()
        ]

    def may_leave(self, list_id: ListId) -> bool:
        """Counts one more member that would leave a list, found only now; returns whether it may."""
        with self._lock:
            self._left[list_id] = self._left.get(list_id, 0) + 1
            return self._confirmed or self._left[list_id] <= limit(self._present.get(list_id, 0))
