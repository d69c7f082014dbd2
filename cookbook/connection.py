"""Connect to a service that speaks the OpenAI API: the embedded one, a room, or SiliconCloud.

    service = connect()                  the room of COOKBOOK_SERVICE, or of a `.env` beside the
                                         notebook; else the embedded service, started if need be
    service = connect("http://192.168.1.5:8765", key="room-…")      a room
    service = connect("local")           always the embedded service
    service = connect("siliconcloud")    reads SILICONFLOW_API_KEY
    client = OpenAI(base_url=service.base_url, api_key=service.api_key)

Promises: it attaches only to this data folder's own service, proved before the token is sent; a
service that does not fit this process's settings is replaced, or, where that would disturb
somebody, named in a warning; no proxy is asked on the way to this machine. It never loads torch.
The service is told the reader's language, in which it answers from then on.

The only module of the package, beside processes.py, that knows the embedded service's process. How
a room is joined is in `room/`.
"""

import atexit
import contextlib
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from cookbook import (
    causes,
    chosen_base,
    data_folder,
    disk,
    environment,
    loaded,
    paths,
    proxies,
    siliconcloud,
)
from cookbook.address import Address, health, is_folder_of, read, settings
from cookbook.connected import Connection
from cookbook.errors import ArgumentError, DiskFull, ServiceError
from cookbook.i18n import language, tr
from cookbook.paths import Home

if TYPE_CHECKING:
    import psutil

START_SECONDS = 60
POLL_SECONDS = 0.05
STOP_SECONDS = 20

# What a service takes from the environment: key of the address file, variable.
VARIABLES = {
    "base_setting": "COOKBOOK_BASE_MODEL",
    "jobs": "COOKBOOK_JOBS",
    "fast": "COOKBOOK_FAST",
    "memory": "COOKBOOK_MEMORY",
    "device": "COOKBOOK_DEVICE",
    "trainer": "COOKBOOK_TRAINER",
    "engine": "COOKBOOK_ENGINE",
}


def connect(
    service: str | None = None, *, key: str | None = None, home: str | Path | None = None
) -> Connection:
    """Return a connection to a room, to the embedded service, or to SiliconCloud.

    Args:
        service: "local" is the embedded service, which is started if none runs on the data folder;
            "siliconcloud" the platform; an address such as "http://192.168.1.5:8765" a room.
            Without it, the room of `COOKBOOK_SERVICE`, from the environment or a `.env` beside the
            notebook; the embedded service where neither names a room.
        key: the key of a room; without it, `COOKBOOK_KEY` from the same places.
        home: the data folder of the embedded service, which it then always is.

    Raises:
        KeyMissing: no key of the room or of SiliconCloud, or something that cannot be one.
        ServiceError: the room does not answer, is closed, or does not know the key; the embedded
            service does not start; SILICONFLOW_BASE_URL is not a URL; or a proxy or certificate
            setting would keep every client from starting.
        ModelError: the base of COOKBOOK_BASE_MODEL must be downloaded first, or cannot be used.
        ArgumentError: an unknown service, or something that cannot be an address; or
            COOKBOOK_BASE_MODEL is not the name of a model.

    Warns:
        UserWarning: the running service has other settings, and somebody uses it; a library was
            replaced after it was loaded; or what the reader should know of a room, see
            `room/joined.py`.
    """
    loaded.warn()
    named = _named(service, home)
    if named not in ("local", "siliconcloud"):
        from cookbook.room import invitation

        invited = invitation.find(named, key)
        if invited is not None:
            # Only here: its HTTP library takes longer to import than the whole package.
            from cookbook.room import joined

            return joined.join(invited)
    elif key is not None:
        raise ArgumentError(
            zh=f"connect({named!r}) 不用 key=：key= 是课堂的密钥，要和课堂的地址一起给",
            en=f"connect({named!r}) takes no key=: that is the key of a room, to be given with the "
            "room's address",
        )
    if named == "siliconcloud":
        proxies.bypass()
        proxies.check(https=True)
        platform_key = siliconcloud.key()
        return Connection(
            siliconcloud.address(), platform_key, siliconcloud.BASES[0], trains_by_api=False
        )
    return _embedded(home)


