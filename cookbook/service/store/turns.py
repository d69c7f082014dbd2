"""Tell what the order of the queue follows from: everybody's jobs, waits and trainings."""

import json
import time
from dataclasses import fields
from typing import Any

from cookbook.job_states import UNFINISHED
from cookbook.service.store.part import Part
from cookbook.service.store.records import Queued, Turn

_UNFINISHED = f"status IN {UNFINISHED}"

# The first and the newest step of each training that is under way or ended within the hour.
_TURNS = """
    SELECT jobs.id, jobs.owner, jobs.finished_at, started.created_at AS started_at,
        started.data AS started,
        (SELECT data FROM events WHERE job = jobs.id AND type = 'metrics' AND step IS NOT NULL
            ORDER BY step DESC LIMIT 1) AS newest
    FROM jobs JOIN events AS started
        ON started.job = jobs.id AND started.type = 'message' AND started.step = 0
    WHERE
"""
_NEWEST_EVENT = """
    SELECT job, data FROM events
    WHERE number IN (
        SELECT (SELECT max(number) FROM events WHERE job = jobs.id) FROM jobs WHERE {unfinished}
    )
"""


class Turns(Part):
    """What the store knows of the queue, whoever asks: a place is one among everybody's jobs."""

    def queued_by_all(self) -> list[Queued]:
        """Return everybody's jobs that have not ended, oldest first."""
        columns = ", ".join(field.name for field in fields(Queued))
        sql = f"SELECT {columns} FROM jobs WHERE {_UNFINISHED} ORDER BY number"
        return [Queued(*row) for row in self._database.rows(sql)]

    def turns(self, since: float) -> list[Turn]:
        """Return the trainings since then, in seconds since 1970: under way, or ended later."""
        rows = self._database.rows(f"{_TURNS} jobs.status = 'running'")
        rows += self._database.rows(f"{_TURNS} jobs.finished_at > ?", since)
        found = []
        for row in rows:
            begin = _data(row["started"])
            # What was taken over took no training.
            if not begin.get("taken_over"):
                has_ended = row["finished_at"] is not None
                end = row["finished_at"] if has_ended else time.time()
                seconds = max(0.0, end - max(row["started_at"], since))
                trained = min(seconds, _seconds(_data(row["newest"]), seconds))
                # Of a cluster a job has as much as all of its workers.
                trained *= begin.get("n_workers", 1)
                found.append(Turn(row["id"], row["owner"], trained, has_ended))
        return found

    def waiting_for(self) -> dict[str, str]:
        """Return what jobs wait for beside their place, by their ids: what their logs say last."""
        found = {}
        for row in self._database.rows(_NEWEST_EVENT.format(unfinished=_UNFINISHED)):
            cause = _data(row["data"]).get("waiting_for")
            if cause:
                found[row["job"]] = cause
        return found


def _seconds(step: dict[str, Any], otherwise: float) -> float:
    """Return how long a training has computed, which leaves out its pauses, by its newest step."""
    tokens, speed = step.get("tokens"), step.get("tokens_per_second")
    return tokens / speed if tokens and speed else otherwise


def _data(text: str | None) -> dict[str, Any]:
    return json.loads(text) if text else {}
