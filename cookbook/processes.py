"""Find the processes of a data folder, end them, and let them come after others.

A process belongs to a folder if its command line says so (`-m cookbook.service --home FOLDER`,
`-m cookbook.service.worker FOLDER`) and it is this user's. Promise: no other process gets a signal,
whatever number an old address file has. psutil checks once more, at the signal itself, that the
number has not been given to another process meanwhile.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.address import Address
from cookbook.paths import Home

if TYPE_CHECKING:
    import psutil

SERVICE_MODULE = "cookbook.service"
WORKER_MODULE = "cookbook.service.worker"

# What the system shows before the program, where it runs for another kind of processor.
_EMULATORS = ("qemu-", "rosetta", "box64", "ld-linux", "ld-musl")

_AUTOGROUP = Path("/proc/self/autogroup")
"""The session of this process, where the system shares the processor between sessions."""

ROOM_ACTIONS = ("add", "remove", "renew", "list")
"""What `python -m cookbook room` does without opening a room."""

POLL_SECONDS = 0.1
CLOCK_SECONDS = 2.0  # by how much the start of a process can seem to move when the clock is set


def service_of(address: Address, folder: Path) -> "psutil.Process | None":
    """Return the running process that wrote this folder's address file, or None."""
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(address["pid"])
        if _is_mine(process) and _wrote(process, address, folder):
            return process
    return None


def services(folder: str) -> "list[psutil.Process]":
    """Return the services that were started with `--home` and this folder."""
    return [process for process, command in _commands() if home_of(command) == folder]


def workers(folder: str) -> "list[psutil.Process]":
    """Return the training processes of a data folder, whoever started them."""
    found = []
    for process, command in _commands():
        module, arguments = _split(command)
        if module == WORKER_MODULE and arguments[:1] == [folder]:
            found.append(process)
    return found


def home_of(command: list[str]) -> str | None:
    """Return the data folder that is named in the command line of a service."""
    if not _is_service(command):
        return None
    _, arguments = _split(command)
    for place, argument in enumerate(arguments):
        if argument == "--home":
            return "".join(arguments[place + 1 : place + 2])
        if argument.startswith("--home="):
            return argument.removeprefix("--home=")
    return None


def end(processes: "Iterable[psutil.Process]", seconds: float) -> None:
    """Ask processes to end, wait for them, and kill those that are still there afterwards."""
    import psutil

    asked = list(processes)
    # Another may have ended it meanwhile.
    for process in asked:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    alive = _still_alive(asked, seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _still_alive(alive, seconds)


def _still_alive(processes: "list[psutil.Process]", seconds: float) -> "list[psutil.Process]":
    """Wait for processes to end; return those that have not.

    One that has ended stays in the list of processes until its parent asks for it, and the parent
    of a service may be a notebook that asks much later.
    """
    import psutil

    deadline = time.monotonic() + seconds
    while True:
        _, alive = psutil.wait_procs(processes, timeout=POLL_SECONDS)
        processes = [process for process in alive if not _has_ended(process)]
        if not processes or time.monotonic() > deadline:
            return processes


def _has_ended(process: "psutil.Process") -> bool:
    import psutil

    try:
        # A child of this process leaves the list by itself, once `wait_procs` has asked for it.
        if process.ppid() == os.getpid() or process.status() != psutil.STATUS_ZOMBIE:
            return False
        # The first thread may have ended before the others.
        return process.num_threads() <= 1
    except psutil.Error:
        return True


def lower_priority(niceness: int) -> None:
    """Let this process come after others: `niceness` as of the command `nice`."""
    # Windows has no such number.
    if not hasattr(os, "nice"):
        return
    os.nice(niceness)
    # A Linux desktop shares the processor between sessions first, and there a process that leads
    # a session of its own, as ours do, is compared with nobody but itself.
    with contextlib.suppress(OSError):
        if os.getsid(0) == os.getpid():
            _AUTOGROUP.write_text(str(niceness))


def _wrote(process: "psutil.Process", address: Address, folder: Path) -> bool:
    command = process.cmdline()
    if "home" in address and _is_service(command):
        given = home_of(command)
        if given is not None:
            return _same(given, process.cwd(), address["home"])
        # Started without `--home`, as by `python -m cookbook serve`.
        started = address.get("started")
        if isinstance(started, int | float):
            moved = abs(process.create_time() - started)
            if moved < CLOCK_SECONDS:
                return True
    # None but the service opens the folder's lock. So it is known where the clock was set since,
    # where a debugger or an emulator has changed its command line, and where the first release,
    # which wrote less, started it.
    held = [Path(file.path) for file in process.open_files()]
    return Home(folder).service_lock in held


def _same(given: str, cwd: str, home: str) -> bool:
    """Return whether a folder as it was typed is that data folder, which may be gone by now."""
    # Relative to where the process was started.
    typed = os.path.normpath(os.path.join(cwd, given))
    if typed == home:
        return True
    try:
        return os.path.samefile(typed, home)
    except OSError:
        return False


def _commands() -> "Iterator[tuple[psutil.Process, list[str]]]":
    """Yield this user's processes that run a module of the package, with their command lines."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        module, _ = _split(command)
        with contextlib.suppress(psutil.Error):
            if module.startswith("cookbook") and _is_mine(process):
                yield process, command


def _is_service(command: list[str]) -> bool:
    module, arguments = _split(command)
    if module == "cookbook":
        is_room = arguments[:1] == ["room"] and not set(ROOM_ACTIONS).intersection(arguments)
        return is_room or arguments[:1] == ["serve"]
    return module == SERVICE_MODULE


def _split(command: list[str]) -> tuple[str, list[str]]:
    """Split a command line `python … -m module …`; the module of another command is empty."""
    if command and Path(command[0]).name.startswith(_EMULATORS):
        command = command[1:]
    program = Path(command[0]).name if command else ""
    # The debugger of VS Code starts what the debugged process starts, and writes it so.
    mark = "--file" if "--module" in command else "-m"
    # A search for these words, or an editor, is another program.
    if "python" not in program.lower() or mark not in command:
        return "", []
    place = command.index(mark)
    module = "".join(command[place + 1 : place + 2])
    return module, command[place + 2 :]


def _is_mine(process: "psutil.Process") -> bool:
    # Windows shows the command lines of one's own processes only.
    return sys.platform == "win32" or process.uids().real == os.getuid()