def _named(service: object, home: str | Path | None) -> str | None:
    """Return which service is asked for by name or address; None where the settings decide.

    Raises:
        ArgumentError: there is no such service.
    """
    if service is None or service == "":
        # A data folder is that of an embedded service.
        return None if home is None else "local"
    from cookbook.room import typed

    if isinstance(service, str) and (
        service in ("local", "siliconcloud") or typed.is_address(service)
    ):
        return service
    raise ArgumentError(
        zh=f"没有服务 {service!r}，可选 local、siliconcloud，或课堂的地址，如 {typed.EXAMPLE}",
        en=f"unknown service {service!r}: choose local, siliconcloud, or the address of a room "
        f"such as {typed.EXAMPLE}",
    )


def _embedded(home: str | Path | None) -> Connection:
    """Return a connection to the embedded service, started if need be."""
    # Before a service that could not load it is started.
    chosen_base.check()
    proxies.bypass()
    proxies.check(https=False)
    folder = _absolute(home)
    # Before anything in it is believed.
    data_folder.examine(Home(folder))
    address = running(folder, language=language())
    if address is None or differences(address):
        address = _fitting(Home(folder))
    proxies.bypass(urlsplit(address["base_url"]).hostname or "")
    return Connection(
        address["base_url"], address["api_key"], address["base_model"], trains_by_api=True
    )


def running(home: Path, *, language: str | None = None) -> Address | None:
    """Return what the address file of this data folder's service says; None if none answers.

    Only a service that has proved to be this folder's own is one that answers.

    Args:
        language: has it answer in this language from now on, "zh" or "en".
    """
    address = read(Home(home).address)
    if address is None or not is_folder_of(address, home):
        return None
    if health(address, language=language) is None:
        return None
    from cookbook import processes  # psutil takes a fifth of the time of the package's import

    # The token may be known to whoever wrote the file, but not the process.
    return None if processes.service_of(address, home) is None else address


def differences(address: Address) -> list[str]:
    """Return in which respects a running service is not the one that would be started now."""
    here = {"version": _installed_version()} | settings()
    # Whoever started one in a terminal chose for it; only what this process has set itself counts.
    if not address.get("managed"):
        chosen = {key for key, name in VARIABLES.items() if environment.value_of(name, os.environ)}
        counted = {"version", *chosen} - {"jobs", "trainer", "engine"}
        here = {key: value for key, value in here.items() if key in counted}
    found = []
    for key, value in here.items():
        if address.get(key) != value:
            name = VARIABLES.get(key) or tr("版本", "version")
            found.append(f"{name} {address.get(key) or '-'} → {value or '-'}")
    # Another environment may have started it; one that was removed since cannot train.
    interpreter = address.get("interpreter")
    if isinstance(interpreter, str) and not os.path.exists(interpreter):
        found.append(tr(f"它的 Python 已删除：{interpreter}", f"its Python is gone: {interpreter}"))
    return found


def _installed_version() -> str:
    """Return the version on the disk: what this process has loaded may be older."""
    from cookbook import __version__

    try:
        source = Path(__file__).with_name("__init__.py").read_text(encoding="utf-8")
    except OSError:
        return __version__
    found = re.search(r'^__version__ = "(.+)"', source, flags=re.M)
    return found[1] if found else __version__


def stop(home: Path) -> bool:
    """Stop the service of this data folder and what trains there; return whether any was running.

    Jobs that were being trained go on from where they are when the service is started again.
    """
    return _stop(_absolute(home))


def is_silent(home: Path) -> bool:
    """Return whether a service has this data folder but does not answer as this version does."""
    return running(home) is None and _process_of(home) is not None


