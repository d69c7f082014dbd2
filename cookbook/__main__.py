"""The command line:  python -m cookbook check | serve | status | stop | run"""

import argparse
import json
import sys
from pathlib import Path

from cookbook.errors import CookbookError
from cookbook.i18n import tr
from cookbook.paths import home as default_home


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["serve"]:
        from cookbook.service.__main__ import main as serve

        return serve(argv[1:])
    parser = argparse.ArgumentParser(
        prog="python -m cookbook", description="Fine-tuning cookbook for SiliconCloud."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check", help="check a training file; exit 0 good, 1 errors, 2 cannot be read"
    )
    check.add_argument("file", type=Path)
    check.add_argument("--json", action="store_true", help="one JSON object instead of text")
    check.add_argument(
        "--max-tokens", type=int, default=4096, help="longest row in tokens (default 4096)"
    )
    check.add_argument(
        "--no-tokens", action="store_true", help="do not count tokens, which is faster"
    )
    check.add_argument(
        "--validation", type=Path, metavar="FILE", help="also report rows that stand in both files"
    )
    commands.add_parser("serve", help="run the embedded service in the foreground (serve --help)")
    for name, text in (
        ("status", "what the embedded service is doing"),
        ("stop", "stop the embedded service"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "--home",
            type=Path,
            default=None,
            help="data folder (default: COOKBOOK_HOME or .cookbook)",
        )
    run = commands.add_parser(
        "run", help="run notebooks in the terminal and keep each as an HTML file"
    )
    run.add_argument(
        "notebooks", type=Path, nargs="*", metavar="NOTEBOOK", help="default: the whole course"
    )
    run.add_argument(
        "--out", type=Path, default=None, help="folder for the HTML files (default: runs/<time>)"
    )
    args = parser.parse_args(argv)
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # a console that cannot write a character must not lose the message
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return {"check": _check, "status": _status, "stop": _stop, "run": _run}[args.command](args)
    except CookbookError as error:
        print(error, file=sys.stderr)
        return 1


def _check(args) -> int:
    from cookbook import data

    max_tokens = None if args.no_tokens else args.max_tokens
    report = data.check(args.file, validation=args.validation, max_tokens=max_tokens)
    print(json.dumps(report.to_dict(), ensure_ascii=False, indent=2) if args.json else report)
    return 0 if report.ok else 1 if report.readable else 2


def _home(args) -> Path:
    return (args.home or default_home()).expanduser().resolve()


def _status(args) -> int:
    from cookbook.connection import running

    facts = running(_home(args))
    if not facts:
        print(tr("内嵌服务没有运行", "the embedded service is not running"))
        return 1
    from cookbook.service import status
    from cookbook.service.store import Store

    store = Store(_home(args) / "service.db")
    print(tr("运行中", "running"), facts["base_url"], f"pid {facts['pid']}", facts["base_model"])
    print(status.headline(store, _home(args), facts["pid"]))
    for line in status.jobs(store):
        print(f"  {line}")
    return 0


def _stop(args) -> int:
    from cookbook.connection import stop

    stopped = stop(_home(args))
    print(
        tr("已停止", "stopped")
        if stopped
        else tr("内嵌服务没有运行", "the embedded service is not running")
    )
    return 0


def _run(args) -> int:
    from cookbook.execute import main as execute

    return execute(args.notebooks, args.out)


if __name__ == "__main__":
    sys.exit(main())
