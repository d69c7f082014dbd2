"""Carry out `python -m cookbook room`: open the room in the foreground, until Ctrl-C.

The service listens before anybody is added, so that a port that is taken costs nobody a key. Who is
there already keeps their key; only new people get one, with a slip. Adding people to a room that
runs, and the other actions, are in roster.py.
"""

import argparse
import math
import time
from pathlib import Path
from urllib.parse import urlsplit

from cookbook import connection, data_folder, engine_options, processes, trainer_options
from cookbook.errors import ArgumentError, ServiceError
from cookbook.i18n import tr
from cookbook.options import home_of
from cookbook.paths import Home
from cookbook.quoted import without_password
from cookbook.room import names, roster, slips
from cookbook.room.names import Name
from cookbook.room.welcome import welcome
from cookbook.service.__main__ import run as serve
from cookbook.service.listening import Listening
from cookbook.service.server import Settings
from cookbook.service.store import Store
from cookbook.terminal import printable

_MOST_HOURS = 24 * 366.0


def run(args: argparse.Namespace) -> int:
    """Do what the command line says; return the exit status.

    Raises:
        CookbookError: it was not done; the sentence says why and what to do.
    """
    home = Home(home_of(args))
    out = args.out.expanduser().resolve() if args.out else home.folder
    action, words = args.words[:1], args.words[1:]
    _check_people(args, action)
    if action == ["add"]:
        roster.add(home, words, out)
    elif action == ["renew"]:
        roster.renew(home, words, out)
    elif action == ["remove"]:
        roster.remove(home, words)
    elif action == ["list"] and not words:
        roster.show(home)
    else:
        _open_room(args, home, out)
    return 0


def _check_people(args: argparse.Namespace, action: list[str]) -> None:
    """Raise ArgumentError for a number of people where names are needed."""
    if args.people is not None and action and action[0] in processes.ROOM_ACTIONS:
        raise ArgumentError(
            zh=f"--people 只在开课堂时用：room {action[0]} 后面写名字",
            en=f"--people is for opening a room: give room {action[0]} names",
        )


def _open_room(args: argparse.Namespace, home: Home, out: Path) -> None:
    # Whatever was typed wrong is found before another service is stopped.
    wanted = _wanted(args)
    settings = _settings(args, home)
    closes_at = _closes_at(args.hours)
    _take_over(home)
    data_folder.prepare(home)
    slips.check(out)

    def prepare(store: Store, listening: Listening) -> None:
        store.set_closes_at(closes_at)
        welcome(store, listening, wanted, out, opens_page=not args.no_open)

    serve(settings, prepare)
    print(
        tr(
            "\n课堂已停止。密钥、文件、任务和模型都保留：再运行同样的命令就能接着上课",
            "\nthe room has stopped. Keys, files, jobs and models are kept: the same command "
            "starts it again",
        )
    )


# What was typed


def _wanted(args: argparse.Namespace) -> list[Name]:
    """Return the people that the room is to have, beside those that it has.

    Raises:
        ArgumentError: they are given in two ways, or in none that is known.
        DataError: the list of names cannot be read.
    """
    if args.people is not None:
        if args.words:
            raise ArgumentError(
                zh="--people 和名单只能用一个", en="give either --people or a list of names"
            )
        return names.tidied(names.numbered(args.people))
    if not args.words:
        return []
    path = Path(args.words[0]).expanduser()
    if len(args.words) > 1 or not (path.suffix or path.exists()):
        typed = printable(" ".join(args.words))
        raise ArgumentError(
            zh=f"没有命令 room {typed}：可以用 room 名单.csv，或 room add | remove | renew 名字…，"
            "或 room list",
            en=f"unknown command room {typed}: use room NAMES.csv, "
            "room add | remove | renew NAME…, or room list",
        )
    return names.tidied(names.read(path))


def _settings(args: argparse.Namespace, home: Home) -> Settings:
    if args.certificate_key and not args.certificate:
        raise ArgumentError(
            zh="--certificate-key 要和 --certificate 一起用",
            en="--certificate-key needs --certificate as well",
        )
    trainer = trainer_options.of(args)
    return Settings(
        Home(home.folder, trainer.storage),
        args.host,
        args.port,
        max_running=args.jobs,
        idle_seconds=0,
        room=True,
        reuse=not args.train_each,
        certificate=args.certificate and args.certificate.expanduser(),
        certificate_key=args.certificate_key and args.certificate_key.expanduser(),
        address=_address(args.address),
        trainer=trainer,
        engines=engine_options.of(args),
    )


def _address(text: str | None) -> str | None:
    """Return the address that people are given, as `COOKBOOK_SERVICE` has it.

    Raises:
        ArgumentError: it is not an HTTP address.
    """
    if text is None:
        return None
    address = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = is_address and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        is_address = False
    if not is_address or not address.isprintable() or " " in address:
        shown = printable(without_password(text[:100]))
        raise ArgumentError(
            zh=f"--address {shown} 不是地址：写成 https://example.org 或 https://example.org/room",
            en=f"--address {shown} is not an address: "
            "write it as https://example.org or https://example.org/room",
        )
    return address


def _closes_at(hours: float) -> int | None:
    """Return when the room closes, in seconds since 1970; None for never."""
    if not (math.isfinite(hours) and 0 <= hours <= _MOST_HOURS):
        raise ArgumentError(
            zh=f"--hours {hours:g}：写 0（不结束）到 {_MOST_HOURS:g} 之间的小时数",
            en=f"--hours {hours:g}: give hours from 0 (never) to {_MOST_HOURS:g}",
        )
    return int(time.time() + hours * 3600) if hours else None


# Another service on the same folder


def _take_over(home: Home) -> None:
    """End a service that `connect()` has started on this folder; its trainings go on.

    Raises:
        ServiceError: somebody has started one in a terminal, or it does not answer.
    """
    address = connection.running(home.folder)
    if address is None and not connection.is_silent(home.folder):
        return
    process = processes.service_of(address, home.folder) if address else None
    if address is None or process is None or not address.get("managed"):
        raise ServiceError(
            zh=f"数据目录 {home.folder} 上已经有一个服务在运行（serve 或 room）："
            "先运行 python -m cookbook stop，或用 --home 换一个目录",
            en=f"a service (serve or room) already runs on {home.folder}: "
            "run python -m cookbook stop, or choose another --home",
        )
    processes.end([process], connection.STOP_SECONDS)
    print(
        tr(
            "笔记本启动的内嵌服务已停止，换成课堂；正在训练的任务不受影响",
            "the embedded service that a notebook had started is stopped, the room takes its "
            "place; jobs keep training",
        )
    )
