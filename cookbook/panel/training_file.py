"""Training files for the panel: which there are to choose from, what one holds, and where an upload is kept."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from cookbook import data, params
from cookbook.data import Report
from cookbook.errors import DataError
from cookbook.paths import DATA, home


@dataclass(frozen=True)
class TrainingFile:
    """A file that was read once: its report; where it can be trained on, the tokens of each row, and the rows of the
    validation file that goes with it."""

    report: Report | None = None
    counts: list[int] = field(default_factory=list)
    held: list[dict] = field(default_factory=list)


def read(path: Path | None, validation: Path | None = None) -> TrainingFile:
    """Check a file and count its tokens. Never raises for what the files say, nor for one that cannot be read."""
    if path is None:
        return TrainingFile()
    report = data.check(path, validation=validation, max_tokens=None)
    if not report.ok:
        return TrainingFile(report)
    held = data.check(validation, max_tokens=None).rows if validation else []
    return TrainingFile(report, params.token_counts(report.rows), held)


def choices(folder: Path) -> dict[str, Path]:
    """Label -> path of each .jsonl file of `folder`, of the uploads, and of the shipped training files."""
    shipped = {
        path.relative_to(DATA).as_posix(): path for path in sorted(DATA.glob("*/train*.jsonl"))
    }
    uploads = {
        f"uploads/{path.name}": path for path in sorted((home() / "uploads").glob("*.jsonl"))
    }
    own = {path.name: path for path in sorted(folder.glob("*.jsonl"))}
    return own | uploads | shipped


def from_here(path: str | Path) -> str:
    """The path as one would write it in this folder."""
    try:
        return Path(os.path.relpath(path)).as_posix()
    except ValueError:  # another drive, on Windows
        return str(path)


def keep(name: str, content: bytes) -> Path:
    """Write an upload into the data folder under a safe name of our own; nothing is ever overwritten, and the same
    content uploaded again is the same file.

    Raises:
        DataError: the file has errors; nothing is written.
        OSError: the data folder cannot be written.
    """
    report = data.check_bytes(content, name, max_tokens=None)
    if not report.ok:
        raise DataError(report=report)
    folder = home() / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem)[:40].strip("_") or "upload"
    stem += "-" + hashlib.sha256(content).hexdigest()[:8]
    path, again = folder / f"{stem}.jsonl", 1
    while path.exists():
        if path.read_bytes() == content:
            return path
        again += 1
        path = folder / f"{stem}-{again}.jsonl"
    with path.open("xb") as file:
        file.write(content)
    return path
