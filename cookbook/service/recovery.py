"""Find again what the database does not know, after it was lost, damaged or put back from a copy.

    store = open_store(home)            a damaged database is set aside, not deleted
    for line in find_models(store, home): ...

Promises: nothing is deleted here. A finished adapter gets its name back from the record in its
folder, which `worker.py` writes, or `imports/` for one that came from elsewhere; whatever else no
record explains stays where it is and is named, in the service's log and by `python -m cookbook
status`. Called by the service alone, before it starts a job.
"""

import contextlib
import dataclasses
import json
import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from cookbook import bases
from cookbook.adapter_settings import CONFIG, RECORD, WEIGHTS
from cookbook.i18n import tr
from cookbook.imports import record as imported
from cookbook.job_states import TERMINAL
from cookbook.paths import Home
from cookbook.service.database import LOCK_SECONDS
from cookbook.service.store import LOCAL, Job, Store, TunedModel
from cookbook.service.worker import ADAPTER

WHOLE_CHECK_BYTES = 64 * 2**20
"""Size of a database up to which each page is read at the start, in a fraction of a second."""

_TABLES = ("jobs", "events", "models")
# The length of a content is read without the content.
_FILES_CHECK = "SELECT 'ok' FROM (SELECT max(length(content)) FROM files)"
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_FILES = ("", "-wal", "-shm")  # what belongs to a database, after its name
# What reading a file raises that is not what it should be.
_NO_RECORD = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
)
_log = logging.getLogger("cookbook")


# The database


def open_store(home: Home) -> Store:
    """Return the store of a data folder; a database that is damaged is set aside before."""
    damage = _damage(home.database)
    if damage is None:
        return Store(home.database)
    broken = _set_aside(home)
    store = Store(home.database)
    text = tr(
        "数据库损坏（%s），已移到 %s；新建了一个。未完成的任务要重新提交，训练好的模型仍在",
        "the database is damaged (%s) and was moved to %s; a new one was made. Jobs that had not "
        "ended must be created again; finished models are still there",
    )
    _log.warning(text, damage, broken)
    return store


def _damage(path: Path) -> str | None:
    """Return what is wrong with the database; None if nothing is, or if there is none yet."""
    if not any(path.with_name(path.name + end).exists() for end in _FILES):
        return None
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as db:
            for check in _checks(path):
                result = db.execute(check).fetchone()
                if result and result[0] != "ok":
                    return str(result[0]).splitlines()[-1]
    except sqlite3.DatabaseError as error:
        # Anything else, such as a lock, may pass, and the store will meet it and say so.
        if error.sqlite_errorname.startswith(_DAMAGE):
            return str(error)
    return None


def _checks(path: Path) -> list[str]:
    """Return the queries that read everything, of a large database all but the files' content."""
    # Its log is merged now and then, and stays small.
    size = path.stat().st_size if path.exists() else 0
    if size <= WHOLE_CHECK_BYTES:
        return ["PRAGMA quick_check(1)"]
    return [*(f"PRAGMA quick_check({table})" for table in _TABLES), _FILES_CHECK]


def _set_aside(home: Home) -> Path:
    """Move the database out of the way with what belongs to it; return its new place."""
    home.set_aside.mkdir(exist_ok=True)
    name = f"{home.database.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}"
    target = home.set_aside / name
    number = 1
    while target.exists():
        number += 1
        target = home.set_aside / f"{name}-{number}"
    for end in _FILES:
        # Of the three, only the first is always there.
        with contextlib.suppress(FileNotFoundError):
            part = home.database.with_name(home.database.name + end)
            part.replace(target.with_name(target.name + end))
    return target


# Models and working folders


def find_models(store: Store, home: Home) -> list[str]:
    """Record the finished adapters that the store does not know; return a line for each finding."""
    lines = []
    for folder in _unknown_adapters(store, home):
        model = _record_of(folder)
        if model and (job := store.job(model.job)):
            # A process was killed before it could record it, not the database lost.
            model = dataclasses.replace(model, owner=job.owner)
        if model and store.add_found_model(model):
            text = tr(
                f"模型 {model.id} 不在数据库里，已从 models/{folder.name} 找回",
                f"the model {model.id} was not in the database and was found again in "
                f"models/{folder.name}",
            )
            lines.append(text)
    return lines + [kept(name) for name in unexplained(store, home)]


