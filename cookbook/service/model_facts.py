"""Tell what the database knows of a tuned model, for its card, its exports and who imports it.

    facts_of(store, model, folder)      of a model that the store lists
    of_job(store, job, step, …)         of one that its training has just made

Of an imported model, which no job of this service has trained, its folder tells what whoever gave
it away has said of it.
"""

import contextlib
import re
from pathlib import Path
from typing import Any

from cookbook.data.reading import read
from cookbook.errors import DataError
from cookbook.exports.facts import Facts
from cookbook.imports import record
from cookbook.service.store import Event, Job, Store, TunedModel


def facts_of(store: Store, model: TunedModel, folder: Path) -> Facts:
    """Return what is known of a model, with the system prompt that all of its rows have.

    Args:
        folder: of its adapter.
    """
    losses = {name: model.metrics.get(name) for name in ("train_loss", "valid_loss")}
    job = store.job(model.job)
    if job is None:
        if told := record.recorded(folder, model.id):
            return told
        parts = model.id.split(":")
        title = parts[3] if len(parts) > 3 else None
        return Facts(
            model.id,
            model.base,
            title=title,
            step=model.step or None,
            created_at=model.created_at,
            train_loss=losses["train_loss"],
            valid_loss=losses["valid_loss"],
        )
    return of_job(
        store,
        job,
        model.step,
        model=model.id,
        created_at=model.created_at,
        losses=losses,
        system_prompt=_system_prompt(store, job),
    )


def of_job(
    store: Store,
    job: Job,
    step: int,
    *,
    model: str,
    created_at: int,
    losses: dict[str, float | None],
    trained_by: str | None = None,
    system_prompt: str | None = None,
) -> Facts:
    """Return what is known of the adapter that a job had after a step.

    `trained_by` is the equal job whose log tells of the training, where this one took it over.
    """
    started = _figures(store.started_event(trained_by or job.id))
    last_step = _figures(store.metrics_at(trained_by or job.id, step))
    validation = _file_name(store, job.validation_file) if job.validation_file else None
    return Facts(
        model,
        job.base,
        title=job.suffix,
        step=step,
        created_at=created_at,
        data_name=_file_name(store, job.training_file),
        validation=validation,
        validation_split=None if validation else job.validation_split,
        train_rows=started.get("train_rows"),
        valid_rows=started.get("valid_rows"),
        tokens=last_step.get("tokens"),
        trained_share=started.get("trained_share"),
        hyperparameters=job.hyperparameters,
        seed=job.seed,
        system_prompt=system_prompt,
        train_loss=losses["train_loss"],
        valid_loss=losses["valid_loss"],
    )


def _figures(event: Event | None) -> dict[str, Any]:
    return (event.data if event else None) or {}


def _file_name(store: Store, file_id: str) -> str:
    file = store.file(file_id)
    # A client may have sent a whole path, of this system or of another.
    return re.split(r"[\\/]", file.filename)[-1] if file else file_id


def _system_prompt(store: Store, job: Job) -> str | None:
    """Return the system prompt of the job's rows; None where they differ, or the file is gone."""
    with contextlib.suppress(LookupError, DataError):
        prompts = set()
        for row in read.rows(store.file_content(job.training_file)):
            first = row["messages"][0]
            prompts.add(first["content"] if first["role"] == "system" else None)
        if len(prompts) == 1:
            return prompts.pop()
    return None
