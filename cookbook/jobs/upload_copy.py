"""Put a training file where the page of a notebook can hand it to the reader.

Jupyter serves the files at and below the folder that it was started in, and none whose path has a
part that begins with a dot. A file elsewhere, such as the package's own or an upload in the data
folder, is therefore copied into `siliconcloud-upload/` beside the notebook: the reader can download
it there, also from a machine far away, and upload it in SiliconCloud's console. The copy is
readable for its owner alone, and git ignores the folder.
"""

import hashlib
from pathlib import Path
from urllib.parse import quote

from cookbook import disk, notebook
from cookbook.data.reading.read import MAX_BYTES

FOLDER = "siliconcloud-upload"


def link(path: Path, *, copy: bool = True) -> str | None:
    """Return the address of a file, relative to the notebook; None where it has none.

    Args:
        copy: whether the file may be copied if Jupyter cannot serve it where it is.
    """
    folder = notebook.folder()
    try:
        here = _below(path, folder)
        if here is None and copy:
            here = _copied(path, folder)
    except OSError:
        # The folder cannot be written; the reader gets the path instead.
        return None
    return None if here is None else quote(here.as_posix())


def _below(path: Path, folder: Path) -> Path | None:
    """Return the path relative to the folder, if the file is below it and is not hidden."""
    absolute = path.absolute()
    if not absolute.is_relative_to(folder):
        return None
    relative = absolute.relative_to(folder)
    hidden = any(part.startswith(".") for part in relative.parts)
    return None if hidden else relative


def _copied(path: Path, folder: Path) -> Path | None:
    """Return the copy's path, relative to the folder; None for a file that no console takes.

    Raises:
        OSError: the file cannot be read, or the folder cannot be written.
    """
    if path.stat().st_size > MAX_BYTES:
        return None
    content = path.read_bytes()
    # The content's digest in the name: two files of one name never replace each other.
    digest = hashlib.sha256(content).hexdigest()[:8]
    relative = Path(FOLDER) / f"{path.stem}-{digest}{path.suffix}"
    copy = folder / relative
    if not copy.exists():
        disk.write(folder / FOLDER / ".gitignore", b"*\n")
        disk.write(copy, content, private=True)
    return relative
