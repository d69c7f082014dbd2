"""Say why something failed, in one sentence with the remedy that fits.

    cause(error)                          of an exception: a module that cannot be imported, a disk
    cause_of_output(output, exit_code)    of a process that ended: from its last lines and its code

Both return a `Cause` and never raise. Nothing is guessed: what is not recognized keeps its own last
line and the place of the whole log. Importing this module loads nothing heavy.
"""

import errno
import locale
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cookbook import paths
from cookbook.errors import CookbookError, DiskFull, ModelError
from cookbook.i18n import tr

UNKNOWN = "unknown"
TAIL_BYTES = 32 * 1024
"""How much of a log is read: a traceback with its chain."""

_LINES = 80  # of an output that are looked at, from its end
_LONGEST_LINE = 300  # letters of a line that are shown


@dataclass(frozen=True)
class Cause:
    """Why something failed; its text is the sentence in the reader's language.

    Attributes:
        kind: a short name for programs, such as "missing_package"; `UNKNOWN` if not recognized.
        passes: whether the same attempt may succeed later with nothing changed in the program
            or its packages: memory or room becomes free. True for what is not recognized.
    """

    kind: str
    zh: str
    en: str
    passes: bool = False

    def __str__(self) -> str:
        return tr(self.zh, self.en)


def cause(error: BaseException, *, log: Path | None = None) -> Cause:
    """Return the cause of an exception, looking through what it was raised from.

    Args:
        log: where the whole traceback can be read.
    """
    for one in _chain(error):
        if isinstance(one, CookbookError):
            # It says the remedy itself.
            passes = isinstance(one, DiskFull | ModelError)
            kind = "disk_full" if isinstance(one, DiskFull) else type(one).__name__
            text = str(one)
            return Cause(
                kind, getattr(one, "zh", "") or text, getattr(one, "en", "") or text, passes
            )
        known = _of_line(_as_line(one)) or _of_number(getattr(one, "errno", None))
        if known:
            return known
    return _unknown(_as_line(error), log)


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
    lines = [_shown(line) for line in text.splitlines()[-_LINES:]]
    lines = [line for line in lines if line]
    by_code = _of_exit_code(exit_code)
    # A signal leaves no last line, and what stands before it is about something else; an abort
    # (6) prints its reason.
    if by_code and by_code.kind != "aborted":
        return by_code
    for line in reversed(lines):
        known = _of_line(line)
        if known:
            return known
    if by_code:
        return by_code
    last = lines[-1] if lines else tr(f"退出码 {exit_code}", f"exit code {exit_code}")
    return _unknown(last, log)


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


def install(*packages: str) -> str:
    """Return the command that installs packages, or what the embedded service needs."""
    if packages:
        return "pip install " + " ".join(packages)
    # Whoever installed a wheel has no checkout to install from.
    return f"pip install {_quoted('.[local]', '-e ')}" if paths.in_checkout() else _from_wheel()


def _from_wheel() -> str:
    return f"pip install {_quoted('siliconcloud-cookbook[local]')}"


def _quoted(text: str, before: str = "") -> str:
    # The Windows command line knows no single quotes.
    mark = '"' if os.name == "nt" else "'"
    return f"{before}{mark}{text}{mark}"


# Reading what was printed


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
    line = "".join(letter for letter in line if letter.isprintable()).strip()
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def _chain(error: BaseException) -> Iterator[BaseException]:
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


# What is recognized


@dataclass(frozen=True)
class _Rule:
    """A line that tells the cause. `{0}` in a sentence is what the pattern's group found."""

    kind: str
    pattern: str
    zh: str
    en: str
    passes: bool = False


_LOCAL_DISK_ZH = "把 COOKBOOK_HOME 设成本机硬盘上的目录，再重启服务"
_LOCAL_DISK_EN = "set COOKBOOK_HOME to a folder on a local disk and restart the service"
_CPU_TORCH = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cpu"

