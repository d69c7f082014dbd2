"""Remember files, jobs, events, models, batches and people of a data folder in an SQLite database.

The only channel between the service and its training processes. Promises: each change is one short
transaction, so a killed process leaves nothing half-written; events are only added; a job's status
only moves forward. A paused job keeps the status it had, with `requested_state = 'pause'`.

A database may come from elsewhere: rows whose names would lead out of the data folder are left
where they are and never returned.

The tables are in schema.sql, transactions in database.py. Nothing here knows HTTP or torch.
"""

import copy
from pathlib import Path

from cookbook.service.database import Database
from cookbook.service.store.batches import Batches
from cookbook.service.store.files import Files
from cookbook.service.store.jobs import Jobs
from cookbook.service.store.log import Log
from cookbook.service.store.models import Models
from cookbook.service.store.part import LOCAL
from cookbook.service.store.people import People, hash_of
from cookbook.service.store.records import (
    Batch,
    BatchAnswer,
    Event,
    File,
    Job,
    Person,
    TunedModel,
    Turn,
    new_id,
    shown,
)
from cookbook.service.store.training import Trainings
from cookbook.service.store.turns import Turns
from cookbook.service.store.twins import Twins

__all__ = [
    "LOCAL",
    "Batch",
    "BatchAnswer",
    "Event",
    "File",
    "Job",
    "Person",
    "Store",
    "TunedModel",
    "Turn",
    "hash_of",
    "new_id",
    "shown",
]


class Store(Files, Jobs, Log, Trainings, Models, People, Turns, Twins, Batches):
    """The database of one data folder; safe to use from many threads and processes.

    Raises:
        ServiceError: a newer release wrote the database.
        DiskFull: from every method that writes, with nothing changed.
    """

    def __init__(self, path: Path):
        self._database = Database(path)

    def of(self, person: str) -> "Store":
        """Return this store as one person sees it: their own things, and models that are shared."""
        narrowed = copy.copy(self)
        narrowed._person = person
        return narrowed
