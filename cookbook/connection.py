"""Connect to a service that speaks the OpenAI API: the embedded one, or SiliconCloud.

    service = connect()                  starts the embedded service, or attaches to a running one
    service = connect("siliconcloud")    reads SILICONFLOW_API_KEY
    client = OpenAI(base_url=service.base_url, api_key=service.api_key)

The only module of the package that knows the embedded service's process. It never loads torch.
"""

import atexit
import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cookbook import data_folder, environment, paths, siliconcloud
from cookbook.errors import ArgumentError, ServiceError
from cookbook.paths import Home

START_SECONDS = 60
POLL_SECONDS = 0.05
STOP_SECONDS = 20
SERVICE_MODULE = "cookbook.service"
WORKER_MODULE = "cookbook.service.worker"


@dataclass(frozen=True)
class Connection:
    """Where requests go. `trains_by_api` tells whether jobs can be created over HTTP there."""

    base_url: str
    api_key: str = field(repr=False)
    base_model: str
    trains_by_api: bool


def connect(service: str = "local", *, home: Path | None = None) -> Connection:
    """Return a connection to "local", the embedded service, or to "siliconcloud".

    The embedded service is started if none runs on the data folder.

    Raises:
        KeyMissing: no SiliconCloud key in the environment, or something that cannot be one.
        ServiceError: the embedded service does not start, or SILICONFLOW_BASE_URL is not a URL.
        ArgumentError: an unknown service.
    """
    if service == "siliconcloud":
        key = siliconcloud.key()
        return Connection(siliconcloud.address(), key, siliconcloud.BASES[0], trains_by_api=False)
    if service != "local":
        raise ArgumentError(
            zh=f"没有服务 {service!r}，可选 local、siliconcloud",
            en=f"unknown service {service!r}: choose local or siliconcloud",
        )
    folder = (home or paths.home()).expanduser().resolve()
    # Before anything in it is believed.
    data_folder.examine(Home(folder))
    address = running(folder) or _start(Home(folder))
    return Connection(
        address["base_url"], address["api_key"], address["base_model"], trains_by_api=True
    )


def running(home: Path) -> dict[str, Any] | None:
    """Return what the address file of this data folder's service says; None if none answers."""
    import urllib.request  # takes half as long to import as the whole package

    try:
        address = json.loads(Home(home).address.read_text(encoding="utf-8"))
        root = address["base_url"].removesuffix("/v1")
        # Never through a proxy: the service is on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{root}/health", timeout=5) as response:
            healthy = json.load(response).get("status") == "ok"
    except (OSError, ValueError, KeyError):
        return None
    return address if healthy else None


def stop(home: Path) -> bool:
    """Stop the service of this data folder; return whether one was running.

    Jobs that were being trained go on from where they are when the service is started again.
    """
    import psutil

    address = running(home)
    if address is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        service = psutil.Process(address["pid"])
        # Training processes outlive the service on purpose, so they are ended by name.
        workers = [child for child in service.children() if WORKER_MODULE in child.cmdline()]
        for process in (service, *workers):
            process.terminate()
        psutil.wait_procs([service, *workers], timeout=STOP_SECONDS)
    return True


def _start(home: Home) -> dict[str, Any]:
    from filelock import FileLock

    try:
        data_folder.prepare(home)
        log = data_folder.open_log(home.service_log)
    except OSError as error:
        raise ServiceError(
            zh=f"数据目录 {home.folder} 不能写（{error.strerror}）："
            "用环境变量 COOKBOOK_HOME 换一个可写的目录",
            en=f"cannot write to {home.folder} ({error.strerror}): "
            "choose another folder with COOKBOOK_HOME",
        ) from error
    # Of several kernels that ask at once, one starts it; the others find it running.
    with log, FileLock(home.start_lock):
        address = running(home.folder)
        if address is None:
            process = _launch(home, log)
            address = _wait_for_address(home, process)
    if address is None:
        raise _did_not_start(home)
    return address


_Process = subprocess.Popen[bytes]


def _launch(home: Home, log: BinaryIO) -> _Process:
    command = [sys.executable, "-m", SERVICE_MODULE, "--home", str(home.folder)]
    told = environment.of_service()
    # The service outlives the kernel that starts it.
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=told, creationflags=flags
        )
    else:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=told,
            start_new_session=True,
        )
    # Python warns of a process object that is dropped before its process has ended.
    atexit.register(process.poll)
    return process


def _wait_for_address(home: Home, process: _Process) -> dict[str, Any] | None:
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


def _did_not_start(home: Home) -> ServiceError:
    lines = home.service_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = lines[-1] if lines else ""
    # Whoever installed a wheel has no checkout to install from.
    source = "-e '.[local]'" if paths.in_checkout() else "'….whl[local]'"
    return ServiceError(
        zh=f"内嵌服务没有启动：{reason}。缺包时运行 pip install {source}",
        en=f"the embedded service did not start: {reason}. "
        f"If a package is missing: pip install {source}",
    )
