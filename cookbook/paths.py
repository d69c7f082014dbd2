"""Where the package finds the files it ships with, and where it may write.

`DATA` holds what is shipped and only read. `home()` is the reader's data folder: uploads, jobs, tuned models.
"""

import json
import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent

# In a checkout the data lies beside the package; an installed wheel carries it inside.
DATA = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _CHECKOUT / "data"


def shipped_rows(name: str | Path) -> list[dict]:
    """The rows of a .jsonl file of the project's own, by its path in `DATA`. (A reader's file goes through `data.load`.)"""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def home() -> Path:
    """The data folder: `COOKBOOK_HOME`, else `.cookbook/` in the checkout, else in the current folder."""
    if chosen := os.environ.get("COOKBOOK_HOME"):
        return Path(chosen).expanduser().resolve()
    base = _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path.cwd()
    return base / ".cookbook"