def unexplained(store: Store, home: Home) -> list[str]:
    """Return what the data folder holds that no record explains, by its path in there."""
    found = _unknown_adapters(store, home)
    for folder in sorted(home.jobs.glob("*/")):
        if store.job(folder.name) is None:
            found.append(folder)
    found += sorted(home.set_aside.glob("*"))
    return [path.relative_to(home.folder).as_posix() for path in found]


def kept(name: str) -> str:
    """Return the line for a part of the data folder that no record explains, and so stays."""
    return tr(
        f"{name}：没有它的记录，原样保留",
        f"{name}: no record explains it; it is kept as it is",
    )


def _unknown_adapters(store: Store, home: Home) -> list[Path]:
    """Return what is in the models folder unrecorded, but for what jobs leave and tidy up."""
    recorded = {model.folder for model in store.models()}
    unknown = []
    for folder in sorted(home.models.glob("*")):
        if folder.name in recorded:
            continue
        name = ADAPTER.fullmatch(folder.name.removesuffix(".part"))
        job = store.job(name[1]) if name else None
        if job is None or _is_only_unrecorded(job, folder):
            unknown.append(folder)
    return unknown


def _is_only_unrecorded(job: Job, folder: Path) -> bool:
    """Return whether this is a whole adapter of the job, which lacks nothing but its record.

    A job that has ended tidies up parts, and one that has not makes again what is not whole.
    """
    if folder.name.endswith(".part"):
        return False
    return job.status in TERMINAL or (folder / RECORD).exists()


def _record_of(folder: Path) -> TunedModel | None:
    """Return what an adapter's folder tells of itself; None where it is not whole or not ours."""
    if folder.is_symlink() or not is_whole(folder / WEIGHTS):
        return None
    try:
        if imported.FOLDER.fullmatch(folder.name):
            return _imported(folder)
        return _trained(folder)
    except _NO_RECORD:
        return None


def _imported(folder: Path) -> TunedModel | None:
    """Return what the folder of an imported model tells, which no job here has trained."""
    record = _json(folder / RECORD)
    if not imported.is_own(record, folder.name):
        return None
    return _model(folder, record, imported.NO_JOB, int(record.get("step") or 0))


def _trained(folder: Path) -> TunedModel | None:
    """Return what the folder of a job's adapter tells, perhaps of an older release."""
    name = ADAPTER.fullmatch(folder.name)
    if name is None:
        return None
    job, step = name[1], int(name[2])
    config = _json(folder / CONFIG)
    base = bases.referred(str(config["base_model_name_or_path"]))
    record = _json(folder / RECORD) if (folder / RECORD).exists() else {}
    if not _is_own(record, job, step):
        record = _guess(job, step, base, folder)
    return _model(folder, record, job, step)


def _model(folder: Path, record: dict[str, Any], job: str, step: int) -> TunedModel:
    """Return the model that a record tells of.

    Raises:
        KeyError, TypeError, ValueError: it is not a record.
    """
    metrics = record["metrics"]
    return TunedModel(
        number=0,
        id=str(record["model"]),
        job=job,
        base=str(record["base"]),
        created_at=int(record["created_at"]),
        step=step,
        folder=folder.name,
        metrics={name: metrics.get(name) for name in ("train_loss", "valid_loss")},
        # Those of older releases name nobody.
        owner=str(record.get("owner") or LOCAL),
        shared=record.get("shared") is True,
    )


def _is_own(record: dict[str, Any], job: str, step: int) -> bool:
    """Return whether a record was written for this folder, and not copied here from another."""
    if (record.get("job"), record.get("step")) != (job, step):
        return False
    # Never the name of a base.
    return str(record.get("model")).startswith("ft:")


def _guess(job: str, step: int, base: str, folder: Path) -> dict[str, Any]:
    """Return the record of an adapter that was made before there were records."""
    letters = job.removeprefix("ftjob-")
    return {
        "model": f"ft:LoRA/{base}:local:found:{letters}-ckpt_step_{step}",
        "base": base,
        "created_at": int(folder.stat().st_mtime),
        "metrics": {},
    }


def is_whole(weights: Path) -> bool:
    """Return whether a safetensors file has the length that its header tells."""
    if not weights.is_file():
        return False
    try:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 2**24)))
        header.pop("__metadata__", None)
        end = max(tensor["data_offsets"][1] for tensor in header.values())
        return weights.stat().st_size == 8 + length + int(end)
    except _NO_RECORD:
        return False


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(path)
    return content
