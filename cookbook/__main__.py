"""The command line: python -m cookbook COMMAND, one of

    check | course | export | import | pull | room | run | serve | status | stop

Each command is declared, with its help, by a function `_add_…`, and carried out by the function
below it. Exit status: 0 done, 1 an error, 2 wrong usage; `check` adds meanings of its own. Nothing
heavy is imported before a command needs it.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from cookbook import __version__, paths
from cookbook.command_parser import CommandParser
from cookbook.errors import CookbookError, ServiceError
from cookbook.exports import arguments as export_arguments
from cookbook.hubs import pull_arguments
from cookbook.i18n import tr
from cookbook.imports import arguments as import_arguments
from cookbook.options import add_home, home_of
from cookbook.room import arguments as room_arguments
from cookbook.terminal import printable

PIPE_CLOSED = 141  # as shells report a program that a closed pipe has ended


def main(argv: list[str] | None = None) -> int:
    """Carry out the command `argv`, by default this process's own, and return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    # A console that cannot encode a character must not lose the whole message.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        # `serve` has a parser of its own, beside the service.
        # Argparse would abbreviate and reject its options here.
        if argv[:1] == ["serve"]:
            return _serve(argv[1:])
        args = _parser().parse_args(argv)
        status: int = args.carry_out(args)
        sys.stdout.flush()
        return status
    except CookbookError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # `| head` has read enough. Python would try to write the rest once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m cookbook",
        description=tr(
            "SiliconCloud 微调课程：检查训练文件，取出和运行笔记本，下载基础模型，"
            "带走微调好的模型，管理内嵌服务，启动课堂。",
            "The fine-tuning course for SiliconCloud: check training files, copy and run the "
            "notebooks, download base models, take tuned models home, control the embedded "
            "service, open a room.",
        ),
        epilog=tr("每个命令的说明：", "Help of one command: ")
        + "python -m cookbook COMMAND --help",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_check(commands)
    _add_course(commands)
    export_arguments.add(commands, _add)
    import_arguments.add(commands, _add)
    _add_run(commands)
    pull_arguments.add(commands, _add)
    commands.add_parser(
        "serve",
        help=tr("在前台运行内嵌服务", "run the embedded service in the foreground"),
    )
    room_arguments.add(commands, _add)
    _add_status(commands)
    _add_stop(commands)
    return parser


