"""One chat request, the answer on its way, and the pieces in which it is sent.

`generate.py` fills answers in; whoever submits a request gets `Piece` by `Piece` and may cancel.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cookbook.bases import Base
from cookbook.errors import CookbookError, ModelError
from cookbook.i18n import tr
from cookbook.service.engine.adapters import Adapter
from cookbook.service.engine.sampling import Sampler


class TooLong(CookbookError, ValueError):
    """The prompt fills the model's context."""


# `service/chat.py` chooses the HTTP status by these codes.
ERROR_CODES: dict[type[Exception], str] = {
    TooLong: "context_length_exceeded",
    ModelError: "model_unavailable",
}


@dataclass(frozen=True)
class Piece:
    """A bit of an answer. Token counts are cumulative.

    The last piece has a finish reason; if the answer failed, also the error and its code.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None = None
    error: str | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class Request:
    """One chat request.

    `adapter` is a PEFT folder, or None for the base itself. `max_tokens` None is as many as the
    context holds. Temperature 0 is greedy, top_k 0 is no limit, and without a seed each answer is
    drawn differently.
    """

    base: Base
    adapter: Path | None
    messages: list[dict[str, str]]
    max_tokens: int | None = None
    temperature: float = 0.7
    top_p: float = 0.7
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(eq=False)
class Answer:
    """A request and how far its answer has come.

    The engine's thread fills it in; other threads may only cancel it.
    """

    request: Request
    on_piece: Callable[[Piece], None]
    adapter: Adapter | None = None
    sampler: Sampler | None = None
    prompt: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    limit: int = 0  # tokens of the answer, at most
    sent: int = 0  # characters
    cancelled: bool = False

    def cancel(self) -> None:
        """End the answer before its next token; no further piece is promised."""
        # A flag that is only ever set needs no lock; the engine looks at it before each pass.
        self.cancelled = True

    def send(self, text: str, finish_reason: str | None = None) -> None:
        """Hand the next piece to `on_piece`."""
        self.on_piece(Piece(text, len(self.prompt), len(self.tokens), finish_reason))

    def fail(self, error: Exception) -> None:
        """Hand the error to `on_piece`, as the last piece."""
        if isinstance(error, CookbookError):
            text = str(error)
        else:
            # The text of any other error may name folders of this machine: it is for the log alone.
            kind = type(error).__name__
            text = tr(
                f"内部错误（{kind}），详见 service.log", f"internal error ({kind}), see service.log"
            )
        piece = Piece(
            text="",
            prompt_tokens=len(self.prompt),
            completion_tokens=len(self.tokens),
            finish_reason="stop",
            error=text,
            error_code=ERROR_CODES.get(type(error), "engine_error"),
        )
        self.on_piece(piece)
