"""The contract between the chat route and the chat engine, so that neither knows the other.

The route builds a `ChatRequest` and hands it to `submit`; the engine calls back with a `Piece`
each time it has more text. Both know this module, which knows neither HTTP nor torch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cookbook.bases import Base


@dataclass(frozen=True)
class ChatRequest:
    """One request for an answer.

    Attributes:
        adapter: the PEFT folder of a tuned model; None for the base itself.
        messages: dicts of `role` and `content`.
        max_tokens: of the answer; None for as many as the context has room for.
        temperature: 0 takes the likeliest token each time.
        top_k: 0 for all tokens.
        seed: None for another answer each time.
        stop: texts that end the answer; they are not part of it.
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


@dataclass(frozen=True)
class Piece:
    """The next bit of an answer.

    Token counts are cumulative. The last piece has a finish reason; if the answer failed, also the
    error and its code.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None = None
    error: str | None = None
    error_code: str | None = None


def joined(first: Piece, second: Piece) -> Piece | None:
    """Return two successive pieces as one; None where they differ in more than text and count."""
    rest = replace(first, text="", completion_tokens=0)
    also = replace(
        second, text="", completion_tokens=0, finish_reason=None, error=None, error_code=None
    )
    return replace(second, text=first.text + second.text) if rest == also else None


class Generation(Protocol):
    """An answer on its way."""

    def cancel(self) -> None: ...


# `on_piece` is called in the engine's thread.
OnPiece = Callable[[Piece], None]
Submit = Callable[[ChatRequest, OnPiece], Generation]
