"""Tell which jobs are equal: what they were asked to learn, and from what, as one number.

Two jobs are equal where all of this is: the content of their files, the base, the seed, the seven
hyperparameters, and the share held out. Names and metadata do not count. What the machine decides
for itself does not count either: how the memory plan cuts a batch changes a gradient in its
rounding alone, and in which type it holds the base follows from what was free at that moment, not
from what was asked for. The settings by which somebody chooses another way of computing do count
(`COOKBOOK_FAST`, `COOKBOOK_DEVICE`), since they draw other dropout; so does the release. Versions
of torch do not: they change no more than rounding.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cookbook import __version__, environment, fast
from cookbook.bases import Base, find
from cookbook.errors import BaseAway
from cookbook.machine import device
from cookbook.service.store import Job, Store

TRAINING = 1
"""Counted up where the engine comes to learn something else from the same job."""


def fingerprint(
    store: Store,
    base: Base,
    *,
    training_file: str,
    validation_file: str | None,
    validation_split: float,
    seed: int,
    hyperparameters: dict[str, Any],
) -> str | None:
    """Return what equal jobs have in common; None where that is not known.

    It is not known where a file was deleted, or where the base must still be downloaded.
    """
    files = [store.file_digest(training_file)]
    if validation_file:
        files.append(store.file_digest(validation_file))
    weights = _identity(base)
    if None in files or weights is None:
        return None
    asked = {
        "code": [__version__, TRAINING, fast.enabled()],
        "device": environment.value_of(device.VARIABLE, os.environ).lower(),
        "base": [base.id, weights],
        "files": files,
        # Nothing is held out where a file for it was given.
        "split": None if validation_file else validation_split,
        "seed": seed,
        "hyperparameters": hyperparameters,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def fingerprint_of(store: Store, job: Job) -> str | None:
    """Return the fingerprint of a job as its base is now.

    Raises:
        BaseAway: its base is gone.
    """
    return fingerprint(
        store,
        find(job.base),
        training_file=job.training_file,
        validation_file=job.validation_file,
        validation_split=job.validation_split,
        seed=job.seed,
        hyperparameters=job.hyperparameters,
    )


def is_as_asked(store: Store, job: Job) -> bool:
    """Return whether a job's fingerprint is still true; keep the one that is, if not."""
    try:
        now = fingerprint_of(store, job)
    except BaseAway:
        return False
    if now == job.fingerprint:
        return True
    store.keep_fingerprint(job.id, now)
    return False


def _identity(base: Base) -> str | None:
    """Return what tells the files of a base from others of the same name; None without files.

    Its configuration, and the size and time of each file: to read gigabytes of weights for each
    job would take longer than to train some. A copy of the same files counts as another base,
    which only means that a job trains.
    """
    if base.is_missing:
        return None
    digest = hashlib.sha256()
    folder = Path(base.source)
    try:
        for path in sorted(folder.iterdir()):
            # Hubs keep links to their files.
            if path.is_file():
                status = path.stat()
                line = [path.name, status.st_size, status.st_mtime_ns]
                digest.update(json.dumps(line).encode())
        digest.update((folder / "config.json").read_bytes())
    except OSError:
        return None
    return digest.hexdigest()
