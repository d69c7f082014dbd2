"""Find a job that did, or is doing, the same already, instead of training twice.

    job = jobs.find(client, **request) or client.fine_tuning.jobs.create(**request)

"The same" means the same result: the same base, the same training rows byte for byte (however often the file was
uploaded, whatever its name), the same validation file (by content too) or share, the same seed and the same seven
hyperparameters, where a value that is left out counts as the service's default. Task name and metadata do not count.
Jobs that failed or were cancelled never count, nor do finished ones whose model was deleted.
"""

import hashlib
from collections.abc import Callable
from functools import cache

from cookbook.params import Hyperparameters

_DEFAULTS = {"seed": 42, "validation_split": 0.1}  # those of `cookbook/local/api.py` and `wire.py`


def find(
    client,
    *,
    model: str,
    training_file: str,
    validation_file: str | None = None,
    seed: int | None = None,
    method: dict | None = None,
    hyperparameters: dict | None = None,
    extra_body: dict | None = None,
    **_,
):
    """The newest finished job that is the same, else the newest unfinished one, else None.

    Takes what `client.fine_tuning.jobs.create` takes; every page of the jobs is looked at.
    """
    given = ((method or {}).get("supervised") or {}).get("hyperparameters") or hyperparameters or {}
    wanted = {
        "model": model,
        "seed": _DEFAULTS["seed"] if seed is None else seed,
        "validation": None if validation_file else (extra_body or {}).get("validation_split", _DEFAULTS["validation_split"]),
        "hyperparameters": Hyperparameters().to_dict() | {k: v for k, v in given.items() if v != "auto"},
    }  # fmt: skip
    same_content = _contents(client)
    unfinished = None
    for job in client.fine_tuning.jobs.list(
        limit=100
    ):  # newest first; further pages come by themselves
        if job.status in ("failed", "cancelled") or _facts(job) != wanted:
            continue
        if job.status != "succeeded" and unfinished:
            continue
        if not same_content(training_file, job.training_file) or not same_content(
            validation_file, job.validation_file
        ):
            continue
        if job.status != "succeeded":
            unfinished = job
        elif _exists(client, job.fine_tuned_model):
            return job
    return unfinished


def _facts(job) -> dict:
    split = getattr(job, "validation_split", _DEFAULTS["validation_split"])
    return {
        "model": job.model,
        "seed": job.seed,
        "validation": None if job.validation_file else split,
        "hyperparameters": {
            name: getattr(job.hyperparameters, name, None) for name in Hyperparameters().to_dict()
        },
    }


def _contents(client) -> Callable[[str | None, str | None], bool]:
    """Whether two file ids stand for the same bytes. Each file is fetched once, and only where its size agrees."""
    import openai

    sizes = {file.id: file.bytes for file in client.files.list()}

    @cache
    def digest(file_id: str) -> bytes:
        return hashlib.sha256(client.files.content(file_id).read()).digest()

    def same(one: str | None, other: str | None) -> bool:
        if one is None or other is None or one == other:
            return one == other
        if sizes.get(one) is None or sizes.get(one) != sizes.get(
            other
        ):  # or one of them was deleted
            return False
        try:
            return digest(one) == digest(other)
        except openai.NotFoundError:
            return False

    return same


def _exists(client, model: str) -> bool:
    import openai

    try:
        return bool(client.models.retrieve(model))
    except openai.NotFoundError:
        return False
