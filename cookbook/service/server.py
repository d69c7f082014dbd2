"""Run the service on a data folder: lock it, listen, publish the address, end when idle.

Binds first and writes the address file afterwards, so whoever reads it finds a service that
listens. A file lock allows one service a data folder. Ends after `idle_seconds` without a request
or a job, on Ctrl-C or SIGTERM; training processes go on by themselves.

Requests are answered by app.py, jobs are started by supervisor.py.
"""

import contextlib
import ipaddress
import json
import logging
import os
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from filelock import FileLock, Timeout

from cookbook import disk
from cookbook.bases import installed
from cookbook.errors import ServiceError
from cookbook.i18n import tr
from cookbook.paths import Home
from cookbook.service import limits, status
from cookbook.service.app import make_app
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.connections import LimitedProtocol, raise_descriptor_limit
from cookbook.service.middleware import Activity
from cookbook.service.store import Store
from cookbook.service.supervisor import Supervisor

IDLE_SECONDS = 3600.0
LOG_SECONDS = 60.0  # between two lines of the log while jobs are under way
SHUTDOWN_SECONDS = 5  # a stream that never ends must not keep a stopped service alive

log = logging.getLogger("cookbook")


@dataclass(frozen=True)
class Settings:
    """How to run the service.

    `port` 0 is a free one, `api_key` None a random one, `max_running` the jobs that train at the
    same time, `idle_seconds` 0 means never to end by itself.
    """

    home: Home
    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = None
    max_running: int = 1
    idle_seconds: float = IDLE_SECONDS

    @property
    def loopback(self) -> bool:
        """Return whether only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def serve(settings: Settings, chat: ChatEngine) -> None:
    """Run until stopped.

    Raises:
        ServiceError: the port is taken, the data folder cannot be written, another service has it,
            or `host` is open to the network and no key was given.
    """
    _check_host_and_key(settings)
    with (
        _full_disk_explained(),
        _locked(settings.home),
        _listen(settings.host, settings.port) as listener,
    ):
        _run(settings, listener, chat)


def _check_host_and_key(settings: Settings) -> None:
    key = settings.api_key
    # It travels in an HTTP header.
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise ServiceError(
            zh="--api-key 只能用 ASCII 字母、数字和符号",
            en="--api-key may contain ASCII letters, digits and signs only",
        )
    if not settings.loopback and not key:
        raise ServiceError(
            zh=f"--host {settings.host} 会让网络上的其他机器访问，请同时用 --api-key 设一个密钥",
            en=f"--host {settings.host} opens the service to other machines: "
            "set a key with --api-key as well",
        )


@contextlib.contextmanager
def _full_disk_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not disk.is_full(error):
            raise
        raise ServiceError(
            zh="磁盘满了，服务没有启动：先腾出空间",
            en="the disk is full, the service did not start: make room first",
        ) from error


def _locked(home: Home) -> FileLock:
    """Return the data folder's lock, taken."""
    lock = FileLock(home.service_lock, blocking=False)
    try:
        home.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ServiceError(
            zh=f"数据目录 {home.folder} 已经有一个服务在运行："
            "用 python -m cookbook status 查看，或用 --home 换一个目录",
            en=f"a service already runs on {home.folder}: "
            "see python -m cookbook status, or choose another --home",
        ) from None
    except OSError as error:
        if disk.is_full(error):
            raise
        raise ServiceError(
            zh=f"数据目录 {home.folder} 不能写（{error.strerror}）："
            "用 --home 或 COOKBOOK_HOME 换一个可写的目录",
            en=f"cannot write to {home.folder} ({error.strerror}): "
            "choose another folder with --home or COOKBOOK_HOME",
        ) from error
    return lock


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ServiceError(
            zh=f"不能监听 {host}:{port}（{error.strerror}）：换一个 --port，或省略它让系统挑选",
            en=f"cannot listen on {host}:{port} ({error.strerror}): "
            "choose another --port, or leave it out",
        ) from error
    # The same socket under its protocol's own number instead of 0. Connections inherit the number,
    # and only by it asyncio knows that it can set TCP_NODELAY. Without that, every answer on a
    # connection that is kept waits for the client's delayed acknowledgement, about 40 ms.
    return socket.socket(family, listener.type, socket.IPPROTO_TCP, fileno=listener.detach())


def _run(settings: Settings, listener: socket.socket, chat: ChatEngine) -> None:
    raise_descriptor_limit()
    home = settings.home
    store = Store(home.database)
    bases = installed()
    supervisor = Supervisor(store, home, settings.max_running)
    api_key = settings.api_key or secrets.token_urlsafe(32)
    app = make_app(
        store,
        home=home,
        bases=bases,
        submit=chat.submit,
        on_upload=supervisor.prewarm,
        api_key=api_key,
        loopback=settings.loopback,
    )
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        backlog=limits.BACKLOG,
        timeout_keep_alive=limits.KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        log_config=None,  # its messages go where the service's own go, see logs.py
        log_level="warning",
        access_log=False,
    )
    server = uvicorn.Server(config)
    # Jobs that an earlier service left go on.
    supervisor.start()
    watched = (server, supervisor, app.state.activity, settings, store)
    threading.Thread(target=_watch, args=watched, name="idle-watch", daemon=True).start()
    # From here on others find the service: it listens already and answers in a moment.
    url = _url(listener)
    address = {
        "base_url": url,
        "api_key": api_key,
        "pid": os.getpid(),
        "base_model": bases[0].id,
    }
    disk.write(home.address, json.dumps(address).encode(), private=True)
    log.info(tr("服务已启动 %s，数据目录 %s", "serving at %s, data folder %s"), url, home.folder)
    # Torch takes seconds to load; everything but chat answers meanwhile.
    threading.Thread(target=chat.load, args=(bases[0],), name="chat-loader", daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        supervisor.stop()
        home.address.unlink(missing_ok=True)


def _url(listener: socket.socket) -> str:
    """Return the address that clients on this machine call."""
    host, port = listener.getsockname()[:2]
    # One that listens everywhere is called by the loopback address.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}/v1"


def _watch(
    server: uvicorn.Server,
    supervisor: Supervisor,
    activity: Activity,
    settings: Settings,
    store: Store,
) -> None:
    """End the service when nobody needs it; log a line each minute while jobs are under way."""
    idle_seconds = settings.idle_seconds
    logged_at = time.monotonic()
    while not server.should_exit:
        time.sleep(min(1.0, idle_seconds or 1.0))
        _keep_logs_short(settings.home)
        try:
            busy = supervisor.busy
            if busy and time.monotonic() - logged_at > LOG_SECONDS:
                logged_at = time.monotonic()
                log.info(status.headline(store, settings.home.folder))
        except (sqlite3.Error, OSError):
            # It may pass, as a locked database does.
            continue
        if idle_seconds and not busy and activity.idle_seconds > idle_seconds:
            text = tr("%g 秒没有请求和任务，服务结束", "idle for %g seconds: the service ends")
            log.info(text, idle_seconds)
            server.should_exit = True


def _keep_logs_short(home: Home) -> None:
    # On Windows whoever writes to a file goes on at its old end.
    if os.name != "nt":
        disk.keep_short(home.service_log, limits.LOG_BYTES)
        disk.keep_short(home.worker_log, limits.LOG_BYTES)
