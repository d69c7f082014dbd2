"""Start the embedded service in the foreground: parse the arguments, set the process up, serve.

    python -m cookbook serve [--host H] [--port P] [--home DIR] [--api-key K] [--jobs N]
                             [--idle SECONDS]

What serving means is in server.py. Ends after an idle hour, or with `python -m cookbook stop`.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from cookbook import paths
from cookbook.bases import Base
from cookbook.errors import ServiceError
from cookbook.paths import Home
from cookbook.service.requests import ChatBody
from cookbook.service.server import IDLE_SECONDS, Settings, serve

MAX_JOBS = 16


class _Chat:
    """The chat engine behind a door: torch is loaded in the background while the service already answers."""

    def __init__(self):
        self._ready = threading.Event()

    def load(self, warm: Base) -> None:
        """Get torch, and have `warm` ready before anybody asks for it."""
        from cookbook.service.engine import generate as chat

        self._module, self._engine = chat, chat.Engine()
        self._engine.start()
        self._ready.set()
        hello = [{"role": "user", "content": "你好"}]
        self._engine.submit(chat.Request(warm, None, hello, max_tokens=1), lambda piece: None)

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


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped; return the process's exit code."""
    settings = parse(argv)
    # What readers upload and train is for this user alone.
    os.umask(0o077)
    set_thread_and_memory_limits()
    log_to_stderr()
    # `python -m cookbook stop` ends the service as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(settings, _Chat())
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def parse(argv: list[str] | None) -> Settings:
    """Read the command line; what it leaves out comes from the environment."""
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
        choices=range(1, MAX_JOBS + 1),
        metavar="N",
        default=os.environ.get("COOKBOOK_JOBS", "1"),
        help="jobs that train at the same time (default: COOKBOOK_JOBS or 1)",
    )
    parser.add_argument(
        "--idle", type=float, default=IDLE_SECONDS, help="end after so many idle seconds; 0: never"
    )
    args = parser.parse_args(argv)
    folder = (args.home or paths.home()).expanduser().resolve()
    return Settings(Home(folder), args.host, args.port, args.api_key, args.jobs, args.idle)


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


def log_to_stderr() -> None:
    """Show the service's own messages, and of the libraries only warnings."""
    line = "%(asctime)s %(name)s %(message)s"
    logging.basicConfig(level=logging.WARNING, format=line, stream=sys.stderr)
    logging.getLogger("cookbook").setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
