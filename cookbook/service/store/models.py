"""Keep tuned models and checkpoints: their names, and the folders of their adapters."""

import json
import sqlite3

from cookbook.paths import is_folder_name
from cookbook.service.store.part import Part
from cookbook.service.store.records import TunedModel, models_of

_INSERT = (
    "INSERT OR IGNORE INTO models "
    "(id, job, base, created_at, step, folder, metrics, owner, shared) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Models(Part):
    """The store's models: a person's own, and those that are shared."""

    @property
    def _visible(self) -> str:
        return f"({self._own} OR shared)"

    def models(self, job_id: str | None = None) -> list[TunedModel]:
        """Return the models of one job, or of all, newest first."""
        condition, values = self._visible, self._own_values
        if job_id is not None:
            condition, values = f"{condition} AND job = ?", (*values, job_id)
        sql = f"SELECT * FROM models WHERE {condition} ORDER BY number DESC"
        return models_of(self._database.rows(sql, *values))

    def newest_models(self, limit: int) -> list[TunedModel]:
        """Return the newest models, at most `limit`."""
        sql = f"SELECT * FROM models WHERE {self._visible} ORDER BY number DESC LIMIT ?"
        return models_of(self._database.rows(sql, *self._own_values, limit))

    def models_kept(self) -> dict[str, int]:
        """Return how many models each owner has."""
        sql = f"SELECT owner, count(*) FROM models WHERE {self._own} GROUP BY owner"
        return {owner: number for owner, number in self._database.rows(sql, *self._own_values)}

    def model(self, model_id: str) -> TunedModel | None:
        sql = f"SELECT * FROM models WHERE id = ? AND {self._visible}"
        rows = self._database.rows(sql, model_id, *self._own_values)
        return next(iter(models_of(rows)), None)

    def add_found_model(self, model: TunedModel) -> bool:
        """Add a model that was found in its folder; return False if its id or folder is taken.

        Its number is not used: it gets the next one. A row of its id that leads nowhere, as one
        with a folder of another machine, is replaced.
        """
        with self._database.write() as db:
            same = "SELECT folder FROM models WHERE id = ? OR folder = ?"
            for row in db.execute(same, (model.id, model.folder)).fetchall():
                if is_folder_name(row["folder"]):
                    return False
            db.execute("DELETE FROM models WHERE id = ?", (model.id,))
            insert_model(db, model)
        return True

    def share_model(self, model_id: str, shared: bool) -> None:
        """Let everybody in the room ask a model, or its owner alone again."""
        with self._database.write() as db:
            own = f"UPDATE models SET shared = ? WHERE id = ? AND {self._own}"
            db.execute(own, (int(shared), model_id, *self._own_values))

    def delete_model(self, model_id: str) -> None:
        with self._database.write() as db:
            own = f"DELETE FROM models WHERE id = ? AND {self._own}"
            db.execute(own, (model_id, *self._own_values))


def insert_model(db: sqlite3.Connection, model: TunedModel) -> None:
    """Add a model, unless it is there already; its number is not used: it gets the next one."""
    values = (
        model.id,
        model.job,
        model.base,
        model.created_at,
        model.step,
        model.folder,
        json.dumps(model.metrics),
        model.owner,
        int(model.shared),
    )
    db.execute(_INSERT, values)
