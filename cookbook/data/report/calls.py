"""Calls in messages, so that they run as they are pasted into a cell.

    in_source("exports/a.json")        how a source is written: '"exports/a.json"'
    filled(remedy, source)             a remedy with the source in its calls
    writing(call, name)                a call that writes a training file
    parts(remedy)                      a remedy, cut into words and calls

A remedy is written with `path` for its source, as in `data.clean(path, fix=["markup"])`. The report
that takes it knows what the reader called the source, and fills it in.
"""

import os
import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path, PurePath

from cookbook.data.report.excerpt import shortened, visible

UNKNOWN = "path"  # where nobody knows what the source is called
ROWS = "rows"  # of rows in memory
LONGEST_PATH = 120  # characters; of a longer one the name must do
MAX_NAME = 60  # characters of the name of a file that is to be written

_OPENS = re.compile(r"\bdata\.[a-z_]{1,30}\(")
_SOURCE = re.compile(r"(?<=[(=])path(?=[,)])")  # as an argument of a call


def in_source(path: str | PathLike[str]) -> str:
    """Return a path as it is typed."""
    # Windows takes slashes too, and a backslash would be an escape.
    typed = _from_here(Path(path)).as_posix()
    if len(typed) > LONGEST_PATH:
        typed = PurePath(typed).name
    escaped = typed.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shortened(visible(escaped), LONGEST_PATH)}"'


def _from_here(path: Path) -> Path:
    """Return the path from the working folder on, where that is shorter.

    Pages are shown to others, and an absolute path mostly has somebody's name in it.
    """
    if not path.is_absolute():
        return path
    try:
        seen = Path(os.path.relpath(path))
    except (OSError, ValueError):  # the working folder is gone; another drive of Windows
        return path
    return seen if len(str(seen)) < len(str(path)) else path


def training_name(name: str, suffix: str = "messages") -> str:
    """Return a name for the training file that is to be written, never that of the source."""
    # Only for a copy of what was given: a name that is free is not looked for. Some systems take
    # .JSONL for the same name.
    is_training = name.lower().endswith(".jsonl")
    return f"{stem(name)}_{suffix}.jsonl" if is_training else f"{stem(name)}.jsonl"


def stem(name: str) -> str:
    """Return what a file is called without its suffix, or without both of rows.jsonl.txt."""
    path = PurePath(name.replace("\\", "/"))
    inner = PurePath(path.stem)
    if inner.suffix.lower() in (".jsonl", ".json", ".csv"):
        path = inner
    plain = path.stem.replace('"', "'") or "train"
    return shortened(visible(plain), MAX_NAME - 10)


def writing(call: str, name: str | None, suffix: str = "messages") -> str:
    """Return a call that also writes the rows; `name` is that of the source, None in memory."""
    return call if name is None else f'{call}.write("{training_name(name, suffix)}")'


def converting(call: str, name: str | None) -> tuple[str, str]:
    """Return the remedy for what is in another format, with the call that converts it."""
    call = writing(call, name)
    return f"用 {call} 转换", f"convert it: {call}"


def filled(remedy: str, source: str) -> str:
    """Return a remedy with the source in its calls."""
    if source == UNKNOWN or "data." not in remedy:
        return remedy
    # Only in calls: elsewhere it is a word of the reader's.
    pieces = (_with_source(text, source) if is_call else text for is_call, text in parts(remedy))
    return "".join(pieces)


def _with_source(call: str, source: str) -> str:
    return _SOURCE.sub(lambda _: source, call)


def parts(text: str) -> Iterator[tuple[bool, str]]:
    """Yield a text in pieces, each with whether it is a call of `data`."""
    begin = 0
    for found in _OPENS.finditer(text):
        # Within the call before it.
        if found.start() < begin:
            continue
        end = _end_of(text, found.end())
        if end is None:
            break
        if text.startswith(".write(", end):
            end = _end_of(text, end + len(".write(")) or end
        if found.start() > begin:
            yield False, text[begin : found.start()]
        yield True, text[found.start() : end]
        begin = end
    if begin < len(text):
        yield False, text[begin:]


def _end_of(text: str, start: int) -> int | None:
    """Return where the bracket closes that was opened before `start`; None if nowhere."""
    depth, quoted, escaped = 1, False, False
    for i in range(start, len(text)):
        character = text[i]
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        else:
            depth += (character in "([{") - (character in ")]}")
            if depth == 0:
                return i + 1
    return None
