"""Answer the requests of one base and its adapters: admit, read prompts, go on token by token.

    runner = Runner(model, tokenizer)
    runner.admit(answer)
    while runner.busy:
        runner.advance()

Nobody is held up for long: waiting answers start in turns between people (`chat_turns.py`), a
prompt that takes long is read in parts, and between them the answers under way get their tokens.
"""

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cookbook.errors import CookbookError
from cookbook.memory import SMALL
from cookbook.service.chat_turns import next_up
from cookbook.service.engine import heap, prompt_memory
from cookbook.service.engine.adapters import Adapter, Adapters, adapter_files
from cookbook.service.engine.answer import Answer
from cookbook.service.engine.batch import Batch, stepper
from cookbook.service.engine.choose import Chooser
from cookbook.service.engine.grammar import Grammars
from cookbook.service.engine.logprobs import Vocabulary
from cookbook.service.engine.prompt import lay_out
from cookbook.service.engine.reading import Reading

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_BATCH = 16  # answers that share a forward pass
RESERVE = 4  # rows beyond it, for people who have none
MAX_ADAPTERS = 16  # kept in memory
SINGLE_CORE_WORK = 2**29
"""Multiplications in a pass, below which waking more cores takes longer than it saves."""
READ_WORK = 2**35
"""Multiplications in a pass that reads prompts, at most: half a second or so of two cores."""
READ_SECONDS = 0.1
"""Prompts are read one after the other for so long, then the answers under way get a token."""
LEAST_COLUMNS = 32  # of a prompt in a pass, however large the base

# Counted before the first pass narrows them.
CORES = torch.get_num_threads()
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Starting:
    """Answers whose prompts are being read: that of `answers[i]` is row `rows[i]`."""

    answers: list[Answer]
    rows: list[int]
    readers: list[Answer]  # one for each row
    reading: Reading
    tokens: int  # in a pass, at most

    @property
    def background(self) -> bool:
        # What is read together starts together, and so is of one kind.
        return self.answers[0].background


