"""The contract between the chat route and the chat engine, so that neither knows the other.

The route builds a `ChatRequest` and hands it to `submit`; the engine calls back with a `Piece`
each time it has more text. Neither HTTP nor torch here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cookbook.bases import Base


@dataclass(frozen=True)
class ChatRequest:
    """One request for an answer, with the fields of `engine.generate.Request`.

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
    max_tokens: int | None
    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    stop: tuple[str, ...]


# Properties, since a Protocol's plain attributes would have to be writable, and pieces are frozen.
class Piece(Protocol):
    """The next bit of an answer.

    Token counts are cumulative. The last piece has a finish reason, or an error and its code.
    """

    @property
    def text(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def finish_reason(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def error_code(self) -> str | None: ...


class Generation(Protocol):
    """An answer on its way."""

    def cancel(self) -> None: ...


# `on_piece` is called in the engine's thread.
OnPiece = Callable[[Piece], None]
Submit = Callable[[ChatRequest, OnPiece], Generation]
