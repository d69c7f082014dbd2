"""Declare `python -m cookbook room`, with its help; command.py and roster.py carry it out."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cookbook import engine_options, trainer_options
from cookbook.errors import ServiceError
from cookbook.i18n import tr
from cookbook.options import add_home, add_jobs

PORT = 8765
HOURS = 12.0


def add(commands: Any, add_command: Callable[..., Any]) -> None:
    """Declare the command; `add_command` makes the parser of one."""
    command = add_command(
        commands,
        "room",
        tr("启动课堂：一个服务，每人一把密钥", "open a room: one service, a key for each person"),
        more=tr(
            "在本机的网络地址上启动服务，给每人一把密钥，生成密钥条（打印用的网页和 CSV）。\n"
            "第二天再运行一次：学员和密钥都还在，只有新学员得到密钥。\n"
            "名单是一个表格（.csv、.xlsx），有表头为“姓名”的一列，或者只有一列。\n"
            "add、remove、renew、list 在课堂运行时也能用。说明见 docs/room.zh-CN.md。",
            "Starts the service on this machine's network address, makes a key for each person\n"
            "and writes the slips: a page to print, and a CSV.\n"
            "Run it again the next morning: people and keys are still there, and only new people\n"
            "get keys. A list of names is a table (.csv, .xlsx) with a column headed name, or\n"
            "with one column. add, remove, renew and list work while the room runs.\n"
            "See docs/room.md.",
        ),
        examples=[
            "--people 30",
            "names.csv",
            "names.csv --certificate fullchain.pem --certificate-key privkey.pem",
            "--host 127.0.0.1 --address https://example.org/room --people 30",
            tr('add "Li Lei" 韩梅梅', 'add "Li Lei" Han-Meimei'),
            "add more.csv",
            "renew Li-Lei",
            "remove Li-Lei",
            "list",
        ],
    )
    command.add_argument(
        "words",
        nargs="*",
        metavar="NAMES.csv | add NAME… | remove NAME… | renew NAME… | list",
        help=tr("名单，或者子命令", "a list of names, or a subcommand"),
    )
    _add_people(command)
    _add_network(command)
    _add_service(command)
    add_home(command)
    # Read by the command line's `main`.
    command.set_defaults(carry_out=_room)


def _add_people(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--people",
        type=int,
        metavar="N",
        help=tr("没有名单时：p01 到 pN", "without a list of names: p01 to pN"),
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=tr("密钥条放在哪里（默认数据目录）", "folder of the slips (default: the data folder)"),
    )
    command.add_argument(
        "--no-open",
        action="store_true",
        help=tr(
            "不打开组织者页面，只显示链接", "print the link to the leader's page, do not open it"
        ),
    )


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--host",
        default="0.0.0.0",
        help=tr("监听的地址（默认所有网卡）", "address to listen on (default: every network)"),
    )
    command.add_argument(
        "--port",
        type=int,
        default=PORT,
        help=tr(f"端口（默认 {PORT}）", f"port (default: {PORT})"),
    )
    command.add_argument(
        "--address",
        metavar="URL",
        help=tr(
            "学员用的地址，例如反向代理的（默认本机的网络地址）",
            "the address that people use, such as a proxy's (default: this machine's own)",
        ),
    )
    command.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help=tr("TLS 证书（PEM，fullchain）", "certificate for TLS (PEM, fullchain)"),
    )
    command.add_argument(
        "--certificate-key",
        type=Path,
        metavar="FILE",
        help=tr("它的私钥（PEM，没有密码）", "its key (PEM, without a password)"),
    )


def _add_service(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--hours",
        type=float,
        default=HOURS,
        metavar="H",
        help=tr(
            f"几小时后结束，页面上可以延长；0 表示不结束（默认 {HOURS:g}）",
            f"close after this many hours; the page can extend it; 0: never (default: {HOURS:g})",
        ),
    )
    add_jobs(command)
    trainer_options.add(command)
    engine_options.add(command)
    command.add_argument(
        "--train-each",
        action="store_true",
        help=tr(
            "每个任务都自己训练，即使和训练过的完全相同",
            "train every job, even one that equals a finished one",
        ),
    )


def _room(args: argparse.Namespace) -> int:
    # Not before it is asked for: the service takes a second to import.
    try:
        from cookbook.room import command
    except ImportError as error:
        from cookbook.causes import cause

        reason = cause(error)
        raise ServiceError(
            zh=f"课堂没有启动：{reason.zh}", en=f"the room did not start: {reason.en}"
        ) from error
    return command.run(args)
