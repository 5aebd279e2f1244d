"""Group commit: items that several threads submit at the same time are written together and acknowledged once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.errors import WorkerError

_Item = TypeVar("_Item")


@dataclass(eq=False)
class _Waiting(Generic[_Item]):
    item: _Item
    done: bool = False
    failed: BaseException | None = None


class GroupCommit(Generic[_Item]):
    """Thread-safe. The first thread carries out its item; items that arrive meanwhile form the next group.

    So no item waits for others to arrive, and a slow commit makes the next group larger instead of the queue longer.
    """

    def __init__(self, carry_out: Callable[[Sequence[_Item]], None]) -> None:
        """Starts with an empty queue.

        Args:
            carry_out: writes items in their order, all or none; called by one thread at a time.
        """
        self._carry_out = carry_out
        self._queue: list[_Waiting[_Item]] = []
        self._queue_lock = threading.Lock()
        self._turn = threading.Lock()  # held while a group is carried out

    def submit(self, item: _Item) -> None:
        """Carries out an item together with waiting ones, and returns when it is done.

        A failure of the database or of Kafka is raised for all items of the group. Any other exception is raised only
        for the item that caused it.

        Raises:
            WorkerError: the group was not carried out.
        """
        mine = _Waiting(item)
        with self._queue_lock:
            self._queue.append(mine)
        with self._turn:
            if not mine.done:
                with self._queue_lock:
                    group, self._queue = self._queue, []
                self._run(group)
        if mine.failed is not None:
            raise mine.failed

    def _run(self, group: Sequence[_Waiting[_Item]]) -> None:
        try:
            self._carry_out([waiting.item for waiting in group])
        except Exception as error:
            if len(group) > 1 and not isinstance(error, WorkerError):
                for waiting in group:
                    self._run([waiting])
                return
            self._end(group, error)
        except BaseException as error:
            self._end(group, error)
        else:
            self._end(group, None)

    def _end(self, group: Sequence[_Waiting[_Item]], failed: BaseException | None) -> None:
        for waiting in group:
            waiting.failed, waiting.done = failed, True
