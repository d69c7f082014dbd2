"""What the parts of the store have in common: one database, and whose things are seen.

A store sees everything, and what is added through it belongs to `LOCAL`. One that was narrowed with
`Store.of` sees one person's own: whatever it is asked for, others' things are not there.
"""

from cookbook.service.database import Database

LOCAL = "local"
"""The owner of what nobody of a room has made: of whoever runs the service."""


class Part:
    """One resource of the store; `Store` is made of all of them.

    `_person` is whose things are seen; None for everybody's.
    """

    _database: Database
    _person: str | None = None

    @property
    def owner(self) -> str:
        """The owner of what is added through this store."""
        return self._person or LOCAL

    @property
    def _own(self) -> str:
        """A condition on rows that may be seen, with `_own_values` in the place of its marks."""
        return "1" if self._person is None else "owner = ?"

    @property
    def _own_job(self) -> str:
        """The id of a job that may be seen, as SQL: a mark for it, then `_own_values`."""
        return f"(SELECT id FROM jobs WHERE id = ? AND {self._own})"

    @property
    def _own_values(self) -> tuple[str, ...]:
        return () if self._person is None else (self._person,)