class Runner:
    """Answer the requests of one base and its adapters. Row i of the batch is `running[i]`."""

    def __init__(self, model: Any, tokenizer: "PreTrainedTokenizerBase"):
        self.model, self.tokenizer = model, tokenizer
        self.waiting: list[Answer] = []
        self.running: list[Answer] = []
        self._starting: list[_Starting] = []  # whose prompts take several passes
        self._batch: Batch | None = None  # None while nothing runs
        self._parameters = model.num_parameters()
        self._columns = _columns(model)
        self._read_seconds = 0.0  # since running answers had their last token
        self._may_open = True  # the reading pass before has not begun with a prompt
        self._adapters = Adapters(model)
        # By their files; the least recently used first
        self._loaded: OrderedDict[tuple[object, ...], Adapter] = OrderedDict()
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
        return bool(self.running or self._starting or self.waiting)

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
        """Read prompts for waiting answers, or give running ones their next token.

        Returns:
            How many tokens were chosen.
        """
        self._drop_cancelled()
        if self._read_seconds <= READ_SECONDS or not self.running:
            started = time.monotonic()
            chosen = self._read_on()
            self._read_seconds += time.monotonic() - started
            if chosen is not None:
                return chosen
        self._read_seconds = 0.0
        running = len(self.running)
        if self._batch:
            self._continue(self._batch)
        return running

    @torch.inference_mode()
    def recover(self) -> None:
        """Go on after a pass that raised an error: what cannot be answered alone ends with it."""
        suspects = self._under_way() + self._next_up()
        self.waiting = [answer for answer in self.waiting if answer not in suspects]
        # The batch may be half changed, so nothing of it is kept.
        self._batch = None
        self.running = []
        self._starting = []
        for answer in suspects:
            if answer.cancelled:
                continue
            try:
                self._start_alone(answer)
                continue
            except Exception as error:
                log.exception("a request failed")
                answer.fail(error)
            # The error has held what the pass had got until it failed.
            heap.give_back()

    def _drop_cancelled(self) -> None:
        self._remove([answer for answer in self.running if answer.cancelled])
        self.waiting = [answer for answer in self.waiting if not answer.cancelled]
        # One that others share a prompt with is dropped when the prompt is read.
        self._starting = [
            starting
            for starting in self._starting
            if not all(answer.cancelled for answer in starting.answers)
        ]

    def _under_way(self) -> list[Answer]:
        answers = list(self.running)
        for starting in self._starting:
            answers += starting.answers
        return answers

    def _next_up(self) -> list[Answer]:
        """Return the answers that may start now."""
        begun = [starting.readers[0] for starting in self._starting]
        busy = {_asker(answer) for answer in begun}
        # One long prompt of a person at a time: the passes go round between people.
        waiting = [
            answer
            for answer in self.waiting
            if _asker(answer) not in busy or len(answer.prompt) <= self._columns
        ]
        # Nothing starts in the background while somebody waits for a first token.
        if not all(answer.background for answer in [*self.waiting, *begun]):
            waiting = [answer for answer in waiting if not answer.background]
        return next_up(waiting, self._under_way(), rows=MAX_BATCH, reserve=RESERVE)

    # Reading prompts

    def _read_on(self) -> int | None:
        """Read a part of a prompt, or all of several short ones.

        Returns:
            How many answers have got their first token; None if there is nothing to read.
        """
        answers = self._that_fit(self._together(self._next_up()))
        asked = [starting for starting in self._starting if not starting.background]
        rivals = self._starting if answers and answers[0].background else asked
        # New prompts and those that take several passes take turns.
        if answers and (self._may_open or not rivals):
            self._may_open = False
            starting = self._open(answers)
        elif self._starting:
            self._may_open = True
            # Those in the background are read on while no other one is.
            starting = (asked or self._starting)[0]
            self._starting.remove(starting)
        else:
            return None
        # Where the pass fails, they are among those to be tried again.
        self._starting.append(starting)
        self._prepare(starting.readers, starting.tokens)
        if not starting.reading.read_on():
            return 0
        self._starting.remove(starting)
        return self._begin(starting)

    def _together(self, answers: list[Answer]) -> list[Answer]:
        """Return those of the answers whose prompts are read with the first one's.

        Either all of them ask for the log-probabilities of their prompts, or none; and no pass
        takes long.
        """
        together: list[Answer] = []
        keys: set[tuple[int, tuple[int, ...]]] = set()
        longest = 0
        for answer in answers:
            if together and answer.scores_prompt != together[0].scores_prompt:
                continue
            rows = len(keys | {answer.key})
            width = max(longest, len(answer.prompt))
            # A prompt that is read already costs nothing, however long it is.
            if together and answer.key not in keys and rows * width > self._columns:
                continue
            together.append(answer)
            keys.add(answer.key)
            longest = width
        return together

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

    def _open(self, answers: list[Answer]) -> _Starting:
        """Let the answers wait no longer, and lay their prompts side by side."""
        # A prompt that several answers share is read once.
        readers = list({answer.key: answer for answer in answers}.values())
        row_of = {answer.key: row for row, answer in enumerate(readers)}
        rows = [row_of[answer.key] for answer in answers]
        # After an error an answer that had begun is read like a prompt, and goes on from there.
        prompts = [answer.prompt + answer.tokens for answer in readers]
        top = None
        if answers[0].scores_prompt:
            top = max(answer.request.logprobs or 0 for answer in answers)
        pad = self.tokenizer.pad_token_id
        reading = Reading(self.model, prompts, pad, self._columns, top)
        # Last, so that whoever cannot even begin is still there to be told.
        self.waiting = [answer for answer in self.waiting if answer not in answers]
        width = min(max(map(len, prompts)), self._columns)
        return _Starting(answers, rows, readers, reading, len(readers) * width)

    def _begin(self, starting: _Starting) -> int:
        """Give answers whose prompts are read their first token, and let them run."""
        reading = starting.reading
        batch, logits = reading.batch(), reading.logits
        answers, rows = [], []
        scores = reading.scores() if starting.answers[0].scores_prompt else None
        for answer, row in zip(starting.answers, starting.rows, strict=True):
            if answer.cancelled:
                continue
            if scores is not None:
                self._chooser.report_prompt(answer, scores[row])
            answers.append(answer)
            rows.append(row)
        if not answers:
            return 0
        # From here on each answer has a row of its own.
        if rows != list(range(len(batch))):
            batch.keep(rows)
            logits = logits[rows]
        batch.tokens = self._chooser.choose(answers, logits)
        if self._batch:
            self._batch.join(batch)
        else:
            self._batch = batch
        self.running = self.running + answers
        self._deliver(answers)
        return len(answers)

    def _start_alone(self, answer: Answer) -> None:
        """Read the prompt of one answer to its end, and let it run."""
        starting = self._open([answer])
        self._prepare(starting.readers, starting.tokens)
        while not starting.reading.read_on():
            pass
        self._begin(starting)

    # Going on

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
        files = adapter_files(folder)
        if files not in self._loaded:
            self._loaded[files] = self._adapters.load(folder)
            if len(self._loaded) > MAX_ADAPTERS:
                # Running answers keep theirs; it is read again when it is next asked for.
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(files)
        return self._loaded[files]


def _asker(answer: Answer) -> tuple[str, bool]:
    """Return who waits for an answer: in the background a person keeps only that waiting."""
    return answer.person, answer.background


def _columns(model: Any) -> int:
    """Return how many tokens of prompts a pass may read."""
    # What takes seconds there is read in a moment here.
    if model.device.type != "cpu":
        return 2**20
    return max(LEAST_COLUMNS, READ_WORK // model.num_parameters())
