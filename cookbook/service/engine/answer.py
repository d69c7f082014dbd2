"""The answer to one request on its way, sent in pieces.

`prompt.py` and `runner.py` fill answers in; whoever submits a request gets `Piece` by `Piece` and
may cancel.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cookbook import causes
from cookbook.errors import (
    BaseAway,
    CookbookError,
    DataError,
    MemoryShort,
    ModelError,
    OutOfMemory,
)
from cookbook.i18n import Text
from cookbook.service.chat_request import ChatRequest, OnPiece, Piece, TokenLogprob, internal_error
from cookbook.service.engine import sampling
from cookbook.service.engine.adapters import Adapter, BrokenModel
from cookbook.service.engine.grammar import BadSchema, Grammar
from cookbook.service.engine.sampling import Sampler

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TooLong(CookbookError, ValueError):
    """The prompt fills the model's context."""


class BadPrompt(CookbookError, ValueError):
    """The prompt is empty, or has token ids that the model does not know."""


# `service/answers.py` chooses the HTTP status by these codes.
ERROR_CODES: dict[type[Exception], str] = {
    TooLong: "context_length_exceeded",
    BadPrompt: "invalid_prompt",
    DataError: "invalid_messages",
    BadSchema: "invalid_schema",
    MemoryShort: "out_of_memory",
    OutOfMemory: "out_of_memory",
    BaseAway: "model_unavailable",
    ModelError: "model_unavailable",
    BrokenModel: "model_broken",
}


@dataclass(eq=False)
class Answer:
    """A request and how far its answer has come.

    The engine's thread fills it in; other threads may only cancel it.
    """

    request: ChatRequest
    on_piece: OnPiece
    adapter: Adapter | None = None
    sampler: Sampler | None = None
    grammar: Grammar | None = None
    prompt: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    limit: int = 0  # tokens of the answer, at most
    sent: int = 0  # characters
    echo: str = ""  # the prompt, until it is sent
    logprobs: list[TokenLogprob] = field(default_factory=list)  # until they are sent
    failure: Exception | None = None
    cancelled: bool = False

    @property
    def person(self) -> str:
        return self.request.person

    @property
    def background(self) -> bool:
        return self.request.background

    @property
    def scores_prompt(self) -> bool:
        """Return whether the log-probabilities of the prompt are asked for, and not yet known."""
        return self.request.echo and self.request.logprobs is not None and not self.tokens

    @property
    def key(self) -> tuple[int, tuple[int, ...]]:
        """Return what is the same for answers that can share a reading of the prompt."""
        return id(self.adapter), tuple(self.prompt + self.tokens)

    def cancel(self) -> None:
        """End the answer before its next token; no further piece is promised."""
        # A flag that is only ever set needs no lock; the engine looks at it before each pass.
        self.cancelled = True

    def take(self, token: int) -> None:
        """Append the token that was chosen, and let the grammar go on by it."""
        if self.limit == 0 or self.failure:
            return  # only the prompt was asked for, or the choice was not a free one
        self.tokens.append(token)
        if self.grammar:
            try:
                self.grammar.take(token)
            except BadSchema as error:
                self.failure = error

    def shows_last_token(self, ends: set[int]) -> bool:
        """Return whether the token that was chosen last is one that the reader hears of."""
        if not self.tokens or self.failure:
            return False
        # Of a chat answer the token that ends it is no part, of a raw continuation it is.
        return self.request.prompt is not None or self.tokens[-1] not in ends

    def deliver(self, tokenizer: "PreTrainedTokenizerBase", ends: set[int]) -> bool:
        """Send the text that is certain by now; return whether the answer is at its end.

        Args:
            ends: the tokens that end an answer.
        """
        if self.failure:
            self.fail(self.failure)
            return True
        stops = self.request.stop
        ended = bool(self.tokens) and self.tokens[-1] in ends
        tokens = self.tokens[:-1] if ended else self.tokens
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        text, stopped = sampling.cut_at_stop(text, stops)
        complete = self.grammar is not None and self.grammar.is_complete
        reason = None
        if ended or stopped or complete:
            reason = "stop"
        elif len(self.tokens) >= self.limit:
            reason = "length"
        # While more text comes, its end may still turn into another character or a stop text.
        certain = len(text)
        if reason is None:
            certain -= sampling.held_back(text, stops)
        # A text that is cut may be shorter than what was already sent.
        piece = text[self.sent : certain]
        self.sent = max(self.sent, certain)
        if piece or reason:
            self._send(piece, reason)
        return reason is not None

    def _send(self, text: str, finish_reason: str | None) -> None:
        """Hand the next piece to `on_piece`, with the echo and the logprobs that wait for it."""
        piece = Piece(
            text=self.echo + text,
            prompt_tokens=len(self.prompt),
            completion_tokens=len(self.tokens),
            finish_reason=finish_reason,
            logprobs=tuple(self.logprobs),
        )
        self.echo = ""
        self.logprobs = []
        self.on_piece(piece)

    def fail(self, error: Exception) -> None:
        """Hand the error to `on_piece`, as the last piece."""
        code = ERROR_CODES.get(type(error), "engine_error")
        cause = causes.known(error)
        if isinstance(error, CookbookError):
            text = Text.of(error)
        elif causes.is_lack_of_memory(error):
            text, code = _out_of_memory(), "out_of_memory"
        elif cause:
            # The disk, a package: it says what to do.
            text, code = Text.of(cause), "model_unavailable"
        else:
            text = internal_error(error)
        counts = {"prompt_tokens": len(self.prompt), "completion_tokens": len(self.tokens)}
        self.on_piece(Piece.failed(text, code, **counts))


def _out_of_memory() -> Text:
    return Text(
        "内存不够，这个回答没有完成：缩短提问或 max_tokens，少问几个，或等训练结束再问",
        "out of memory, this answer was not completed: shorten the prompt or max_tokens, ask less "
        "at once, or ask again when no job trains",
    )
