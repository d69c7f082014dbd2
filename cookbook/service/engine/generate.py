"""Answers of base and tuned models: many requests at once, each with its own sampling and seed. Knows torch alone.

Requests for one base share every forward pass: new ones are prefilled and join the running batch between two tokens,
finished ones leave it. Written here rather than taken from transformers' continuous batching because that takes the
seed, top_p and top_k of the whole engine, not of a request, and serves one set of weights; a lesson needs the same seed
in every column and several models side by side. Models tuned from one base are adapters beside it and share its batch.

    engine = Engine(); engine.start()
    answer = engine.submit(Request(...), on_piece=print); answer.cancel()
"""

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import DynamicCache

from cookbook.bases import Base
from cookbook.errors import CookbookError, ModelError
from cookbook.i18n import tr
from cookbook.service.engine.adapters import Adapter, Adapters
from cookbook.service.engine.fast import decode
from cookbook.service.engine.load import SMALL, load

MAX_ROWS = 16  # requests that share a forward pass
MAX_ADAPTERS = 16  # kept in memory
ALONE = (
    2**29
)  # multiplications of a pass, up to which waking more cores takes a small model longer than it saves
CORES = torch.get_num_threads()
LIKELY = 64  # tokens among which nearly every draw falls
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """A bit of an answer. Token counts are cumulative; the last piece has a finish reason, or an error and its code."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None = None
    error: str | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class Request:
    """One chat request. `adapter` is a PEFT folder or None for the base itself; temperature 0 is greedy."""

    base: Base
    adapter: Path | None
    messages: list[dict]
    max_tokens: int | None = None
    temperature: float = 0.7
    top_p: float = 0.7
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass
class Answer:
    """A request on its way."""

    request: Request
    on_piece: Callable[[Piece], None]
    adapter: Adapter | None = None
    ids: list[int] = field(default_factory=list)
    out: list[int] = field(default_factory=list)
    sent: int = 0
    limit: int = 0
    generator: torch.Generator | None = None
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class TooLong(CookbookError, ValueError):
    """The prompt fills the model's context."""


