"""Answer with base and tuned models: many requests at once, each with its own sampling and seed.

    engine = Engine(); engine.start()
    answer = engine.submit(ChatRequest(...), on_piece=print); answer.cancel()

Requests for one base share every forward pass (`runner.py`): new ones start in turns between
people, read their prompts and join the running batch between two tokens; finished ones leave it.
Models tuned from one base are adapters beside it and share its batch. A request that fails does so
alone: after an error in a shared pass its rows are tried one by one, and a row whose logits are not
numbers leaves the batch.

Written here rather than taken from transformers' continuous batching because that takes seed, top_p
and top_k for the whole engine, not for a request, and serves one set of weights. A lesson needs the
same seed in every column and several models side by side. Nothing here knows HTTP or SQL.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable

from cookbook.bases import Base, downloaded
from cookbook.errors import CookbookError
from cookbook.service.chat_request import ChatRequest, OnPiece
from cookbook.service.engine import heap
from cookbook.service.engine.answer import Answer
from cookbook.service.engine.grammar import Grammars
from cookbook.service.engine.load import load
from cookbook.service.engine.loaded import Loaded
from cookbook.service.engine.prompt import is_long, read
from cookbook.service.engine.runner import Runner
from cookbook.service.engine.speed import Speed
from cookbook.service.neighbours import Neighbours, Nobody

UNLOAD_SECONDS = 10.0
log = logging.getLogger(__name__)


class Engine:
    """One thread that owns all models.

    Each base is loaded at its first request and kept, unless its memory is needed for another one
    or for a training.
    """

    def __init__(self, neighbours: Neighbours | None = None) -> None:
        self._new: queue.SimpleQueue[Answer | _Unload] = queue.SimpleQueue()
        self.speed = Speed()
        self._runners = Loaded(_load_runner, neighbours or Nobody())
        self._thread = threading.Thread(target=self._run, name="chat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: ChatRequest, on_piece: OnPiece) -> Answer:
        """Queue a request. `on_piece` is called from the engine's thread."""
        answer = Answer(request, on_piece)
        self._new.put(answer)
        return answer

    def unload_idle(self, seconds: float = UNLOAD_SECONDS) -> list[str]:
        """Give back the memory of bases that nobody is asking; return their names.

        Callable from any thread. It happens between two tokens; what takes longer than so many
        seconds, as while another base is loaded, is not waited for.
        """
        order = _Unload()
        self._new.put(order)
        order.done.wait(seconds)
        return order.names

    def _run(self) -> None:
        while True:
            is_idle = not any(runner.busy for runner in self._runners)
            self._take_new(wait=is_idle)
            self._advance()

    def _advance(self) -> None:
        """Give every running answer its next token. Bases take turns."""
        for runner in self._runners:
            if not runner.busy:
                continue
            began = time.monotonic()
            try:
                tokens = runner.advance()
                self.speed.add(time.monotonic() - began, tokens)
                continue
            except Exception:
                # One broken batch must not end the engine.
                log.exception("a pass failed; its answers go on one by one")
            # Only now is the memory of the pass free, which the error has held.
            heap.give_back()
            runner.recover()

    def _take_new(self, wait: bool) -> None:
        """Take in every new request; `wait` for the first one."""
        while wait or not self._new.empty():
            new = self._new.get()
            wait = False
            if isinstance(new, _Unload):
                new.names = self._runners.unload_idle()
                new.done.set()
            # Unless its client has left while it waited.
            elif not new.cancelled:
                self._hand_over(new)

    def _hand_over(self, answer: Answer) -> None:
        """Hand a request to the runner of its base."""
        try:
            runner = self._runners.of(answer.request.base)
            if answer.request.schema and not answer.grammar:
                self._compile(answer, runner.grammars)
            elif is_long(answer.request) and not answer.prompt:
                self._read(answer, runner)
            else:
                runner.admit(answer)
        except Exception as error:
            # It fails alone: other requests go on.
            if not isinstance(error, CookbookError):
                log.exception("a request could not start")
            answer.fail(error)

    def _compile(self, answer: Answer, grammars: Grammars) -> None:
        """Give the answer its grammar."""

        def compile_schema() -> None:
            answer.grammar = grammars.compile(answer.request.schema or "")

        self._prepare(answer, compile_schema)

    def _read(self, answer: Answer, runner: Runner) -> None:
        """Give the answer its prompt."""

        def read_prompt() -> None:
            read(answer, runner.model, runner.tokenizer)

        self._prepare(answer, read_prompt)

    def _prepare(self, answer: Answer, work: Callable[[], None]) -> None:
        """Do what takes long in a thread of its own, and take the answer in afterwards."""

        def work_and_return() -> None:
            if answer.cancelled:
                return
            try:
                work()
            except Exception as error:
                if not isinstance(error, CookbookError):
                    log.exception("a request could not be prepared")
                answer.fail(error)
            else:
                self._new.put(answer)

        threading.Thread(target=work_and_return, name="prepare", daemon=True).start()


class _Unload:
    """The order to give back what is idle."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.done = threading.Event()


def _load_runner(base: Base, reserved: int) -> Runner:
    # It may have been downloaded since the service started; a request never waits for that.
    return Runner(*load(downloaded(base), reserved=reserved))
