"""The contract between the routes that answer and the chat engine, so that neither knows the other.

A route builds a `ChatRequest` and hands it to `submit`; the engine calls back with a `Piece` each
time it has more text. Both know this module, which knows neither HTTP nor torch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from cookbook.bases import Base
from cookbook.i18n import Text

MAX_CHOICES = 8
"""Answers to one prompt, at most."""

_SEED_STEP = 0x9E3779B97F4A7C15  # odd, and far from the seeds that people choose


@dataclass(frozen=True)
class ChatRequest:
    """One request for an answer.

    Attributes:
        adapter: the PEFT folder of a tuned model; None for the base itself.
        messages: dicts of `role` and `content`.
        prompt: text or token ids that the answer continues, in place of messages; no chat template.
        echo: the answer begins with the prompt.
        max_tokens: of the answer; None for as many as the context has room for.
        temperature: 0 takes the likeliest token each time.
        top_k: 0 for all tokens.
        seed: None for another answer each time.
        stop: texts that end the answer; they are not part of it.
        schema: a JSON schema, as JSON; the answer is JSON that fits it.
        logprobs: how many of the likeliest tokens to report at each place; None for no report.
        model: the public name of the model, tuned or not.
        person: who asks; answers start in turns between people.
        background: nobody waits for the answer: it starts where no other one waits.
    """

    base: Base
    adapter: Path | None
    messages: list[dict[str, str]] = field(default_factory=list)
    prompt: str | tuple[int, ...] | None = None
    echo: bool = False
    max_tokens: int | None = None
    temperature: float = 0.7
    top_p: float = 0.7
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: str | None = None
    logprobs: int | None = None
    model: str = ""
    person: str = "local"
    background: bool = False


def seed_of(seed: int | None, choice: int) -> int | None:
    """Return the seed of one of several choices: the first has the request's own."""
    if seed is None or choice == 0:
        return seed
    # As a signed number of 64 bits, which is what a generator takes.
    mixed = (seed + choice * _SEED_STEP) % 2**64
    return mixed - 2**64 if mixed >= 2**63 else mixed


@dataclass(frozen=True)
class TokenLogprob:
    """A token of an answer, or of an echoed prompt, and how likely the model found it.

    Natural logarithms of the model's own distribution: before temperature, top_p, top_k and schema.

    Attributes:
        token: its bytes, which may be a part of a character.
        logprob: None for the first token of a prompt, before which there is nothing.
        top: the likeliest tokens at its place, the likeliest first.
    """

    token: bytes
    logprob: float | None
    top: tuple[tuple[bytes, float], ...] = ()


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
    error: Text | None = None
    error_code: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()  # of the tokens since the piece before

    @classmethod
    def failed(
        cls, error: Text, code: str, *, prompt_tokens: int = 0, completion_tokens: int = 0
    ) -> "Piece":
        """Return the last piece of an answer that cannot be completed."""
        return cls(
            "",
            prompt_tokens,
            completion_tokens,
            finish_reason="stop",
            error=error,
            error_code=code,
        )


def joined(first: Piece, second: Piece) -> Piece:
    """Return two successive pieces as one."""
    text = first.text + second.text
    return replace(second, text=text, logprobs=first.logprobs + second.logprobs)


class Generation(Protocol):
    """An answer on its way."""

    def cancel(self) -> None: ...


# `on_piece` is called in a thread of the engine.
OnPiece = Callable[[Piece], None]
Submit = Callable[[ChatRequest, OnPiece], Generation]


def internal_error(error: Exception) -> Text:
    """Return what a reader is told of an error that nobody expected.

    Its own text may name folders of this machine: that is for the log alone.
    """
    kind = type(error).__name__
    return Text(
        f"内部错误（{kind}），详见 service.log", f"internal error ({kind}), see service.log"
    )