def refuse_other_version(home: Path) -> None:
    """Keep a command away from the database while a service of another version uses it.

    Raises:
        ServiceError: one runs.
    """
    address = running(home)
    if address is None and not is_silent(home):
        return
    if address is None or address.get("version") != _installed_version():
        raise ServiceError(
            zh="正在运行的内嵌服务是别的版本（或卡住了）：先 python -m cookbook stop，再试",
            en="the embedded service that runs is of another version, or hangs: run "
            "python -m cookbook stop, then try again",
        )


def _process_of(folder: Path) -> "psutil.Process | None":
    """Return the process that wrote the folder's address file, whether it answers or not."""
    from cookbook import processes

    address = read(Home(folder).address)
    # The first release did not write which folder it serves.
    if address is None or ("home" in address and not is_folder_of(address, folder)):
        return None
    return processes.service_of(address, folder)


def _stop(folder: Path) -> bool:
    from cookbook import processes

    served = processes.services(str(folder))
    # One without `--home` on its command line.
    process = _process_of(folder)
    if process and process not in served:
        served.append(process)
    # The service first: it must not take the end of a training process for a crash, nor start
    # another one.
    processes.end(served, STOP_SECONDS)
    # They outlive their service on purpose, and may be those of an earlier one.
    training = processes.workers(str(folder))
    processes.end(training, STOP_SECONDS)
    return bool(served or training)


def _absolute(home: str | Path | None) -> Path:
    try:
        return Path(home or paths.home()).expanduser().resolve()
    except FileNotFoundError as error:
        raise ServiceError(
            zh="当前文件夹已被删除：用 os.chdir 换一个，或把 COOKBOOK_HOME 设为完整路径",
            en="the current folder was deleted: change to another with os.chdir, "
            "or set COOKBOOK_HOME to a full path",
        ) from error


def _fitting(home: Home) -> Address:
    """Return the address of a service with this process's settings, started if necessary."""
    from filelock import FileLock

    try:
        data_folder.prepare(home)
        disk.keep_short(home.service_log)
        log = data_folder.open_log(home.service_log)
    except OSError as error:
        raise ServiceError(
            zh=f"数据目录 {home.folder} 不能写（{error.strerror}）："
            "用环境变量 COOKBOOK_HOME 换一个可写的目录",
            en=f"cannot write to {home.folder} ({error.strerror}): "
            "choose another folder with COOKBOOK_HOME",
        ) from error
    # Of several kernels that ask at once, one starts it; the others find it running.
    with log, _failure_explained(home), FileLock(home.start_lock) as lock:
        disk.check_lock(lock)
        begin = log.tell()
        # Another kernel may have started it, in its own language.
        address = running(home.folder, language=language())
        if address is not None:
            different = differences(address)
            if not different:
                return address
            if not _is_replaceable(address):
                _warn(address, different)
                return address
            _stop(home.folder)
        else:
            _end_former(home)
        process = _launch(home, log)
        address = _wait_for_address(home, process)
    if address is None:
        raise _did_not_start(home, process.poll(), begin)
    return address


def _is_replaceable(address: Address) -> bool:
    """Return whether nobody notices when the service is replaced by another."""
    # What somebody started in a terminal is theirs.
    if not address.get("managed"):
        return False
    answer = health(address, details=True)
    return answer is not None and answer.get("busy") is False


def _warn(address: Address, different: list[str]) -> None:
    command = "python -m cookbook stop"
    if Path(address["home"]) != paths.home():
        command += f' --home "{address["home"]}"'
    listed = tr("；", "; ").join(different)
    reason = tr("有人在用", "is in use")
    if not address.get("managed"):
        reason = tr("是用 serve 启动的", "was started with serve")
    text = tr(
        f"运行中的内嵌服务和现在的设置不同（{listed}）。它{reason}，所以没有重启。"
        f"要换成现在的设置：运行 {command}，再运行这一格",
        f"the running service has other settings than this process ({listed}). It {reason}, "
        f"so it was not restarted. To change that: run {command}, then this cell again",
    )
    # To the line that called `connect`, through `_embedded` and `_fitting`.
    warnings.warn(text, UserWarning, stacklevel=5)


