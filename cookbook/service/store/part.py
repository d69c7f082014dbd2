"""What the parts of the store have in common: one database, and whose things are shown."""

from cookbook.service.database import Database


class Part:
    """One resource of the store; `Store` is made of all of them."""

    _database: Database