_MEMORY = _Rule(
    "memory",
    r"MemoryError|DefaultCPUAllocator|not enough memory: you tried|out of memory|OutOfMemoryError"
    r"|Cannot allocate memory|bad_alloc|WinError 1455|paging file is too small",
    "内存不够：关掉别的程序，或换小一些的模型、batch_size、max_tokens",
    "not enough memory: close other programs, or use a smaller model, batch_size or max_tokens",
    passes=True,
)
_DISK_FULL = _Rule(
    "disk_full",
    r"No space left on device|database or disk is full|WinError 112\b|os error 28\b|Errno 28\b",
    "磁盘满了：腾出空间",
    "the disk is full: make room",
    passes=True,
)
_QUOTA = _Rule(
    "disk_quota",
    r"[Qq]uota exceeded|Errno 122\b|os error 122\b|File too large",
    "磁盘配额用完了：删掉一些文件，或用 COOKBOOK_HOME 换一个目录",
    "the disk quota is used up: delete files, or choose another folder with COOKBOOK_HOME",
    passes=True,
)
_READ_ONLY = _Rule(
    "read_only",
    r"Read-only file system|attempt to write a readonly database|unable to open database file",
    "数据目录只读：用 COOKBOOK_HOME 换一个可写的目录",
    "the data folder is read-only: choose one that can be written with COOKBOOK_HOME",
)
_PERMISSION = _Rule(
    "permission",
    r"(?:PermissionError|Permission denied|WinError 5\b).*?(?:'([^']+)')?$",
    "没有权限读写 {0}：改它的权限，或用 COOKBOOK_HOME 换一个目录",
    "no permission for {0}: change it, or choose another folder with COOKBOOK_HOME",
)
_LOCKS = _Rule(
    "locks",
    r"locking protocol|No locks available|does not appear to support flock|Stale file handle"
    r"|SQLITE_IOERR_(?:LOCK|SHM|RDLOCK)|FileLock.*not supported",
    f"数据目录所在的文件系统不支持文件锁（多半是网络盘）：{_LOCAL_DISK_ZH}",
    "the data folder's file system has no file locks (most likely a network drive): "
    f"{_LOCAL_DISK_EN}",
)
_OPEN_FILES = _Rule(
    "open_files",
    r"Too many open files|Errno 24\b",
    "打开的文件太多：用 ulimit -n 4096 调高上限，再重启服务",
    "too many open files: raise the limit with ulimit -n 4096 and restart the service",
    passes=True,
)
_PORT = _Rule(
    "port",
    r"Address already in use|WinError 10048\b",
    "端口被别的程序占用：换一个 --port，或省略它",
    "another program uses the port: choose another --port, or leave it out",
)

_RULES = (
    _MEMORY,
    _DISK_FULL,
    _QUOTA,
    _READ_ONLY,
    _LOCKS,
    _Rule(
        "database",
        r"database is locked",
        f"数据库一直被别的程序占着：关掉打开它的程序；如果数据目录在网络盘上，{_LOCAL_DISK_ZH}",
        "another program holds the database: close it; if the data folder is on a network drive, "
        f"{_LOCAL_DISK_EN}",
        passes=True,
    ),
    _Rule(
        "database",
        r"disk I/O error|database disk image is malformed",
        f"数据库读写出错，硬盘或网络盘有问题：{_LOCAL_DISK_ZH}",
        f"the database cannot be read or written, the disk or network drive fails: "
        f"{_LOCAL_DISK_EN}",
    ),
    _OPEN_FILES,
    _PORT,
    _Rule(
        "numpy",
        r"numpy\.dtype size changed|compiled using NumPy 1\.x|multiarray failed to import"
        r"|_ARRAY_API not found|Numpy is not available|compiled against (?:ABI|API) version",
        "numpy 和依赖它的包版本不配套：运行 pip install --upgrade numpy pandas scipy，再重启内核",
        "numpy does not fit the packages built on it: run "
        "pip install --upgrade numpy pandas scipy, then restart the kernel",
    ),
    _Rule(
        "old_system",
        r"(GLIBC(?:XX)?_[\d.]+)['’`]? not found",
        "系统的 C/C++ 库太旧（缺 {0}），装好的 torch 加载不了：换新一些的系统或容器",
        "this system's C or C++ library is too old (no {0}) for the installed torch: "
        "use a newer system or a container",
    ),
    _Rule(
        "visual_c",
        r"vc_redist|VCRUNTIME|MSVCP|WinError (?:126|1114)\b|DLL load failed",
        "torch 的 DLL 加载不了，多半缺 Visual C++ 运行库：安装 "
        "https://aka.ms/vs/17/release/vc_redist.x64.exe 再试",
        "a DLL of torch cannot be loaded, most likely the Visual C++ runtime is missing: install "
        "https://aka.ms/vs/17/release/vc_redist.x64.exe and try again",
    ),
    _Rule(
        "broken_torch",
        r"(lib(?:cu|nv|torch|c10)[\w.-]*): cannot open shared object file",
        f"torch 装了但加载不了（缺 {{0}}）：没有显卡就装 CPU 版，{_CPU_TORCH}",
        f"torch is installed but cannot be loaded (no {{0}}): without a GPU, {_CPU_TORCH}",
    ),
    _Rule(
        "system_library",
        r"(lib[\w.+-]+): cannot open shared object file",
        "系统缺少 {0}：用系统的包管理器安装它",
        "this system lacks {0}: install it with the system's package manager",
    ),
    _Rule(
        "broken_torch",
        r"undefined symbol|invalid ELF header|file too short|Library not loaded|WinError 127\b"
        r"|incompatible architecture|wrong architecture|failed to map segment",
        "有个包装坏了或与这台机器不符，加载不了：运行 pip install --force-reinstall torch",
        "a package is broken or not for this machine and cannot be loaded: run "
        "pip install --force-reinstall torch",
    ),
    _PERMISSION,
)

