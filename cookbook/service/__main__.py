"""The embedded service in the foreground: the one place where its parts are wired.

    python -m cookbook serve [--host H] [--port P] [--home DIR] [--api-key K] [--jobs N] [--idle SECONDS]

Binds first, then writes `service.json` (address and token, readable by its owner alone) into the data folder; a file
lock allows one service a data folder. Ends after an idle hour, or with `python -m cookbook stop`.
"""

import argparse
import contextlib
import ipaddress
import json
import logging
import os
import secrets
import signal
import socket
import sqlite3
import sys
import threading
import time
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from cookbook import disk
from cookbook.bases import Base, installed
from cookbook.errors import ServiceError
from cookbook.i18n import tr
from cookbook.paths import Home
from cookbook.paths import home as default_home
from cookbook.service import status
from cookbook.service.app import make_app
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.store import Store
from cookbook.service.supervisor import Supervisor

IDLE_SECONDS, LOG_SECONDS = 3600, 60
log = logging.getLogger("cookbook")


def serve(
    home: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str | None = None,
    jobs: int = 1,
    idle: float = IDLE_SECONDS,
) -> None:
    """Run until stopped. `jobs` train at the same time; `idle` seconds without a request or a job end it, 0 never.

    Raises:
        ServiceError: the port is taken, the folder cannot be written, another service has it, or `host` is open to
            the network and no key was given.
    """
    _check_host(host, api_key)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / "service.lock", blocking=False)
        lock.acquire()
    except Timeout:
        raise ServiceError(
            zh=f"数据目录 {home} 已经有一个服务在运行：用 python -m cookbook status 查看，或用 --home 换一个目录",
            en=f"a service already runs on {home}: see python -m cookbook status, or choose another --home",
        ) from None
    except OSError as error:
        _refuse_full(error)
        raise ServiceError(
            zh=f"数据目录 {home} 不能写（{error.strerror}）：用 --home 或 COOKBOOK_HOME 换一个可写的目录",
            en=f"cannot write to {home} ({error.strerror}): choose another folder with --home or COOKBOOK_HOME",
        ) from error
    with lock, _listen(host, port) as listener:
        try:
            _run(
                home,
                listener,
                api_key or secrets.token_urlsafe(32),
                jobs,
                idle,
                loopback=_is_loopback(host),
            )
        except OSError as error:
            _refuse_full(error)
            raise


def _refuse_full(error: OSError) -> None:
    if disk.is_full(error):
        text = tr(
            "磁盘满了，服务没有启动：先腾出空间",
            "the disk is full, the service did not start: make room first",
        )
        raise ServiceError(text, text) from error


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _check_host(host: str, api_key: str | None) -> None:
    if api_key and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ServiceError(
            zh="--api-key 只能用 ASCII 字母、数字和符号",
            en="--api-key may hold ASCII letters, digits and signs only",
        )
    if not _is_loopback(host) and not api_key:
        raise ServiceError(
            zh=f"--host {host} 会让网络上的其他机器访问，请同时用 --api-key 设一个密钥",
            en=f"--host {host} opens the service to other machines: set a key with --api-key as well",
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise ServiceError(
            zh=f"不能监听 {host}:{port}（{error.strerror}）：换一个 --port，或省略它让系统挑选",
            en=f"cannot listen on {host}:{port} ({error.strerror}): choose another --port, or leave it out",
        ) from error


def _run(
    home: Path, listener: socket.socket, api_key: str, jobs: int, idle: float, loopback: bool
) -> None:
    store = Store(home / "service.db")
    bases = installed()
    supervisor = Supervisor(store, home, jobs)
    chat = ChatEngine()
    app = make_app(
        store,
        home=Home(home),
        bases=bases,
        submit=chat.submit,
        on_upload=supervisor.expect,
        api_key=api_key,
        loopback=loopback,
    )
    # A stream that never ends must not keep a stopped service alive.
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    )
    address = home / "service.json"
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(
        host, host
    )  # what clients on this machine call
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
    supervisor.start()
    threading.Thread(
        target=_watch, args=(server, app.state.activity, supervisor, store, home, idle), daemon=True
    ).start()
    _write_private(
        address,
        {"base_url": url, "api_key": api_key, "pid": os.getpid(), "base_model": bases[0].id},
    )
    log.info(tr("服务已启动 %s，数据目录 %s", "serving at %s, data folder %s"), url, home)
    threading.Thread(target=chat.load, args=(bases[0],), name="chat-loader", daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        supervisor.stop()
        address.unlink(missing_ok=True)


def _write_private(path: Path, facts: dict) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(facts, file)
    os.replace(part, path)


def _watch(
    server: uvicorn.Server, activity, supervisor: Supervisor, store: Store, home: Path, idle: float
) -> None:
    """End the service when nobody needs it; a line in the log each minute while jobs are under way."""
    told = time.monotonic()
    while not server.should_exit:
        time.sleep(min(1.0, idle or 1.0))
        try:
            busy = supervisor.busy
            if busy and time.monotonic() - told > LOG_SECONDS:
                told = time.monotonic()
                log.info(status.headline(store, home))
        except (sqlite3.Error, OSError):  # it may pass
            continue
        if idle and activity.idle_seconds > idle and not busy:
            text = tr("%g 秒没有请求和任务，服务结束", "idle for %g seconds: the service ends")
            log.info(text, idle)
            server.should_exit = True


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cookbook serve", description="Run the embedded service."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine alone)"
    )
    parser.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    parser.add_argument(
        "--home", type=Path, default=None, help="data folder (default: COOKBOOK_HOME or .cookbook)"
    )
    parser.add_argument(
        "--api-key", default=os.environ.get("COOKBOOK_API_KEY"), help="key (default: a random one)"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        choices=range(1, 17),
        metavar="N",
        default=os.environ.get("COOKBOOK_JOBS", "1"),
        help="jobs that train at the same time (default: COOKBOOK_JOBS or 1)",
    )
    parser.add_argument(
        "--idle", type=float, default=IDLE_SECONDS, help="end after so many idle seconds; 0: never"
    )
    args = parser.parse_args(argv)
    os.umask(0o077)  # what readers upload and train is for this user alone
    # Threads that wait must sleep: with the default, spinning, a training process and the chat engine on two cores
    # slow each other down tenfold. A moment of it, some 0.1 ms, is worth it: the next product mostly comes within.
    # Read when torch is loaded, here and in the workers, which inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    # glibc hands large blocks back after each step and gets them again empty, page by page; a worker keeps its memory.
    os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr
    )
    log.setLevel(logging.INFO)  # the others speak of their caches
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(
            (args.home or default_home()).expanduser().resolve(),
            args.host,
            args.port,
            args.api_key,
            args.jobs,
            args.idle,
        )
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
