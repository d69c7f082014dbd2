"""Find a job that has done, or is doing, the same already, instead of training twice.

    job = jobs.find(client, **request) or client.fine_tuning.jobs.create(**request)

"The same" means the same result: the same base, the same training rows byte for byte (however often
the file was uploaded, whatever its name), the same validation file (by content too) or share, the
same seed and the same seven hyperparameters. A value that is left out counts as the service's
default. Task name and metadata do not count. Jobs that failed or were cancelled never count, nor do
finished ones whose model was deleted.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cookbook.client import synchronous
from cookbook.job_states import TERMINAL
from cookbook.params import DEFAULT_SEED, VALIDATION, Hyperparameters

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.fine_tuning import FineTuningJob

_Options = Mapping[str, Any] | None


@dataclass(frozen=True)
class _Recipe:
    """What decides a job's result, except for the content of its files."""

    model: str
    seed: int
    validation_share: float | None  # None where there is a validation file
    hyperparameters: dict[str, Any]


def find(
    client: "OpenAI",
    *,
    model: str,
    training_file: str,
    validation_file: str | None = None,
    seed: int | None = None,
    method: _Options = None,
    hyperparameters: _Options = None,
    extra_body: _Options = None,
    **_ignored: Any,
) -> "FineTuningJob | None":
    """Return the newest finished job that is the same, else the newest unfinished one, else None.

    Takes what `client.fine_tuning.jobs.create` takes. Every page of the jobs is read.

    Raises:
        ArgumentError: `client` is asynchronous, or no client.
    """
    recipe = _Recipe(
        model=model,
        seed=DEFAULT_SEED if seed is None else seed,
        validation_share=None if validation_file else _validation_share(extra_body),
        hyperparameters=_hyperparameters(method, hyperparameters),
    )
    client = synchronous(client)
    files = _Files(client)
    unfinished = None
    # Newest first; the client fetches further pages by itself.
    for job in client.fine_tuning.jobs.list(limit=100):
        finished = job.status == "succeeded"
        if job.status in TERMINAL and not finished:
            continue
        if _recipe_of(job) != recipe:
            continue
        if unfinished and not finished:
            continue
        # Files come last: to compare them, they may have to be fetched.
        if not files.same(training_file, job.training_file):
            continue
        if not files.same(validation_file, job.validation_file):
            continue
        if not finished:
            unfinished = job
        elif _model_exists(client, job.fine_tuned_model):
            return job
    return unfinished


def _validation_share(extra_body: _Options) -> float:
    # Not in OpenAI's API, so the client sends it as an extra.
    return (extra_body or {}).get("validation_split", VALIDATION.suggested)


def _hyperparameters(method: _Options, older: _Options) -> dict[str, Any]:
    """Return all seven values, from `method` or the older argument; the defaults where left out."""
    supervised = (method or {}).get("supervised") or {}
    given = supervised.get("hyperparameters") or older or {}
    values = Hyperparameters().to_dict()
    for name, value in given.items():
        # In OpenAI's API "auto" leaves the choice to the service.
        if value != "auto":
            values[name] = value
    return values


def _recipe_of(job: "FineTuningJob") -> _Recipe:
    share = None
    if not job.validation_file:
        share = getattr(job, "validation_split", VALIDATION.suggested)
    values = {}
    for name in Hyperparameters().to_dict():
        # A service without LoRA parameters does not report them, so its jobs are never the same.
        values[name] = getattr(job.hyperparameters, name, None)
    return _Recipe(job.model, job.seed, share, values)


class _Files:
    """Compare uploaded files by content. Each is fetched at most once, and only if sizes agree."""

    def __init__(self, client: "OpenAI") -> None:
        self._client = client
        files = client.files.list()
        self._sizes = {file.id: file.bytes for file in files}
        self._digests: dict[str, bytes] = {}

    def same(self, one: str | None, other: str | None) -> bool:
        """Return whether two file ids have the same content; None is only the same as None."""
        import openai

        if one is None or other is None or one == other:
            return one == other
        size = self._sizes.get(one)
        other_size = self._sizes.get(other)
        # A file that is not listed was deleted.
        if size is None or size != other_size:
            return False
        try:
            return self._digest(one) == self._digest(other)
        except openai.NotFoundError:
            return False

    def _digest(self, file_id: str) -> bytes:
        if file_id not in self._digests:
            content = self._client.files.content(file_id).read()
            self._digests[file_id] = hashlib.sha256(content).digest()
        return self._digests[file_id]


def _model_exists(client: "OpenAI", model: str | None) -> bool:
    import openai

    if model is None:
        return False
    # The list of models has pages; one request for the one model is enough.
    try:
        client.models.retrieve(model)
    except openai.NotFoundError:
        return False
    return True
