"""Run the service on a data folder: lock it, listen, publish the address, end when idle.

Binds first and writes the address file afterwards, so whoever reads it finds a service that
listens. A file lock allows one service a data folder. Ends after `idle_seconds` without a request,
a job or a batch, on Ctrl-C or SIGTERM, and when its folder is removed; training processes go on by
themselves, but for those of a folder that is gone.

Requests are answered by app.py, jobs are started by supervisor.py. The sockets are in listening.py;
what others need to find the service is in publication.py.
"""

import contextlib
import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout

from cookbook import causes, data_folder, disk
from cookbook.address import is_loopback
from cookbook.bases import Base, installed
from cookbook.client import is_api_key
from cookbook.engine_options import EngineSettings
from cookbook.errors import ServiceError
from cookbook.i18n import tr
from cookbook.paths import Home
from cookbook.service import certificate, limits, prefix, recovery, status, trainers
from cookbook.service.activity import Activity
from cookbook.service.app import make_app
from cookbook.service.batch_runner import BatchRunner
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.connections import (
    LimitedProtocol,
    LimitedServer,
    Secured,
    raise_descriptor_limit,
)
from cookbook.service.file_check import FileChecks
from cookbook.service.listening import Listening, listen
from cookbook.service.publication import Endpoint, Publication, remember, remembered
from cookbook.service.store import Store
from cookbook.service.supervisor import Supervisor
from cookbook.service.trainers import Trainer, TrainerSettings

if TYPE_CHECKING:
    from cookbook.service.engines.router import ChatRouter

IDLE_SECONDS = 3600.0
LOG_SECONDS = 60.0  # between two lines of the log while jobs are under way
SHUTDOWN_SECONDS = 5  # a stream that never ends must not keep a stopped service alive
PREDECESSOR_SECONDS = 2 * SHUTDOWN_SECONDS  # how long one that is ending keeps the folder

log = logging.getLogger("cookbook")


@dataclass(frozen=True)
class Settings:
    """How to run the service.

    `port` 0 is a free one, `api_key` None a random one, `max_running` the jobs that train at the
    same time, `idle_seconds` 0 means never to end by itself. `managed` tells that `connect()`
    started the service, and may replace it.

    A `room` is for others: it has a key of its own without being given one, and answers to any host
    name. With a `certificate` it speaks TLS; the key of that may be in the same file. `address`
    is what the people of the room are given, where it is not the machine's own: a proxy's.
    `reuse` has equal jobs train once; None: as `COOKBOOK_REUSE` says. `trainer` says where jobs are
    trained; with `max_running` None it also says how many at the same time. `engines` answer chat,
    where there are any.
    """

    home: Home
    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = None
    max_running: int | None = None
    idle_seconds: float = IDLE_SECONDS
    managed: bool = False
    room: bool = False
    reuse: bool | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    address: str | None = None
    trainer: TrainerSettings = TrainerSettings()
    engines: EngineSettings | None = None

    @property
    def loopback(self) -> bool:
        """Return whether only this machine can reach the service."""
        return is_loopback(self.host)


Chat = Union[ChatEngine, "ChatRouter"]
Prepare = Callable[[Store, Listening], None]
"""What is called once the service listens, and before it answers."""


def serve(settings: Settings, chat: Chat, prepare: Prepare | None = None) -> None:
    """Run until stopped.

    Raises:
        ServiceError: the port is taken, the data folder cannot be written, another service has it,
            the certificate cannot be served, `host` is open to the network and no key was given, or
            no job can ever be trained as `trainer` says.
    """
    _check_host_and_key(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_full_disk_explained())
        stack.enter_context(_locked(settings))
        trainer = stack.enter_context(_trainer(settings))
        checks = stack.enter_context(FileChecks())
        listening = stack.enter_context(contextlib.closing(_listen(settings)))
        _run(settings, listening, chat, trainer, checks, prepare)


@contextlib.contextmanager
def _trainer(settings: Settings) -> Iterator[Trainer]:
    """Give the trainer of the jobs, ready to train."""
    # Where the training processes find the same one.
    os.environ.update(settings.trainer.to_environment())
    trainer = trainers.chosen(settings.trainer)
    try:
        # Which takes a while where it starts a cluster, and may be interrupted.
        trainer.start()
        yield trainer
    finally:
        trainer.stop()


def _listen(settings: Settings) -> Listening:
    tls = None
    if settings.certificate:
        tls = certificate.read(settings.certificate, settings.certificate_key)
    return listen(
        settings.host,
        settings.port,
        last=remembered(settings.home),
        api_key=settings.api_key,
        is_room=settings.room,
        tls=tls,
        address=settings.address,
    )


def _check_host_and_key(settings: Settings) -> None:
    key = settings.api_key
    if key and not is_api_key(key):
        raise ServiceError(
            zh="--api-key 只能用 ASCII 字母、数字和符号",
            en="--api-key may contain ASCII letters, digits and signs only",
        )
    # A room's is a random one, which nobody types.
    if not (settings.loopback or settings.room or key):
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


