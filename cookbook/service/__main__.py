"""Start the embedded service in the foreground: parse the arguments, set the process up, serve.

    python -m cookbook serve [--host H] [--port P] [--home DIR] [--api-key K] [--jobs N]
                             [--idle SECONDS] [--trainer ray] [--engine URL]

What serving means is in server.py. Ends after an idle hour, or with `python -m cookbook stop`.
`python -m cookbook room` runs the same service for others, see `cookbook/room/command.py`.
"""

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator

from cookbook import chosen_base, engine_options, trainer_options
from cookbook.command_parser import CommandParser
from cookbook.environment import value_of
from cookbook.errors import BaseAway, CookbookError
from cookbook.i18n import tr
from cookbook.options import add_home, add_jobs, home_of
from cookbook.paths import Home
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.logs import log_to_stderr
from cookbook.service.server import IDLE_SECONDS, Chat, Prepare, Settings, serve


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped; return the process's exit code."""
    try:
        run(parse(argv))
    except CookbookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(settings: Settings, prepare: Prepare | None = None) -> None:
    """Serve in this process until Ctrl-C or SIGTERM; `prepare` is called once it listens.

    Raises:
        CookbookError: the service cannot run, or `prepare` raised it.
    """
    # What readers upload and train is for this user alone.
    os.umask(0o077)
    set_thread_and_memory_limits()
    log_to_stderr()
    # `python -m cookbook stop` ends the service as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        _check_base()
        with _chat(settings) as chat:
            serve(settings, chat, prepare)


@contextlib.contextmanager
def _chat(settings: Settings) -> Iterator[Chat]:
    """Give what answers chat: the embedded engine, beside others where there are any."""
    embedded = ChatEngine(settings.home.engine_mark)
    if settings.engines is None:
        yield embedded
        return
    from cookbook.service.engines.router import ChatRouter  # httpx takes a moment to import

    with contextlib.closing(ChatRouter(embedded, settings.engines, settings.home)) as router:
        yield router


def _check_base() -> None:
    """Raise CookbookError where the chosen base can never be loaded; say what else it lacks."""
    try:
        chosen_base.check()
    except BaseAway as error:
        # A job downloads it; until then, chat answers with this sentence.
        logging.getLogger("cookbook").warning(error)


def parse(argv: list[str] | None) -> Settings:
    """Read the command line; what it leaves out comes from the environment."""
    parser = CommandParser(
        prog="python -m cookbook serve",
        description=tr("在前台运行内嵌服务。", "Run the embedded service."),
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help=tr("监听的地址（默认只限本机）", "address to listen on (default: this machine alone)"),
    )
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        help=tr("端口（默认任选一个空闲的）", "port (default: a free one)"),
    )
    add_home(parser)
    parser.add_argument(
        "--api-key",
        default=value_of("COOKBOOK_API_KEY", os.environ) or None,
        help=tr("密钥（默认随机生成）", "key (default: a random one)"),
    )
    add_jobs(parser)
    trainer_options.add(parser)
    engine_options.add(parser)
    parser.add_argument(
        "--idle",
        type=float,
        default=IDLE_SECONDS,
        help=tr("空闲多少秒后结束；0 表示不结束", "end after so many idle seconds; 0: never"),
    )
    # Given by `connect()`, for which the service is then one that it may replace.
    parser.add_argument("--managed", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    trainer = trainer_options.of(args)
    return Settings(
        Home(home_of(args), trainer.storage),
        args.host,
        args.port,
        api_key=args.api_key,
        max_running=args.jobs,
        idle_seconds=args.idle,
        managed=args.managed,
        trainer=trainer,
        engines=engine_options.of(args),
    )


def set_thread_and_memory_limits() -> None:
    """Set what torch and glibc read when they are loaded, here and in the training processes."""
    # Threads that wait must sleep: with the default, spinning, a training process and the chat
    # engine on two cores slow each other down tenfold. A moment of spinning, some 0.1 ms, pays:
    # the next matrix product mostly comes within it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    # glibc hands large blocks back after each step and gets them again empty, page by page.
    # With these a training process keeps its memory.
    os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))


if __name__ == "__main__":
    sys.exit(main())
