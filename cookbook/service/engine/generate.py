"""Answer with base and tuned models: many requests at once, each with its own sampling and seed.

    engine = Engine(); engine.start()
    answer = engine.submit(ChatRequest(...), on_piece=print); answer.cancel()

Requests for one base share every forward pass: new ones read their prompts and join the running
batch between two tokens, finished ones leave it. Models tuned from one base are adapters beside it
and share its batch. A request that fails does so alone: after an error in a shared pass its rows
are tried one by one, and a row whose logits are not numbers leaves the batch.

Written here rather than taken from transformers' continuous batching because that takes seed, top_p
and top_k for the whole engine, not for a request, and serves one set of weights. A lesson needs the
same seed in every column and several models side by side. Nothing here knows HTTP or SQL.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cookbook.bases import Base, downloaded
from cookbook.errors import CookbookError
from cookbook.memory import SMALL
from cookbook.service.chat_request import ChatRequest, OnPiece
from cookbook.service.engine import heap, prompt_memory
from cookbook.service.engine.adapters import Adapter, Adapters
from cookbook.service.engine.answer import Answer
from cookbook.service.engine.batch import Batch, read_prompts, score_prompts, stepper
from cookbook.service.engine.choose import Chooser
from cookbook.service.engine.grammar import Grammars
from cookbook.service.engine.load import load
from cookbook.service.engine.loaded import Loaded
from cookbook.service.engine.logprobs import Vocabulary
from cookbook.service.engine.prompt import is_long, lay_out, read
from cookbook.service.engine.speed import Speed
from cookbook.service.neighbours import Neighbours, Nobody

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


MAX_BATCH = 16  # requests that share a forward pass
MAX_ADAPTERS = 16  # kept in memory
UNLOAD_SECONDS = 10.0
SINGLE_CORE_WORK = 2**29
"""Multiplications in a pass, below which waking more cores takes longer than it saves."""

# Counted before the first pass narrows them.
CORES = torch.get_num_threads()
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

    def _read(self, answer: Answer, runner: "_Runner") -> None:
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


def _load_runner(base: Base, reserved: int) -> "_Runner":
    # It may have been downloaded since the service started; a request never waits for that.
    return _Runner(*load(downloaded(base), reserved=reserved))


class _Runner:
    """Answer the requests of one base and its adapters. Row i of the batch is `running[i]`."""

    def __init__(self, model: Any, tokenizer: "PreTrainedTokenizerBase"):
        self.model, self.tokenizer = model, tokenizer
        self.waiting: list[Answer] = []
        self.running: list[Answer] = []
        self._batch: Batch | None = None  # None while nothing runs
        self._parameters = model.num_parameters()
        self._adapters = Adapters(model)
        self._loaded: OrderedDict[Path, Adapter] = OrderedDict()  # the least recently used first
        self._step = stepper(model, self._adapters)
        # A base may have several tokens that end an answer.
        ends = model.generation_config.eos_token_id
        if not isinstance(ends, list):
            ends = [ends]
        self._ends = {tokenizer.eos_token_id, *ends}
        self._chooser = Chooser(Vocabulary(tokenizer), self._ends)
        self.grammars = Grammars(tokenizer, model.config.vocab_size, sorted(self._ends))

    @property
    def busy(self) -> bool:
        return bool(self.running or self.waiting)

    def admit(self, answer: Answer) -> None:
        """Lay out the prompt, and let the answer wait for the next pass.

        Raises:
            TooLong: no room is left for an answer.
            BadPrompt: the prompt has no tokens, or some that the model does not know.
            ModelError: the adapter cannot be read, or its weights are not numbers.
        """
        if answer.request.adapter:
            answer.adapter = self._load_adapter(answer.request.adapter)
        lay_out(answer, self.model, self.tokenizer)
        self.waiting.append(answer)

    @torch.inference_mode()
    def advance(self) -> int:
        """Give waiting answers their first token if there is room, else running ones their next.

        Returns:
            How many tokens were chosen.
        """
        self._remove([answer for answer in self.running if answer.cancelled])
        self.waiting = [answer for answer in self.waiting if not answer.cancelled]
        room = MAX_BATCH - len(self.running)
        starting = self.waiting[:room]
        if starting:
            scored = starting[0].scores_prompt
            starting = [answer for answer in starting if answer.scores_prompt == scored]
            starting = self._that_fit(starting)
            if starting:
                self._start(starting)
            return len(starting)
        running = len(self.running)
        if self._batch:
            self._continue(self._batch)
        return running

    @torch.inference_mode()
    def recover(self) -> None:
        """Go on after a pass that raised an error: what cannot be answered alone ends with it."""
        suspects = self.running + self.waiting[: MAX_BATCH - len(self.running)]
        self.waiting = [answer for answer in self.waiting if answer not in suspects]
        # The batch may be half changed, so nothing of it is kept.
        self._batch = None
        self.running = []
        for answer in suspects:
            if answer.cancelled:
                continue
            try:
                self._start([answer])
                continue
            except Exception as error:
                log.exception("a request failed")
                answer.fail(error)
            # The error has held what the pass had got until it failed.
            heap.give_back()

    def _that_fit(self, answers: list[Answer]) -> list[Answer]:
        """Return the first of these whose prompts there is memory for; a too long one fails."""
        while answers:
            longest = max(len(answer.prompt) + len(answer.tokens) for answer in answers)
            if prompt_memory.fits(self.model, len(answers), longest):
                return answers
            if len(answers) == 1:
                self.waiting.remove(answers[0])
                answers[0].fail(prompt_memory.too_large(self.model, longest))
            answers = answers[: len(answers) // 2]
        return []

    def _start(self, answers: list[Answer]) -> None:
        """Read the prompts of the answers that wait longest, and let them join those that run.

        Either all of them ask for the log-probabilities of their prompts, or none.
        """
        # A prompt that several answers share is read once.
        readers = list({answer.key: answer for answer in answers}.values())
        # After an error an answer that had begun is read like a prompt, and goes on from there.
        prompts = [answer.prompt + answer.tokens for answer in readers]
        longest = max(map(len, prompts))
        self._prepare(readers, tokens=len(readers) * longest)
        row_of = {answer.key: row for row, answer in enumerate(readers)}
        rows = [row_of[answer.key] for answer in answers]
        pad = self.tokenizer.pad_token_id
        if answers[0].scores_prompt:
            top = max(answer.request.logprobs or 0 for answer in answers)
            batch, logits, scores = score_prompts(self.model, prompts, pad, top)
            for answer, row in zip(answers, rows, strict=True):
                self._chooser.report_prompt(answer, scores[row])
        else:
            batch, logits = read_prompts(self.model, prompts, pad)
        # From here on each answer has a row of its own.
        if len(readers) < len(answers):
            batch.keep(rows)
            logits = logits[rows]
        batch.tokens = self._chooser.choose(answers, logits)
        if self._batch:
            self._batch.join(batch)
        else:
            self._batch = batch
        self.running = self.running + answers
        self.waiting = [answer for answer in self.waiting if answer not in answers]
        self._deliver(answers)

    def _continue(self, batch: Batch) -> None:
        """Give every running answer its next token."""
        self._prepare(self.running, tokens=len(self.running))
        logits = self._step(*batch.next_inputs())
        batch.advance(self._chooser.choose(self.running, logits))
        self._deliver(self.running)

    def _prepare(self, rows: Sequence[Answer], tokens: int) -> None:
        """Choose adapters and cores for a pass of these rows and so many tokens."""
        self._adapters.use([answer.adapter for answer in rows])
        work = tokens * self._parameters
        one_core = self._parameters < SMALL and work < SINGLE_CORE_WORK
        torch.set_num_threads(1 if one_core else CORES)

    def _deliver(self, answers: Sequence[Answer]) -> None:
        """Send what is new of each answer, and remove those that have ended."""
        ended = []
        for answer in answers:
            try:
                if answer.deliver(self.tokenizer, self._ends):
                    ended.append(answer)
            except Exception as error:
                # Once its text cannot be sent, nobody reads the answer.
                if not isinstance(error, CookbookError):
                    log.exception("a request failed")
                ended.append(answer)
                with contextlib.suppress(Exception):
                    answer.fail(error)
        self._remove(ended)

    def _remove(self, gone: Sequence[Answer]) -> None:
        """Take answers out of the batch."""
        if not gone:
            return
        rows, staying = [], []
        for row, answer in enumerate(self.running):
            if answer not in gone:
                rows.append(row)
                staying.append(answer)
        self.running = staying
        if self._batch and rows:
            self._batch.keep(rows)
        else:
            self._batch = None

    def _load_adapter(self, folder: Path) -> Adapter:
        if folder not in self._loaded:
            self._loaded[folder] = self._adapters.load(folder)
            if len(self._loaded) > MAX_ADAPTERS:
                # Running answers keep theirs; it is read again when it is next asked for.
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(folder)
        return self._loaded[folder]
