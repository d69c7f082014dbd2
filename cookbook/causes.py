"""Say why something failed, in one sentence with the remedy that fits.

    cause(error)                          of an exception: a module that cannot be imported, a disk
    known(error)                          the same without folders of this machine, or None
    is_lack_of_memory(error)              whether it is that, whoever has raised it
    cause_of_output(output, exit_code)    of a process that ended: from its last lines and its code

They never raise. Nothing is guessed: what is not recognized keeps its own last line and the place
of the whole log. Importing this module loads nothing heavy.
"""

import locale
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from cookbook import known_causes, paths
from cookbook.errors import CookbookError, DiskFull, ModelError
from cookbook.i18n import tr
from cookbook.known_causes import ABORTED, MEMORY, PERMISSION, Cause

__all__ = [
    "UNKNOWN",
    "Cause",
    "cause",
    "cause_of_output",
    "chain",
    "decode",
    "install",
    "is_lack_of_memory",
    "known",
    "tail",
]

UNKNOWN = "unknown"
"""The kind of a cause that is not recognized."""

TAIL_BYTES = 32 * 1024
"""How much of a log is read: a traceback with its chain."""

_PROJECT = "siliconcloud-cookbook"
_LINES = 80  # of an output that are looked at, from its end
_LONGEST_LINE = 300  # letters of a line that are shown
_SIGNALS = 64

# Errors of our own whose reason may pass.
_PASSING = ("DiskFull", "ModelError")

# Modules whose package has another name.
_PACKAGES = {
    "multipart": "python-multipart",
    "python_multipart": "python-multipart",
    "yaml": "PyYAML",
    "jinja2": "Jinja2",
}


def cause(error: BaseException, *, log: Path | None = None) -> Cause:
    """Return the cause of an exception, looking through what it was raised from.

    Args:
        log: where the whole traceback can be read.
    """
    return _recognized(error) or _unknown(_as_line(error), log)


def known(error: BaseException) -> Cause | None:
    """Return the cause if it is recognized, without the name of a folder: for other machines."""
    found = _recognized(error)
    if found and found.kind == PERMISSION.kind:
        return PERMISSION.cause()
    return found


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether Python, torch or the GPU could not get more memory."""
    found = _recognized(error)
    return found is not None and found.kind == MEMORY.kind


def cause_of_output(
    output: str | bytes, exit_code: int | None = None, *, log: Path | None = None
) -> Cause:
    """Return the cause of a process's end.

    Args:
        output: what it wrote to standard error, or the end of it.
        exit_code: as `subprocess` gives it; None if it is still running.
        log: where the whole output can be read.
    """
    text = output if isinstance(output, str) else decode(output)
    lines = _last_lines(text)
    by_code = _of_exit_code(exit_code)
    # A signal leaves no last line, and earlier lines are about something else; an abort (6) prints
    # its reason.
    if by_code and by_code is not ABORTED:
        return by_code
    for line in reversed(lines):
        known = _of_line(line)
        if known:
            return known
    if by_code:
        return by_code
    if not lines:
        lines = [tr(f"退出码 {exit_code}", f"exit code {exit_code}")]
    return _unknown(_last_word(lines), log)


def tail(log: Path, start: int = 0) -> bytes:
    """Return the end of a log, of what was written after the byte `start`; empty if unreadable."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - TAIL_BYTES))
            return file.read(TAIL_BYTES)
    except OSError:
        return b""


def decode(output: bytes) -> str:
    """Return the text of a process's output, each line in UTF-8 or else the system's code page."""
    return "\n".join(_decoded(line) for line in output.splitlines())


def install(extra: str = "local") -> str:
    """Return the command that installs what the embedded service needs, or another extra."""
    # Whoever installed a wheel has no checkout to install from.
    what = f".[{extra}]" if paths.in_checkout() else f"{_wheel()}[{extra}]"
    # The Windows command line knows no single quotes.
    mark = '"' if os.name == "nt" else "'"
    option = "-e " if paths.in_checkout() else ""
    return f"pip install {option}{mark}{what}{mark}"


def _wheel() -> str:
    """Return the name of the file that the package was installed from, or that in an index."""
    from importlib import metadata
    from urllib.parse import unquote

    try:
        # pip writes it for what does not come from an index.
        origin = metadata.distribution(_PROJECT).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        origin = None
    before, ending, _ = (origin or "").partition('.whl"')
    name = before.rpartition("/")[2].rpartition('"')[2]
    return unquote(name) + ".whl" if ending and name else _PROJECT


