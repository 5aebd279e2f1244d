"""Which migrations a database has, and carrying out those that it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite_utils
    from sqlite_utils.migrations import Migrations as LibraryMigrations

_Step = Callable[["sqlite_utils.Database"], None]


class Migrations:
    """A set of migrations, each a function that is decorated with this and a name.

    sqlite-utils carries them out and notes them. It takes long to import, and is imported only where there are any to
    carry out.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._steps: dict[str, _Step] = {}

    def __call__(self, *, name: str) -> Callable[[_Step], _Step]:
        """Adds a function as the last migration."""

        def added(step: _Step) -> _Step:
            assert name not in self._steps, name
            self._steps[name] = step
            return step

        return added

    @property
    def names(self) -> list[str]:
        """The names of all, in their order."""
        return list(self._steps)

    def applied(self, connection: Any) -> set[str]:
        """Returns the names of those that a database has, also of a newer release."""
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
            return set()
        rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (self.name,))
        return {row[0] for row in rows}

    def apply(self, connection: Any) -> None:
        """Carries out those that a database lacks, all in one transaction."""
        import sqlite_utils

        missing = self.of_library()
        # Another process may do the same just now: which are missing is looked at once this one has the lock.
        connection.execute("BEGIN IMMEDIATE")
        try:
            missing.apply(sqlite_utils.Database(connection))
            connection.commit()
        finally:
            connection.rollback()

    def of_library(self) -> LibraryMigrations:
        """Returns them as sqlite-utils has them."""
        from sqlite_utils.migrations import Migrations as LibraryMigrations

        migrations = LibraryMigrations(self.name)
        for name, step in self._steps.items():
            migrations(name=name)(step)
        return migrations