# argparse has no public name for the type of `commands`, hence Any.
def _add(commands: Any, name: str, summary: str, *, more: str, examples: list[str]) -> Any:
    """Add and return the parser of one command; the list of commands shows only its `summary`."""
    heading = tr("例子：", "Examples:")
    command = f"  python -m cookbook {name}"
    lines = [f"{command} {example}".rstrip() for example in examples]
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary}\n{more}",
        epilog="\n".join([heading, *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_check(commands: Any) -> None:
    command = _add(
        commands,
        "check",
        tr("检查训练文件", "check a training file"),
        more=tr(
            "训练文件是 UTF-8 的 .jsonl，每行一个 JSON 对象，不超过 10 MB、1000 行。\n"
            "别的文件（JSON 数组、表格、其他编码、别的工具的格式）会说出是什么、用哪个函数转换。\n"
            "每种问题都列出，带行、列和改法；全部问题见 --json。\n"
            "退出码：0 没有错误，1 有错误，2 文件读不了。",
            "A training file is .jsonl in UTF-8: one JSON object per line, at most 10 MB and\n"
            "1000 rows. Of any other file (a JSON array, a table, another encoding, the format of\n"
            "another tool) it says what it is, and which function converts it.\n"
            "Every kind of problem is listed with line, column and remedy; --json lists them all.\n"
            "Exit status: 0 no errors, 1 errors, 2 the file cannot be read.",
        ),
        examples=["train.jsonl", "train.jsonl --validation valid.jsonl", "train.jsonl --json"],
    )
    command.add_argument(
        "file", type=Path, metavar="FILE", help=tr("训练文件", "the training file")
    )
    command.add_argument(
        "--json",
        action="store_true",
        help=tr("输出一个 JSON 对象，供程序读取", "print one JSON object, for programs"),
    )
    command.add_argument(
        "--max-tokens",
        type=int,
        default=4096,
        metavar="N",
        help=tr("一行最多多少 token（默认 4096）", "longest row in tokens (default: 4096)"),
    )
    command.add_argument(
        "--no-tokens",
        action="store_true",
        help=tr("不数 token，更快", "do not count tokens, which is faster"),
    )
    command.add_argument(
        "--validation",
        type=Path,
        metavar="FILE",
        help=tr(
            "验证文件：同时报告两个文件共有的行", "also report the rows that are in this file too"
        ),
    )
    # Read by `main`: argparse has no other way from a command to its function.
    command.set_defaults(carry_out=_check)


def _check(args: argparse.Namespace) -> int:
    from cookbook import data

    max_tokens = None if args.no_tokens else args.max_tokens
    report = data.check(args.file, validation=args.validation, max_tokens=max_tokens)
    if args.json:
        print(json.dumps(report.to_dict(), ensure_ascii=False, indent=2))
    else:
        print(report)
    # 2 tells scripts a missing file from a faulty one.
    if not report.readable:
        return 2
    return 0 if report.ok else 1


def _add_course(commands: Any) -> None:
    command = _add(
        commands,
        "course",
        tr("把课程的笔记本复制到一个文件夹", "copy the notebooks of the course into a folder"),
        more=tr(
            "内容相同的跳过；改动过的不会被覆盖，除非加上 --force。",
            "Identical files are skipped. Changed ones are not overwritten without --force.",
        ),
        examples=["my-course", "my-course --force"],
    )
    command.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help=tr("目标文件夹，没有就新建", "the folder, created if necessary"),
    )
    command.add_argument(
        "--force",
        action="store_true",
        help=tr("覆盖改动过的笔记本", "overwrite notebooks that were changed"),
    )
    command.set_defaults(carry_out=_course)


def _course(args: argparse.Namespace) -> int:
    from cookbook import course

    written = course.copy(args.folder, overwrite=args.force)
    folder = printable(str(args.folder))
    number = len(written)
    print(f"{folder}:", tr(f"复制了 {number} 个笔记本", f"copied {number} notebooks"))
    print(tr("打开：", "open them: ") + f"jupyter lab {folder}")
    print(tr("运行：", "run them: ") + f"python -m cookbook run {folder}")
    return 0


def _add_run(commands: Any) -> None:
    command = _add(
        commands,
        "run",
        tr(
            "在终端运行笔记本，每个存成一个网页",
            "run notebooks in the terminal, each saved as a web page",
        ),
        more=tr(
            "不写笔记本时，运行当前文件夹里的全部笔记本。笔记本文件本身不会改变。",
            "Without a NOTEBOOK, all notebooks of the current folder are run.\n"
            "The notebook files themselves are not changed.",
        ),
        examples=["", "00_quickstart.ipynb", "my-course --out pages"],
    )
    command.add_argument(
        "notebooks",
        type=Path,
        nargs="*",
        metavar="NOTEBOOK",
        help=tr("笔记本，或装有笔记本的文件夹", "a notebook, or a folder of notebooks"),
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=tr("网页放在哪里（默认 runs/<时间>）", "folder of the pages (default: runs/<time>)"),
    )
    command.set_defaults(carry_out=_run)


def _run(args: argparse.Namespace) -> int:
    # nbconvert takes a second to import, which no other command needs.
    from cookbook.execute import main as execute

    return execute(args.notebooks, args.out)


def _serve(argv: list[str]) -> int:
    try:
        from cookbook.service.__main__ import main as serve
    except ImportError as error:
        from cookbook.causes import cause

        reason = cause(error)
        raise ServiceError(
            zh=f"内嵌服务没有启动：{reason.zh}",
            en=f"the embedded service did not start: {reason.en}",
        ) from error
    return serve(argv)


def _add_status(commands: Any) -> None:
    command = _add(
        commands,
        "status",
        tr("查看内嵌服务在做什么", "show what the embedded service is doing"),
        more=tr(
            "地址、正在训练和排队的任务、内存和磁盘。退出码 1：没有运行。",
            "Its address, the jobs that train and wait, memory and disk.\n"
            "Exit status 1: it is not running.",
        ),
        examples=["", "--home ~/cookbook-data"],
    )
    add_home(command)
    command.set_defaults(carry_out=_status)


def _status(args: argparse.Namespace) -> int:
    from cookbook.address import health
    from cookbook.connection import differences, is_silent, running
    from cookbook.hubs import ready

    home = home_of(args)
    address = running(home)
    if address is None and is_silent(home):
        print(
            tr(
                "内嵌服务没有应答（卡住了，或是旧版本）：运行 python -m cookbook stop",
                "the embedded service does not answer (it hangs, or is an older version): "
                "run python -m cookbook stop",
            )
        )
        return 1
    if address is None:
        print(tr("内嵌服务没有运行", "the embedded service is not running"))
        return 1
    print(tr("运行中", "running"), address["base_url"], f"pid {address['pid']}", end=" ")
    print(address["base_model"])
    # The setting of the service, which may be another than this shell's.
    if fault := ready.fault(address.get("base_setting") or ""):
        print(fault)
    different = differences(address)
    if different:
        listed = tr("；", "; ").join(different)
        print(
            tr(
                f"和现在的设置不同：{listed}（先 stop，再 connect()）",
                f"other settings than here: {listed} (to change that: stop, then connect())",
            )
        )
    # Its tables may be others than those of this version.
    if address.get("version") == __version__:
        # A service that ends just now tells nothing.
        speed = (health(address, details=True) or {}).get("chat_tokens_per_second")
        _print_jobs(home, address["pid"], speed)
    return 0


def _print_jobs(home: Path, pid: int, chat_speed: float | None) -> None:
    # Only now: the helpers must work without the `local` extra.
    from cookbook.service import status
    from cookbook.service.store import Store

    store = Store(paths.Home(home).database)
    print(status.headline(store, home, pid, chat_speed))
    for line in status.jobs(store) + status.batches(store) + status.kept(store, home):
        print(f"  {line}")


def _add_stop(commands: Any) -> None:
    command = _add(
        commands,
        "stop",
        tr("停止内嵌服务", "stop the embedded service"),
        more=tr(
            "没训练完的任务会在下次启动时接着训练。",
            "Jobs that have not finished go on when it is started again.",
        ),
        examples=["", "--home ~/cookbook-data"],
    )
    add_home(command)
    command.set_defaults(carry_out=_stop)


def _stop(args: argparse.Namespace) -> int:
    from cookbook.connection import stop

    # Not an error if none runs: what was asked for is the case.
    if stop(home_of(args)):
        print(tr("已停止", "stopped"))
    else:
        print(tr("内嵌服务没有运行", "the embedded service is not running"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