_BY_NUMBER = {
    errno.ENOMEM: _MEMORY,
    errno.ENOSPC: _DISK_FULL,
    errno.EFBIG: _QUOTA,
    getattr(errno, "EDQUOT", errno.EFBIG): _QUOTA,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.ENOLCK: _LOCKS,
    errno.EMFILE: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES,
    errno.EADDRINUSE: _PORT,
}

# Modules whose package has another name.
_PACKAGES = {
    "multipart": "python-multipart",
    "python_multipart": "python-multipart",
    "yaml": "PyYAML",
    "jinja2": "Jinja2",
}


def _of_line(line: str) -> Cause | None:
    missing = re.search(r"No module named '?([\w.]+)|requires? [\"'](python-multipart)", line)
    if missing:
        return _missing(missing[1] or missing[2])
    # A traceback of ours that nobody caught: the sentence says the remedy itself.
    own = re.match(r"cookbook\.errors\.(\w+): (.+)", line)
    if own:
        return Cause(own[1], own[2], own[2], passes=own[1] in ("DiskFull", "ModelError"))
    for rule in _RULES:
        found = re.search(rule.pattern, line)
        if found:
            named = [group for group in found.groups() if group]
            return _filled(rule, named[0] if named else "")
    return None


def _of_number(number: int | None) -> Cause | None:
    rule = _BY_NUMBER.get(number) if isinstance(number, int) else None
    return _filled(rule, "") if rule else None


def _filled(rule: _Rule, found: str) -> Cause:
    zh = rule.zh.format(found or "数据目录")
    en = rule.en.format(found or "the data folder")
    return Cause(rule.kind, zh, en, rule.passes)


def _missing(module: str) -> Cause:
    """Return the cause for a module that is not installed, or only in part."""
    package = _PACKAGES.get(module, module).split(".")[0]
    if "." in module:
        again = install("--upgrade", "--force-reinstall", package)
        return Cause(
            "missing_package",
            zh=f"{package} 装得不完整或太旧（缺 {module}）：运行 {again}",
            en=f"{package} is incomplete or too old (no {module}): run {again}",
        )
    return Cause(
        "missing_package",
        zh=f"缺少 {package}：运行 {install()}，再试一次",
        en=f"{package} is not installed: run {install()}, then try again",
    )


# Ends by a signal, or by what Windows has in its place

_KILLED = Cause(
    "memory",
    "进程被系统结束，多半是内存不够：关掉别的程序，或换小一些的模型、batch_size、max_tokens",
    "the system ended the process, most likely for lack of memory: close other programs, "
    "or use a smaller model, batch_size or max_tokens",
    passes=True,
)
_OLD_PROCESSOR = Cause(
    "old_processor",
    "这台机器的处理器没有 torch 要的指令（如 AVX）：换一台机器，或装为它编译的 torch",
    "this machine's processor lacks instructions that torch needs (such as AVX): "
    "use another machine or a torch built for it",
)
_CRASHED = Cause(
    "crashed",
    "进程崩溃（段错误），多半是某个包装坏了：若再次出现，运行 pip install --force-reinstall torch",
    "the process crashed (segmentation fault), most likely a broken package: "
    "if it happens again, run pip install --force-reinstall torch",
    passes=True,
)
_ENDED = Cause(
    "ended",
    "进程被人或系统结束",
    "somebody or the system ended the process",
    passes=True,
)
_ABORTED = Cause("aborted", "进程自己中止了", "the process aborted itself", passes=True)
_NO_DLL = Cause(
    "visual_c",
    "有 DLL 找不到，多半缺 Visual C++ 运行库：安装 "
    "https://aka.ms/vs/17/release/vc_redist.x64.exe 再试",
    "a DLL was not found, most likely the Visual C++ runtime is missing: install "
    "https://aka.ms/vs/17/release/vc_redist.x64.exe and try again",
)

_BY_SIGNAL = {
    9: _KILLED,
    4: _OLD_PROCESSOR,
    11: _CRASHED,
    7: _CRASHED,
    6: _ABORTED,
    15: _ENDED,
    2: _ENDED,
    1: _ENDED,
}
_BY_WINDOWS_CODE = {
    0xC0000005: _CRASHED,
    0xC000001D: _OLD_PROCESSOR,
    0xC0000017: _KILLED,
    0xC0000135: _NO_DLL,
    0xC000013A: _ENDED,
    0xC0000409: _ABORTED,
}


def _of_exit_code(code: int | None) -> Cause | None:
    if code is None:
        return None
    # `subprocess` gives a signal as a negative number, a shell adds it to 128.
    number = -code if code < 0 else code - 128
    if code < 0 or 128 < code < 128 + signal.NSIG:
        return _BY_SIGNAL.get(number)
    return _BY_WINDOWS_CODE.get(code)