# Reading what was printed


def _last_lines(text: str) -> list[str]:
    """Return the last lines, without empty ones, warnings, and the quoted code of tracebacks."""
    lines = []
    for line in text.splitlines()[-_LINES:]:
        # Code is indented, and only names what it might raise; a warning ended nothing.
        if not line.startswith("  ") and "Warning: " not in line:
            lines.append(_shown(line))
    return list(filter(None, lines))


def _last_word(lines: list[str]) -> str:
    """Return the line that says most: that which ends the last traceback, or else the last."""
    word = lines[-1]
    for line, following in pairwise(lines):
        if line.startswith("Traceback "):
            word = following
    return word


def _decoded(line: bytes) -> str:
    # The last is what Chinese Windows writes; it matters where a log is read elsewhere.
    for encoding in ("utf-8", locale.getencoding(), "gb18030"):
        try:
            return line.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return line.decode("utf-8", "replace")


def _shown(line: str) -> str:
    """Return a line without colours and control characters, and not too long."""
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)
    line = "".join(filter(str.isprintable, line)).strip()
    if len(line) > _LONGEST_LINE:
        line = line[: _LONGEST_LINE - 1] + "…"
    return line


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from; each once."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _as_line(error: BaseException) -> str:
    """Return an exception as the last line of its traceback."""
    text = _shown(str(error).strip().replace("\n", " "))
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _unknown(line: str, log: Path | None) -> Cause:
    where_zh = f"（完整日志见 {log}）" if log else ""
    where_en = f" (the whole log is in {log})" if log else ""
    return Cause(UNKNOWN, zh=line + where_zh, en=line + where_en, passes=True)


def _recognized(error: BaseException) -> Cause | None:
    for one in chain(error):
        if isinstance(one, DiskFull):
            return known_causes.DISK_FULL.cause()
        if isinstance(one, CookbookError):
            # It says the remedy itself.
            text = str(one)
            passes = isinstance(one, ModelError)
            return Cause(type(one).__name__, one.zh or text, one.en or text, passes)
        found = _of_number(one) or _of_line(_as_line(one))
        if found:
            return found
    return None


def _of_line(line: str) -> Cause | None:
    for rule in known_causes.RULES:
        found = re.search(rule.pattern, line)
        if found:
            named = [group for group in found.groups() if group]
            return rule.cause(named[0] if named else "")
    missing = re.search(r"No module named '?([\w.]+)|requires? [\"'](python-multipart)", line)
    if missing:
        return _missing(missing[1] or missing[2])
    # An error of ours that nobody caught says the remedy itself.
    own = re.match(r"cookbook\.errors\.(\w+): (.+)", line)
    if own:
        kind, text = own.groups()
        return Cause(kind, text, text, passes=kind in _PASSING)
    return None


def _of_number(error: BaseException) -> Cause | None:
    # Another library's error may have something else by the name of `errno`.
    if not isinstance(error, OSError) or error.errno is None:
        return None
    rule = known_causes.BY_NUMBER.get(error.errno)
    return rule.cause(str(error.filename or "")) if rule else None


def _missing(module: str) -> Cause:
    """Return the cause for a module that is not installed, or only in part."""
    package = _PACKAGES.get(module, module).split(".")[0]
    command = install()
    if "." not in module:
        return Cause(
            "missing_package",
            zh=f"缺少 {package}：运行 {command}，再试一次",
            en=f"{package} is not installed: run {command}, then try again",
        )
    if package != "cookbook":
        command = f"pip install --upgrade --force-reinstall {package}"
    return Cause(
        "missing_package",
        zh=f"{package} 装得不完整或太旧（没有 {module}）：运行 {command}",
        en=f"{package} is incomplete or too old (no {module}): run {command}",
    )


def _of_exit_code(code: int | None) -> Cause | None:
    if code is None:
        return None
    # `subprocess` gives a signal as a negative number, a shell adds it to 128.
    signal = -code if code < 0 else code - 128
    if 0 < signal <= _SIGNALS:
        return known_causes.BY_SIGNAL.get(signal)
    return known_causes.BY_WINDOWS_CODE.get(code)