def _end_former(home: Home) -> None:
    """End a service that holds the folder, or held it under another name, and cannot serve it.

    That is one of the first release, which proves nothing, and one whose folder was renamed.

    Raises:
        ServiceError: a service of the first release still has jobs.
    """
    address = read(home.address)
    if address is None:
        return
    from cookbook import processes

    former = processes.service_of(address, home.folder)
    if former is None:
        return
    if "home" not in address:
        if _has_jobs(home):
            raise ServiceError(
                zh="旧版本的内嵌服务还有任务没训练完：先运行 python -m cookbook stop，"
                "再运行这一格，任务会接着训练",
                en="a service of an older version still has jobs: run python -m cookbook stop, "
                "then this cell again, and they go on",
            )
        _stop(home.folder)
    elif not os.path.exists(address["home"]):
        processes.end([former], STOP_SECONDS)
        _stop(Path(address["home"]))


def _has_jobs(home: Home) -> bool:
    import sqlite3

    # Not through the store, which would change the tables of a service that still runs.
    sql = "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND requested_state = 'run'"
    try:
        with contextlib.closing(sqlite3.connect(home.database)) as db:
            return bool(db.execute(sql).fetchone()[0])
    except sqlite3.Error:
        return True


_Process = subprocess.Popen[bytes]


def _launch(home: Home, log: BinaryIO) -> _Process:
    from cookbook.processes import SERVICE_MODULE

    command = [sys.executable, "-m", SERVICE_MODULE, "--home", str(home.folder), "--managed"]
    # The service outlives the kernel that starts it.
    options: dict[str, Any] = {"env": environment.of_service()}
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        options["creationflags"] = flags
    else:
        options["start_new_session"] = True
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
    # Python warns of a process object that is dropped before its process has ended.
    atexit.register(process.poll)
    return process


def _wait_for_address(home: Home, process: _Process) -> Address | None:
    """Return the address once the service answers; None if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        address = running(home.folder)
        if address is not None:
            return address
        if process.poll() is not None:
            return None
        time.sleep(POLL_SECONDS)
    return None


@contextlib.contextmanager
def _failure_explained(home: Home) -> Iterator[None]:
    """Say what to do where the folder has no locks or no process can be started."""
    try:
        yield
    # Older releases of filelock raise the second where a file system has no locks.
    except (OSError, NotImplementedError) as error:
        cause = causes.cause(error)
        raise ServiceError(
            zh=f"内嵌服务没有启动（数据目录 {home.folder}）：{cause.zh}",
            en=f"the embedded service did not start (data folder {home.folder}): {cause.en}",
        ) from error


def _did_not_start(home: Home, exit_code: int | None, begin: int) -> ServiceError:
    """Return why the service ended or does not answer: its log, from the byte `begin` on, tells."""
    text = causes.decode(causes.tail(home.service_log, begin)).strip()
    if exit_code and not text and not disk.has_room(home.folder):
        # Not even its reason could be written.
        cause = causes.cause(DiskFull(zh="", en=""))
        zh, en = cause.zh, cause.en
    elif exit_code == 1 and text and "Traceback" not in text:
        # A sentence of the service itself, which has the remedy.
        zh = en = text.splitlines()[-1]
    else:
        cause = causes.cause_of_output(text, exit_code, log=home.service_log)
        zh, en = cause.zh, cause.en
    if exit_code is None:
        return ServiceError(
            zh=f"内嵌服务 {START_SECONDS} 秒还没有应答：{zh}",
            en=f"the embedded service did not answer in {START_SECONDS} s: {en}",
        )
    return ServiceError(
        zh=f"内嵌服务没有启动：{zh}", en=f"the embedded service did not start: {en}"
    )
