"""Training files for the panel: list those to choose from, read one, keep an upload.

A file is read and its tokens are counted once for each choice. Nothing is ever overwritten.
"""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cookbook import data, data_folder, disk, params, paths
from cookbook.data import Report
from cookbook.data.reading.read import rows as rows_of
from cookbook.errors import DataError


@dataclass(frozen=True)
class TrainingFile:
    """A file that was read once.

    Attributes:
        report: what the check found; None where no file is chosen.
        token_counts: tokens of each row; empty unless the file can be trained on.
        validation_rows: the rows of the validation file that goes with it.
    """

    report: Report | None = None
    token_counts: list[int] = field(default_factory=list)
    validation_rows: list[dict[str, Any]] = field(default_factory=list)


def read(path: Path | None, validation: Path | None = None) -> TrainingFile:
    """Check a file and count its tokens.

    It never raises for what the files contain, nor for a file that cannot be read: see the report.
    """
    if path is None:
        return TrainingFile()
    report = data.check(path, validation=validation)
    if not report.ok:
        return TrainingFile(report)
    validation_rows = rows_of(validation.read_bytes()) if validation else []
    return TrainingFile(report, params.token_counts(report.rows), validation_rows)


def choices(folder: Path) -> dict[str, Path]:
    """Return label -> path of the .jsonl files of `folder`, the uploads, and the shipped ones."""
    labelled = {}
    for path in sorted(folder.glob("*.jsonl")):
        labelled[path.name] = path
    for path in sorted(_uploads().glob("*.jsonl")):
        labelled[f"uploads/{path.name}"] = path
    # With the folder's name, since each case has a file of the same name.
    for path in sorted(paths.DATA.glob("*/train*.jsonl")):
        labelled[f"{path.parent.name}/{path.name}"] = path
    return labelled


def _uploads() -> Path:
    return paths.Home(paths.home()).uploads


def path_from_here(path: Path) -> str:
    """Return the path as one would write it in the current folder."""
    try:
        return Path(os.path.relpath(path)).as_posix()
    except ValueError:  # another drive, on Windows
        return str(path)


def uploaded(value: Any) -> tuple[str, bytes]:
    """Return name and content of the file that an upload widget holds."""
    # ipywidgets 7, which Colab brings, has a dict of files by name; 8 has a tuple of files.
    if isinstance(value, dict):
        name, file = next(iter(value.items()))
        return name, bytes(file["content"])
    return value[0]["name"], bytes(value[0]["content"])


def keep(name: str, content: bytes) -> Path:
    """Write an upload into the data folder under a safe name, and return its path.

    The same content uploaded again is the same file; another content never replaces a file.

    Args:
        name: what the reader called the file; only its harmless characters are kept.

    Raises:
        DataError: the file has errors; nothing is written.
        OSError: the data folder cannot be written.
        ServiceError: it cannot be trusted, see `data_folder`.
    """
    report = data.check_bytes(content, name)
    if not report.ok:
        raise DataError(report=report)
    data_folder.prepare(paths.Home(paths.home()))
    path = _free_path(name, content)
    if not path.exists():
        # Training data may be confidential, so other accounts of the machine cannot read it.
        disk.write(path, content, private=True)
    return path


def _free_path(name: str, content: bytes) -> Path:
    """Return the first path for an upload that is free or holds the same content already."""
    harmless = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem)
    harmless = harmless[:40].strip("_") or "upload"
    digest = hashlib.sha256(content).hexdigest()[:8]
    stem = f"{harmless}-{digest}"
    path = _uploads() / f"{stem}.jsonl"
    # The digest is the content's, so a different content means that the file was edited since.
    number = 1
    while path.exists() and path.read_bytes() != content:
        number += 1
        path = _uploads() / f"{stem}-{number}.jsonl"
    return path
