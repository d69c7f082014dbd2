"""Find the files that the package ships with, and name every file of the data folder.

`DATA` holds what is shipped and only read. `home()` is the reader's data folder, and `Home` its
layout:

    home = Home(paths.home())
    home.database, home.address, home.job_folder("ftjob-…")
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent

# In a checkout the data is beside the package; an installed wheel carries it inside.
DATA = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _CHECKOUT / "data"


def shipped_rows(name: str | Path) -> list[dict]:
    """Return the rows of a .jsonl file of the project's own, by its path in `DATA`.

    A reader's file goes through `data.load`, which checks it.
    """
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def in_checkout() -> bool:
    """Return whether the package runs from a checkout, not from an installed wheel."""
    return (_CHECKOUT / "pyproject.toml").is_file()


def home() -> Path:
    """Return the data folder: `COOKBOOK_HOME`, else `.cookbook/` in checkout or current folder."""
    if chosen := os.environ.get("COOKBOOK_HOME"):
        return Path(chosen).expanduser().resolve()
    # In a checkout the folder does not depend on where a notebook is started.
    return (_CHECKOUT if in_checkout() else Path.cwd()) / ".cookbook"


@dataclass(frozen=True)
class Home:
    """The layout of a data folder. Each file name is written here and nowhere else."""

    folder: Path

    @property
    def database(self) -> Path:
        """Jobs, events, files and models: the only channel between processes."""
        return self.folder / "service.db"

    @property
    def address(self) -> Path:
        """Address, token and process number of the running service; only its owner can read it."""
        return self.folder / "service.json"

    @property
    def service_lock(self) -> Path:
        """Held by the service: one for each data folder."""
        return self.folder / "service.lock"

    @property
    def start_lock(self) -> Path:
        """Held while a service is started: of several kernels that ask at once, one starts it."""
        return self.folder / "start.lock"

    @property
    def service_log(self) -> Path:
        return self.folder / "service.log"

    @property
    def worker_logs(self) -> Path:
        """What each training process writes to standard error, a file each; the newest are kept."""
        return self.folder / "logs"

    @property
    def engine_mark(self) -> Path:
        """There while the service loads its chat engine; left where that ended the process."""
        return self.folder / "engine.loading"

    @property
    def models(self) -> Path:
        """Finished adapters and checkpoints, one PEFT folder each."""
        return self.folder / "models"

    @property
    def jobs(self) -> Path:
        """Working folders and locks of jobs that have not ended."""
        return self.folder / "jobs"

    @property
    def uploads(self) -> Path:
        """Files that a reader gave to the panel."""
        return self.folder / "uploads"

    @property
    def reserve(self) -> Path:
        """A little room that is given up when the disk is full, so that a job can still say so."""
        return self.folder / "reserve"

    @property
    def identifiers(self) -> Path:
        """SiliconCloud's model identifiers that were verified last, by platform address."""
        return self.folder / "identifiers.json"

    @property
    def set_aside(self) -> Path:
        """What could not be read, such as a damaged database; nothing here is ever deleted."""
        return self.folder / "set-aside"

    def job_folder(self, job_id: str) -> Path:
        """Return the working folder of a job: its adapters and the state to resume from."""
        return self.jobs / job_id

    def job_lock(self, job_id: str) -> Path:
        """Return the lock that is held by the process that trains the job."""
        return self.jobs / f"{job_id}.lock"

    def model_folder(self, name: str) -> Path:
        return self.models / name
