"""Tell which notebook this kernel runs: `path()`, and the folder it is in, `folder()`."""

import os
import sys
from pathlib import Path


def path() -> Path | None:
    """Return the notebook's path as Jupyter's server or VS Code says it; None where none does."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    names = getattr(shell, "user_ns", {})
    # A cell may have changed the current folder, but not these.
    for notebook in (os.environ.get("JPY_SESSION_NAME"), names.get("__vsc_ipynb_file__")):
        if isinstance(notebook, str) and notebook.strip():
            return Path(notebook)
    return None


def folder() -> Path:
    """Return the folder of the notebook that runs; the current folder outside a notebook.

    Raises:
        FileNotFoundError: there is no notebook, and the current folder was deleted.
    """
    notebook = path()
    # Only a server's whole path leads anywhere: its root is not the kernel's folder.
    if notebook and notebook.is_absolute() and notebook.parent.is_dir():
        return notebook.parent.resolve()
    return Path.cwd()
