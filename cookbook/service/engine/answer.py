"""The answer to one chat request on its way, sent in pieces.

`generate.py` fills answers in; whoever submits a request gets `Piece` by `Piece` and may cancel.
"""

from dataclasses import dataclass, field

from cookbook.errors import CookbookError, ModelError
from cookbook.i18n import tr
from cookbook.service.chat_request import ChatRequest, OnPiece, Piece
from cookbook.service.engine.adapters import Adapter, BrokenModel
from cookbook.service.engine.sampling import Sampler


class TooLong(CookbookError, ValueError):
    """The prompt fills the model's context."""


# `service/chat.py` chooses the HTTP status by these codes.
ERROR_CODES: dict[type[Exception], str] = {
    TooLong: "context_length_exceeded",
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
    prompt: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    limit: int = 0  # tokens of the answer, at most
    sent: int = 0  # characters
    broken: bool = False  # its last logits were not numbers
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
