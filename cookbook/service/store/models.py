"""Keep tuned models and checkpoints: their names, and the folders of their adapters."""

import json

from cookbook.paths import is_folder_name
from cookbook.service.store.part import Part
from cookbook.service.store.records import TunedModel, models_of

INSERT_MODEL = (
    "INSERT OR IGNORE INTO models (id, job, base, created_at, step, folder, metrics) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class Models(Part):
    """The store's models."""

    def models(self, job_id: str | None = None) -> list[TunedModel]:
        """Return the models of one job, or of all, newest first."""
        if job_id is None:
            rows = self._database.rows("SELECT * FROM models ORDER BY number DESC")
        else:
            rows = self._database.rows(
                "SELECT * FROM models WHERE job = ? ORDER BY number DESC", job_id
            )
        return models_of(rows)

    def model(self, model_id: str) -> TunedModel | None:
        rows = self._database.rows("SELECT * FROM models WHERE id = ?", model_id)
        return next(iter(models_of(rows)), None)

    def add_found_model(self, model: TunedModel) -> bool:
        """Add a model that was found in its folder; return False if its id or folder is taken.

        Its number is not used: it gets the next one. A row of its id that leads nowhere, as one
        with a folder of another machine, is replaced.
        """
        values = (
            model.id,
            model.job,
            model.base,
            model.created_at,
            model.step,
            model.folder,
            json.dumps(model.metrics),
        )
        with self._database.write() as db:
            same = "SELECT folder FROM models WHERE id = ? OR folder = ?"
            for row in db.execute(same, (model.id, model.folder)).fetchall():
                if is_folder_name(row["folder"]):
                    return False
            db.execute("DELETE FROM models WHERE id = ?", (model.id,))
            db.execute(INSERT_MODEL, values)
        return True

    def delete_model(self, model_id: str) -> None:
        with self._database.write() as db:
            db.execute("DELETE FROM models WHERE id = ?", (model_id,))