class Engine:
    """One thread that owns all models. Each is loaded at its first request; bases are kept, and the last adapters."""

    def __init__(self):
        self._new: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._batches: dict[str, _Batch] = {}
        self._thread = threading.Thread(target=self._run, name="chat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: Request, on_piece: Callable[[Piece], None]) -> Answer:
        """Queue a request; `on_piece` is called from the engine's thread."""
        answer = Answer(request, on_piece)
        self._new.put(answer)
        return answer

    def _run(self) -> None:
        while True:
            busy = any(b.running or b.waiting for b in self._batches.values())
            self._take_new(wait=not busy)
            for batch in list(self._batches.values()):
                if batch.running or batch.waiting:
                    try:
                        batch.advance()
                    except Exception as error:  # one broken batch must not end the engine
                        log.exception("a batch failed")
                        batch.fail(error)

    def _take_new(self, wait: bool) -> None:
        while wait or not self._new.empty():
            answer = self._new.get()
            wait = False
            try:
                self._batch_of(answer.request.base).admit(answer)
            except Exception as error:
                if not isinstance(error, CookbookError):
                    log.exception("a request could not start")
                answer.on_piece(_failure(answer, error))

    def _batch_of(self, base: Base) -> "_Batch":
        if base.source not in self._batches:
            self._batches[base.source] = _Batch(*load(base))
        return self._batches[base.source]


class _Batch:
    """The requests of one base and its adapters that are being answered.

    `_cache` holds keys and values of shape (rows, heads, width, size), `_mask` is (rows, width) and 0 where a row's
    left padding is; `_positions` and `_tokens` are (rows,): where each row's next token goes, and which it is.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self._size = model.num_parameters()
        self._adapters = Adapters(model)
        self._loaded: OrderedDict[Path, Adapter] = OrderedDict()
        self._step = decode.stepper(model, self._adapters)
        self.waiting: list[Answer] = []
        self.running: list[Answer] = []
        self._cache = DynamicCache(config=model.config)
        self._mask = self._positions = self._tokens = torch.empty(0)
        self._context = model.config.max_position_embeddings
        ends = model.generation_config.eos_token_id
        self._ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}

    def admit(self, answer: Answer) -> None:
        """Lay out the prompt and wait for the next step.

        Raises:
            TooLong: if no room is left for an answer.
            ModelError: if the adapter cannot be read.
        """
        request = answer.request
        answer.adapter = self._adapter(request.adapter) if request.adapter else None
        prompt = self.tokenizer.apply_chat_template(
            request.messages, tokenize=False, add_generation_prompt=True
        )
        answer.ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        room = self._context - len(answer.ids)
        if room < 1:
            raise TooLong(
                tr(
                    f"提问有 {len(answer.ids)} 个 token，模型最多读 {self._context} 个：缩短提问",
                    f"the prompt has {len(answer.ids)} tokens, the model reads {self._context}: shorten it",
                )
            )
        answer.limit = min(request.max_tokens or room, room)
        answer.generator = torch.Generator(device=self.model.device)
        if request.seed is None:
            answer.generator.seed()
        else:
            answer.generator.manual_seed(request.seed)
        self.waiting.append(answer)

    def _adapter(self, folder: Path) -> Adapter:
        if folder not in self._loaded:
            self._loaded[folder] = self._adapters.load(folder)
            if len(self._loaded) > MAX_ADAPTERS:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(folder)
        return self._loaded[folder]

    @torch.inference_mode()
    def advance(self) -> None:
        """The first token of those that wait, where there is room; else one more for every running request."""
        self._drop([a.cancelled for a in self.running])
        self.waiting = [a for a in self.waiting if not a.cancelled]
        if joining := self.waiting[: MAX_ROWS - len(self.running)]:
            self._join(joining)
        elif self.running:
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(self.running), 1)], dim=1)
            self._prepare(self.running, tokens=len(self.running))
            logits = self._step(self._tokens, self._positions, self._mask, self._cache)
            self._positions = self._positions + 1
            self._tokens = self._choose(self.running, logits)
            self._drop([self._deliver(a) for a in self.running])

    def fail(self, error: Exception) -> None:
        """End every request of this batch with the error."""
        for answer in [*self.running, *self.waiting]:
            answer.on_piece(_failure(answer, error))
        self.waiting = []
        self._drop([True] * len(self.running))

    def _join(self, joining: list[Answer]) -> None:
        width = max(len(a.ids) for a in joining)
        device = self.model.device
        ids = torch.tensor(
            [[self.tokenizer.pad_token_id] * (width - len(a.ids)) + a.ids for a in joining],
            device=device,
        )
        mask = torch.tensor(
            [[0] * (width - len(a.ids)) + [1] * len(a.ids) for a in joining], device=device
        )
        cache = DynamicCache(config=self.model.config)
        self._prepare(joining, tokens=ids.numel())
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            logits_to_keep=1,
        )
        tokens = self._choose(joining, out.logits[:, -1])
        positions = mask.sum(1)
        if self.running:
            self._mask, mask = _same_width(self._mask, mask)
            for mine, new in zip(self._cache.layers, cache.layers, strict=True):
                mine.keys = torch.cat(_same_width(mine.keys, new.keys, dim=2))
                mine.values = torch.cat(_same_width(mine.values, new.values, dim=2))
            self._mask = torch.cat([self._mask, mask])
            self._positions = torch.cat([self._positions, positions])
            self._tokens = torch.cat([self._tokens, tokens])
        else:
            self._cache, self._mask, self._positions, self._tokens = cache, mask, positions, tokens
        self.running, self.waiting = self.running + joining, self.waiting[len(joining) :]
        self._drop(
            [False] * (len(self.running) - len(joining)) + [self._deliver(a) for a in joining]
        )

    def _prepare(self, rows: list[Answer], tokens: int) -> None:
        """Choose adapters and cores for a pass of so many tokens."""
        self._adapters.use([a.adapter for a in rows])
        alone = self._size < SMALL and tokens * self._size < ALONE
        torch.set_num_threads(1 if alone else CORES)

    def _drop(self, gone: list[bool]) -> None:
        """Take rows out of the batch, and the columns that only they used."""
        if not any(gone):
            return
        self.running = [a for a, g in zip(self.running, gone, strict=True) if not g]
        keep = torch.tensor([not g for g in gone], device=self._mask.device)
        self._positions, self._tokens, self._mask = (
            self._positions[keep],
            self._tokens[keep],
            self._mask[keep],
        )
        first = int(self._mask.any(0).int().argmax()) if self.running else self._mask.shape[1]
        self._mask = self._mask[:, first:]
        for layer in self._cache.layers:
            layer.keys, layer.values = (
                layer.keys[keep][:, :, first:],
                layer.values[keep][:, :, first:],
            )

    def _choose(self, answers: list[Answer], logits: Tensor) -> Tensor:
        """The next token of each row, (rows,): the likeliest, or drawn by the row's own temperature and generator."""
        tokens = logits.argmax(-1)
        drawn = [i for i, answer in enumerate(answers) if answer.request.temperature > 0]
        if drawn:
            tokens[drawn] = _draw(logits[drawn].float(), [answers[i] for i in drawn])
        for answer, token in zip(answers, tokens.tolist(), strict=True):
            answer.out.append(token)
        return tokens

    def _deliver(self, answer: Answer) -> bool:
        """Send the text that is certain by now; whether the answer is at its end."""
        ended = answer.out[-1] in self._ends
        text = self.tokenizer.decode(
            answer.out[:-1] if ended else answer.out, skip_special_tokens=True
        )
        reason = "stop" if ended else "length" if len(answer.out) >= answer.limit else None
        for stop in answer.request.stop:
            if (at := text.find(stop)) >= 0:
                text, reason = text[:at], "stop"
        certain = len(text) if reason else len(text) - _held_back(text, answer.request.stop)
        piece, answer.sent = text[answer.sent : certain], max(answer.sent, certain)
        if piece or reason:
            answer.on_piece(Piece(piece, len(answer.ids), len(answer.out), reason))
        return reason is not None


def _failure(answer: Answer, error: Exception) -> Piece:
    codes = {TooLong: "context_length_exceeded", ModelError: "model_unavailable"}
    code = codes.get(type(error), "engine_error")
    kind = type(error).__name__  # its text may name folders of this machine: that is for the log
    text = tr(f"内部错误（{kind}），详见 service.log", f"internal error ({kind}), see service.log")
    text = str(error) if isinstance(error, CookbookError) else text
    return Piece("", len(answer.ids), len(answer.out), "stop", error=text, error_code=code)


def _held_back(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the end may still change: half a character, or the beginning of a stop text."""
    unfinished = len(text) - len(text.rstrip("\ufffd"))
    begun = [n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])]
    return max([unfinished, *begun])


def _draw(logits: Tensor, answers: list[Answer]) -> Tensor:
    """One token a row of (rows, vocabulary), by each answer's temperature, top_k, top_p and generator."""
    column = lambda values: torch.tensor(values, device=logits.device)[:, None]
    requests = [a.request for a in answers]
    # From the largest down, and not colder than float32 can divide by: a NaN would end the whole batch.
    logits = logits - logits.max(-1, keepdim=True).values
    chances = torch.softmax(logits / column([max(r.temperature, 1e-5) for r in requests]), -1)
    top_p = column([r.top_p for r in requests])
    kept, order = chances.topk(min(LIKELY, chances.shape[1]))
    if (
        kept.sum(-1, keepdim=True) < top_p
    ).any():  # rarely: sorting all takes longer than the rest of this function
        kept, order = chances.sort(descending=True)
    # Keep the smallest set whose mass reaches top_p, and at most top_k; the likeliest token always stays.
    rank = torch.arange(kept.shape[1], device=logits.device)
    most = column([r.top_k or kept.shape[1] for r in requests])
    kept = kept.where((rank == 0) | (rank < most) & (kept.cumsum(-1) - kept < top_p), 0)
    below = kept.cumsum(-1)
    point = torch.cat(
        [torch.rand(1, generator=a.generator, device=logits.device) for a in answers]
    )[:, None]
    chosen = (below <= point * below[:, -1:]).sum(-1, keepdim=True)
    return order.gather(-1, chosen)[:, 0]


def _same_width(a: Tensor, b: Tensor, dim: int = 1) -> tuple[Tensor, Tensor]:
    """Both padded with zeros on the left of `dim` to the wider of the two."""
    width = max(a.shape[dim], b.shape[dim])

    def widen(t: Tensor) -> Tensor:
        shape = list(t.shape)
        shape[dim] = width - shape[dim]
        return torch.cat([t.new_zeros(shape), t], dim=dim)

    return widen(a), widen(b)
