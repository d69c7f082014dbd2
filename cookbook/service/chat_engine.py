"""The chat engine, reachable before it is loaded, and where it cannot be loaded.

Loading torch takes seconds, in which the service already answers.

    chat = ChatEngine()
    threading.Thread(target=chat.load, args=(base,), daemon=True).start()
    generation = chat.submit(request, on_piece)

A request that comes too early waits for the engine, and can be cancelled meanwhile. Where torch or
the engine cannot be loaded, every request fails at once with the cause, and loading is tried again
from time to time. Importing this module loads no torch.
"""

import contextlib
import importlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cookbook import causes
from cookbook.bases import Base
from cookbook.causes import Cause
from cookbook.errors import ServiceError
from cookbook.i18n import both, tr
from cookbook.service import trial
from cookbook.service.chat_request import ChatRequest, Generation, OnPiece, Piece
from cookbook.service.neighbours import Neighbours, Nobody

RETRY_SECONDS = 10.0  # between two attempts to load the engine
PROBE_SECONDS = 120.0  # for torch to load in a process of its own

_log = logging.getLogger("cookbook")


class ChatEngine:
    """One `engine.generate.Engine`, loaded in the background.

    Attributes:
        neighbours: who has the rest of the memory; to be set before `load`.

    Args:
        mark: a file that is there while the engine is loaded. Found by the next service, it says
            that loading ended the whole process, as torch does on a processor that is too old.
    """

    def __init__(self, mark: Path | None = None) -> None:
        self._mark = mark
        self.neighbours: Neighbours = Nobody()
        self._lock = threading.Lock()  # of everything below
        self._engine: Any = None
        self._early: list[_EarlyGeneration] = []
        self._failure: Cause | None = None
        self._retry_at = 0.0

    def load(self, base: Base) -> None:
        """Import torch, start the engine, and let it load `base` before anybody asks for it.

        Where that fails, requests are told why; this never raises for it.
        """
        try:
            engine = self._start_engine()
        except Exception as error:
            _log.exception("the chat engine cannot be loaded")
            self._fail(causes.cause(error, log=Path("service.log")))
            return
        with self._lock:
            self._engine, self._failure = engine, None
            early, self._early = self._early, []
        for generation in early:
            # Unless its client has left meanwhile.
            if not generation.cancelled:
                generation.start(engine)
        # An engine loads a base at its first request, which then takes seconds longer.
        hello = [{"role": "user", "content": "你好"}]
        request = ChatRequest(base, None, hello, max_tokens=1)
        engine.submit(request, lambda piece: None)

    def submit(self, request: ChatRequest, on_piece: OnPiece) -> Generation:
        """Start an answer, now or when the engine is ready.

        `on_piece` is called in the engine's thread, or in this one if there is no engine.
        """
        generation = _EarlyGeneration(request, on_piece)
        with self._lock:
            engine, failure = self._engine, self._failure
            if engine is None and failure is None:
                self._early.append(generation)
        if engine is not None:
            return engine.submit(request, on_piece)
        if failure is not None:
            self._retry(request.base)
            generation.fail(failure)
        return generation

    def unload_idle(self) -> list[str]:
        """Give back the memory of bases that nobody is asking; return their names.

        They are loaded again at the next request. Callable from any thread.
        """
        with self._lock:
            engine = self._engine
        return engine.unload_idle() if engine is not None else []

    def tokens_per_second(self) -> float | None:
        """Return how fast answers were generated in the last minutes; None if none were."""
        with self._lock:
            engine = self._engine
        return engine.speed.read() if engine is not None else None

    def _start_engine(self) -> Any:
        # Python remembers what it did not find; a package may have been installed since.
        importlib.invalidate_caches()
        with self._marked():
            from cookbook.service.engine import generate

            engine = generate.Engine(self.neighbours)
        engine.start()
        return engine

    @contextlib.contextmanager
    def _marked(self) -> Iterator[None]:
        """Leave the mark where the block ends the process; if it did so before, probe first."""
        mark = self._mark
        if mark is None:
            yield
            return
        if mark.exists():
            _probe()
        # On a full disk there is no mark, but chat.
        with contextlib.suppress(OSError):
            mark.touch()
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def _fail(self, failure: Cause) -> None:
        with self._lock:
            # A second import of half a torch fails for another reason, which helps nobody.
            if self._failure is None or failure.kind != causes.UNKNOWN:
                self._failure = failure
            self._retry_at = time.monotonic() + RETRY_SECONDS
            failure = self._failure
            early, self._early = self._early, []
        for generation in early:
            generation.fail(failure)

    def _retry(self, base: Base) -> None:
        """Load again in the background, unless that was tried a moment ago."""
        with self._lock:
            if time.monotonic() < self._retry_at or _half_imported():
                return
            self._retry_at = time.monotonic() + PROBE_SECONDS
        threading.Thread(target=self.load, args=(base,), name="chat-loader", daemon=True).start()


def _probe() -> None:
    """Load torch in a process of its own first, so that it cannot end this one.

    Raises:
        ServiceError: it ended that one.
    """
    done = trial.run("-c", "import torch", seconds=PROBE_SECONDS)
    if done.returncode:
        cause = causes.cause_of_output(done.stderr, done.returncode)
        raise ServiceError(zh=cause.zh, en=cause.en)


def _half_imported() -> bool:
    """Return whether parts of torch stayed behind, so that it cannot be imported here again."""
    left = any(name.startswith("torch.") for name in sys.modules)
    return left and "torch" not in sys.modules


def _remedy(failure: Cause) -> str:
    if not _half_imported():
        return str(failure)
    restart = tr(
        "（改好后运行 python -m cookbook stop，再运行 connect() 那一格）",
        " (then run python -m cookbook stop, and the cell with connect() again)",
    )
    return f"{failure}{restart}"


class _EarlyGeneration:
    """An answer that may not have started yet; it can be cancelled all the same."""

    def __init__(self, request: ChatRequest, on_piece: OnPiece) -> None:
        self._request, self._on_piece = request, on_piece
        self._generation: Generation | None = None
        self.cancelled = False

    def start(self, engine: Any) -> None:
        generation = engine.submit(self._request, self._on_piece)
        self._generation = generation
        # `cancel` sets its mark before it looks here, so one of the two sees the other.
        if self.cancelled:
            generation.cancel()

    def fail(self, failure: Cause) -> None:
        """Hand the cause to `on_piece`, as the last piece."""
        remedy = both(lambda: _remedy(failure))
        self._on_piece(Piece.failed(remedy, "model_unavailable"))

    def cancel(self) -> None:
        self.cancelled = True
        if self._generation:
            self._generation.cancel()
