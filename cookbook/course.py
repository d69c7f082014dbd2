"""The notebooks of the course: where this installation keeps them, and how a reader gets copies.

A checkout has them in `notebooks/`; a wheel carries them inside the package, where nobody should
edit them, so `python -m cookbook course DIR` copies them out. They read their data from the package
and need no other file beside them. The copies belong to the reader: one that was changed is never
overwritten without `overwrite=True`.
"""

import shutil
from pathlib import Path

from cookbook.errors import ArgumentError

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "_notebooks"
_CHECKOUT = _PACKAGE.parent / "notebooks"

FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""Where the notebooks are; the English ones are in its folder `en`."""


def notebooks(folder: Path) -> list[Path]:
    """Return the notebooks of `folder` itself, in the order of their names."""
    return sorted(folder.glob("*.ipynb"))


def runnable() -> list[Path]:
    """Return what `run` executes when no notebook is named.

    These are the notebooks of the current folder, else those of the checkout. The notebooks inside
    an installed package are never executed in place.

    Raises:
        ArgumentError: there are none.
    """
    found = notebooks(Path.cwd())
    if not found and FOLDER == _CHECKOUT:
        found = notebooks(_CHECKOUT)
    if not found:
        raise ArgumentError(
            zh="当前文件夹里没有笔记本：先用 python -m cookbook course my-course 取出课程，"
            "再运行 python -m cookbook run my-course",
            en="there are no notebooks in the current folder: copy the course with "
            "python -m cookbook course my-course, then python -m cookbook run my-course",
        )
    return found


def copy(folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Copy the course into `folder`, which is created if necessary, and return the files written.

    A file that is there already with the same content is left alone and not returned.

    Raises:
        ArgumentError: `folder` is a file, or it holds notebooks with other content and `overwrite`
            is false. Nothing has been copied then.
    """
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(
            zh=f"{folder} 是文件，不是文件夹：换一个名字",
            en=f"{folder} is a file, not a folder: choose another name",
        )
    missing: dict[Path, Path] = {}  # target -> source
    changed: dict[Path, Path] = {}
    for source in _sources():
        target = folder / source.relative_to(FOLDER)
        if not target.exists():
            missing[target] = source
        elif target.read_bytes() != source.read_bytes():
            changed[target] = source
    # All or nothing: half of a course in a new version would be worse than none.
    if changed and not overwrite:
        names = "\n".join(f"  {path}" for path in changed)
        raise ArgumentError(
            zh=f"这些笔记本已经在那里，内容不同，没有复制任何文件（--force 会覆盖它们）：\n{names}",
            en="nothing was copied, because these notebooks exist with other content "
            f"(--force overwrites them):\n{names}",
        )
    written = missing | changed
    # The contents alone: what a package installer made read-only, a reader wants to edit.
    for target, source in written.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return sorted(written)


def _sources() -> list[Path]:
    """Return every notebook of the course."""
    # Jupyter leaves checkpoints of the same names in a checkout.
    found = sorted(FOLDER.rglob("*.ipynb"))
    return [path for path in found if path.parent.name != ".ipynb_checkpoints"]
