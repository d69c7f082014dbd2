"""The embedded service in the foreground: the one place where its parts are wired.

    python -m cookbook serve [--host H] [--port P] [--home DIR] [--api-key K]

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
import sys
import threading
import time
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from cookbook.errors import ServiceError, say
from cookbook.local import models
from cookbook.local.api import make_app
from cookbook.local.store import Store
from cookbook.local.supervisor import Supervisor
from cookbook.local.wire import ChatBody
from cookbook.paths import home as default_home

IDLE_SECONDS = 3600
log = logging.getLogger("cookbook")


class _Chat:
    """The chat engine behind a door: torch is loaded in the background while the service already answers."""

    def __init__(self, warm: list[models.Base]):
        self._ready = threading.Event()
        self._warm = warm
        threading.Thread(target=self._load, name="chat-loader", daemon=True).start()

    def _load(self) -> None:
        from cookbook.local import chat

        self._module, self._engine = chat, chat.Engine()
        self._engine.start()
        self._ready.set()
        for base in self._warm:
            hello = [{"role": "user", "content": "你好"}]
            self._engine.submit(chat.Request(base, None, hello, max_tokens=1), lambda piece: None)

    def submit(self, base, adapter, body: ChatBody, on_piece) -> "_Pending":
        pending = _Pending()

        def start() -> None:
            self._ready.wait()
            stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
            request = self._module.Request(
                base,
                adapter,
                [m.model_dump() for m in body.messages],
                max_tokens=body.max_completion_tokens or body.max_tokens,
                temperature=body.temperature,
                top_p=body.top_p,
                top_k=body.top_k,
                seed=body.seed,
                stop=tuple(s for s in stop if s),
            )
            pending.started(self._engine.submit(request, on_piece))

        if self._ready.is_set():
            start()
        else:
            threading.Thread(target=start, daemon=True).start()
        return pending


class _Pending:
    """An answer that may not have started yet; cancelling it works all the same."""

    def __init__(self):
        self._answer, self._cancelled = None, False

    def started(self, answer) -> None:
        self._answer = answer
        if self._cancelled:
            answer.cancel()

    def cancel(self) -> None:
        self._cancelled = True
        if self._answer:
            self._answer.cancel()


def serve(home: Path, host: str = "127.0.0.1", port: int = 0, api_key: str | None = None) -> None:
    """Run until stopped.

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
            say(
                f"数据目录 {home} 已经有一个服务在运行：用 python -m cookbook status 查看，或用 --home 换一个目录",
                f"a service already runs on {home}: see python -m cookbook status, or choose another --home",
            )
        ) from None
    except OSError as error:
        raise ServiceError(
            say(
                f"数据目录 {home} 不能写（{error.strerror}）：用 --home 或 COOKBOOK_HOME 换一个可写的目录",
                f"cannot write to {home} ({error.strerror}): choose another folder with --home or COOKBOOK_HOME",
            )
        ) from error
    with lock, _listen(host, port) as listener:
        _run(home, listener, api_key or secrets.token_urlsafe(32))


def _check_host(host: str, api_key: str | None) -> None:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost" and not api_key:
        raise ServiceError(
            say(
                f"--host {host} 会让网络上的其他机器访问，请同时用 --api-key 设一个密钥",
                f"--host {host} opens the service to other machines: set a key with --api-key as well",
            )
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ServiceError(
            say(
                f"不能监听 {host}:{port}（{error.strerror}）：换一个 --port，或省略它让系统挑选",
                f"cannot listen on {host}:{port} ({error.strerror}): choose another --port, or leave it out",
            )
        ) from error


def _run(home: Path, listener: socket.socket, api_key: str) -> None:
    store = Store(home / "service.db")
    bases = models.bases()
    supervisor = Supervisor(store, home)
    chat = _Chat(bases[:1])
    app = make_app(store, home=home, bases=bases, submit=chat.submit, api_key=api_key)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    address = home / "service.json"
    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}/v1"
    supervisor.start()
    threading.Thread(target=_watch_idle, args=(server, app, supervisor), daemon=True).start()
    _write_private(address, {"base_url": url, "api_key": api_key, "pid": os.getpid(), "base_model": bases[0].id})
    log.info(say("服务已启动 %s，数据目录 %s", "serving at %s, data folder %s"), url, home)
    try:
        server.run(sockets=[listener])
    finally:
        supervisor.stop()
        address.unlink(missing_ok=True)


def _write_private(path: Path, facts: dict) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(facts, file)
    os.replace(part, path)


def _watch_idle(server: uvicorn.Server, app, supervisor: Supervisor) -> None:
    while not server.should_exit:
        time.sleep(5)
        if time.monotonic() - app.state.last_request > IDLE_SECONDS and not supervisor.busy:
            log.info(say("一小时没有请求，服务结束", "idle for an hour: the service ends"))
            server.should_exit = True


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cookbook serve", description="Run the embedded service.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    parser.add_argument("--home", type=Path, default=None, help="data folder (default: COOKBOOK_HOME or .cookbook)")
    parser.add_argument("--api-key", default=os.environ.get("COOKBOOK_API_KEY"), help="key (default: a random one)")
    args = parser.parse_args(argv)
    # Threads that wait must sleep: with the default, spinning, a training process and the chat engine on two cores
    # slow each other down tenfold. Read when torch is loaded, here and in the workers, which inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve((args.home or default_home()).expanduser().resolve(), args.host, args.port, args.api_key)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