def _locked(settings: Settings) -> FileLock:
    """Return the data folder's lock, taken."""
    home = settings.home
    # `connect()` has made sure that none serves; one that does not any more may still be ending.
    lock = FileLock(home.service_lock, timeout=PREDECESSOR_SECONDS if settings.managed else 0)
    try:
        data_folder.prepare(home)
        lock.acquire()
        disk.check_lock(lock)
    except Timeout:
        # `connect()` starts a second one only where the first does not answer.
        command = "stop" if settings.managed else "status"
        raise ServiceError(
            zh=f"数据目录 {home.folder} 已经有一个服务在运行："
            f"先运行 python -m cookbook {command}，或用 --home 换一个目录",
            en=f"a service already runs on {home.folder}: "
            f"run python -m cookbook {command}, or choose another --home",
        ) from None
    # Older releases of filelock raise the second where a file system has no locks.
    except (OSError, NotImplementedError) as error:
        if disk.is_full(error):
            raise
        cause = causes.cause(error)
        if cause.kind == "locks":
            lock.release()
            raise ServiceError(zh=cause.zh, en=cause.en) from error
        reason = getattr(error, "strerror", error)
        raise ServiceError(
            zh=f"数据目录 {home.folder} 不能写（{reason}）："
            "用 --home 或 COOKBOOK_HOME 换一个可写的目录",
            en=f"cannot write to {home.folder} ({reason}): "
            "choose another folder with --home or COOKBOOK_HOME",
        ) from error
    return lock


class _Server(LimitedServer):
    """A server that stops the queue before it waits for the last requests.

    In these seconds a job must not be started, nor a training process that was ended be missed, nor
    a line of a batch be asked.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        secured: Secured | None,
        supervisor: Supervisor,
        batches: BatchRunner,
    ):
        super().__init__(config, secured)
        self._supervisor, self._batches = supervisor, batches

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._supervisor.stop()
        self._batches.stop()
        await super().shutdown(sockets)


def _run(
    settings: Settings,
    listening: Listening,
    chat: Chat,
    trainer: Trainer,
    checks: FileChecks,
    prepare: Prepare | None,
) -> None:
    raise_descriptor_limit()
    home = settings.home
    store = recovery.open_store(home)
    for line in recovery.find_models(store, home):
        log.warning(line)
    bases = installed()
    supervisor = Supervisor(
        store,
        home,
        settings.max_running or trainer.jobs,
        chat.unload_idle,
        reuse=settings.reuse,
        trainer=trainer,
    )
    chat.neighbours = supervisor

    def is_busy() -> bool:
        return supervisor.busy or store.has_batches_under_way()

    app = make_app(
        store,
        home=home,
        bases=bases,
        submit=chat.submit,
        on_upload=supervisor.prewarm,
        check=checks.check,
        has_jobs=is_busy,
        chat_speed=chat.tokens_per_second,
        where=trainer.machine,
        addresses=listening.addresses,
        api_key=listening.api_key,
        # A proxy in front of a room calls it by the name that its people use.
        loopback=settings.loopback and not settings.room,
        prefix=prefix.of_hub(),
    )
    if prepare:
        prepare(store, listening)
    batches = BatchRunner(app.state.shared)
    server = _Server(_config(app), listening.secured, supervisor, batches)
    # Jobs and batches that an earlier service left go on.
    supervisor.start()
    batches.start()
    publication = _publish(settings, listening, bases[0])
    activity = app.state.activity
    watched = (server, supervisor, is_busy, activity, settings, store, publication, chat)
    threading.Thread(target=_watch, args=watched, name="idle-watch", daemon=True).start()
    # Torch takes seconds to load; everything but chat answers meanwhile.
    threading.Thread(target=chat.load, args=(bases[0],), name="chat-loader", daemon=True).start()
    try:
        server.run(sockets=listening.sockets)
    finally:
        supervisor.stop()
        batches.join()
        publication.withdraw()


def _publish(settings: Settings, listening: Listening, base: Base) -> Publication:
    """Let others on this machine find the service: it listens and answers in a moment."""
    home = settings.home
    url, api_key = listening.local_url, listening.api_key
    # A key that was given is not kept: whoever gave it gives it again.
    if settings.api_key is None:
        remember(home, Endpoint(listening.local_port, api_key))
    publication = Publication(
        home, base_url=url, api_key=api_key, base_model=base.id, managed=settings.managed
    )
    log.info(tr("服务已启动 %s，数据目录 %s", "serving at %s, data folder %s"), url, home.folder)
    return publication


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        backlog=limits.ACCEPTED,
        timeout_keep_alive=limits.KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        log_config=None,  # its messages go where the service's own go, see logs.py
        log_level="warning",
        access_log=False,
    )


def _watch(
    server: uvicorn.Server,
    supervisor: Supervisor,
    is_busy: Callable[[], bool],
    activity: Activity,
    settings: Settings,
    store: Store,
    publication: Publication,
    chat: Chat,
) -> None:
    """End the service when nobody needs it; log a line each minute while something is under way."""
    idle_seconds = settings.idle_seconds
    logged_at = time.monotonic()
    while not server.should_exit:
        time.sleep(min(1.0, idle_seconds or 1.0))
        _keep_logs_short(settings.home)
        try:
            if not publication.renew():
                log.info(
                    tr("数据目录没有了，服务结束", "the data folder is gone: the service ends")
                )
                # What they would save has no place any more.
                supervisor.end_training()
                server.should_exit = True
                return
            busy = is_busy()
            if busy and time.monotonic() - logged_at > LOG_SECONDS:
                logged_at = time.monotonic()
                speed = chat.tokens_per_second()
                log.info(status.headline(store, settings.home.folder, chat_speed=speed))
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
        for path in (home.service_log, home.worker_log, *home.worker_logs.glob("*.log")):
            disk.keep_short(path)
