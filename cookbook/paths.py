"""Find the files that the package ships with, and name every file of the data folder.

`DATA` holds what is shipped and only read. `home()` is the reader's data folder, and `Home` its
layout:

    home = Home(paths.home())
    home.database, home.address, home.job_folder("ftjob-…")

Nothing is made or written here: `data_folder.py` does that. A name that would lead out of the
folder, as a database from elsewhere may have it, is refused.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cookbook import environment
from cookbook.errors import ArgumentError, UnsafeName

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
    """Return the data folder: `COOKBOOK_HOME`, else `.cookbook/` in checkout or current folder.

    Where that folder cannot be written, as a mounted course, it is `.cookbook/` of the user's own.

    Raises:
        ArgumentError: `COOKBOOK_HOME` begins with a `~` whose folder the system does not know.
    """
    if chosen := environment.value_of("COOKBOOK_HOME", os.environ):
        folder = os.path.expanduser(chosen)
        # As in a container whose user has no name.
        if folder.startswith("~"):
            raise ArgumentError(
                zh=f"COOKBOOK_HOME={chosen!r} 里的 ~ 没有对应的用户目录：写完整路径",
                en=f"COOKBOOK_HOME={chosen!r}: the system knows no folder for this ~. "
                "Write the whole path",
            )
        # A relative one, too, stays where it is when a cell changes the current folder.
        whole = Path(folder) if os.path.isabs(folder) else _first_folder() / folder
        return whole.resolve()
    # In a checkout the folder does not depend on where a notebook is started.
    beside = (_CHECKOUT if in_checkout() else _first_folder()) / ".cookbook"
    return beside if _may_be_made(beside) else _of_user(beside)


def _may_be_made(folder: Path) -> bool:
    """Return whether a data folder is there, or can be made there."""
    # One that is there is used: with an error, if need be, rather than another's jobs.
    return os.path.lexists(folder) or os.access(folder.parent, os.W_OK)


def _of_user(refused: Path) -> Path:
    """Return the data folder of a user whose current folder is read-only."""
    own = Path(os.path.expanduser("~"), ".cookbook")
    # A user without a folder gets the error of the one that was refused.
    return own if own.is_absolute() and _may_be_made(own) else refused


@cache
def _first_folder() -> Path:
    """Return the current folder of the first call: a cell may change it, but not the data's."""
    return Path.cwd()


def is_folder_name(name: object) -> bool:
    """Return whether `name` is the name of one file or folder, which leads nowhere else."""
    # Windows ignores dots and spaces at the end, so that ".. " is "..".
    return (
        isinstance(name, str)
        and 0 < len(name) <= 200
        and name == name.strip(". ")
        and name.isprintable()
        and not any(character in name for character in "/\\:")
    )


def _inside(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`.

    Raises:
        UnsafeName: it would be somewhere else.
    """
    if not is_folder_name(name):
        raise UnsafeName(
            zh=f"{name!r:.60} 不能作 {folder.name} 里的文件夹名：数据库可能被改过",
            en=f"{name!r:.60} cannot be a folder in {folder.name}: the database may have been "
            "tampered with",
        )
    return folder / name


@dataclass(frozen=True)
class Home:
    """The layout of a data folder. Each file name is written here and nowhere else.

    Attributes:
        storage: a folder that all nodes of a cluster see, for the working folders of jobs.
    """

    folder: Path
    storage: Path | None = None

    @property
    def database(self) -> Path:
        """Jobs, events, files and models: the only channel between processes."""
        return self.folder / "service.db"

    @property
    def address(self) -> Path:
        """Address, token and process number of the running service; only its owner can read it."""
        return self.folder / "service.json"

    @property
    def identity(self) -> Path:
        """Port and token of the last service, for the next one; only its owner can read it."""
        return self.folder / "identity.json"

    @property
    def service_lock(self) -> Path:
        """Held by the service: one for each data folder."""
        return self.folder / "service.lock"

    @property
    def start_lock(self) -> Path:
        """Held while a service is started: of several kernels that ask at once, one starts it."""
        return self.folder / "start.lock"

    @property
    def import_lock(self) -> Path:
        """Held while a model is brought in, one at a time."""
        return self.folder / "import.lock"

    @property
    def service_log(self) -> Path:
        return self.folder / "service.log"

    @property
    def worker_log(self) -> Path:
        """A line for each start and end of a training process, with the name of its own log."""
        return self.folder / "worker.log"

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
    def engine_models(self) -> Path:
        """The adapters that engines on this machine have loaded, as links to those of `models`."""
        return self.folder / "engine-models"

    @property
    def jobs(self) -> Path:
        """Locks of jobs that have not ended, and their working folders where nothing is shared."""
        return self.folder / "jobs"

    @property
    def working_folders(self) -> Path:
        """Working folders of jobs that have not ended."""
        return self.storage or self.jobs

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

    # Raise UnsafeName where a name would lead out of the folder.

    def job_folder(self, job_id: str) -> Path:
        """Return the working folder of a job: its adapters and the state to resume from."""
        return _inside(self.working_folders, job_id)

    def job_lock(self, job_id: str) -> Path:
        """Return the lock that is held by the process that trains the job."""
        return _inside(self.jobs, f"{job_id}.lock")

    def model_folder(self, name: str) -> Path:
        """Return the folder of a finished adapter or checkpoint."""
        return _inside(self.models, name)
