"""How likely each token was, in the two shapes of OpenAI's API: for chat and for completions."""

import codecs
from collections.abc import Sequence

from pydantic import BaseModel

from cookbook.service.chat_request import TokenLogprob

MAX_TOP = 20  # likeliest tokens at each place, as in OpenAI's chat
_LEAST = -9999.0  # what OpenAI writes for a token without any chance; JSON has no infinity


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class ContentLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[ContentLogprob]
    refusal: None = None


class CompletionLogprobs(BaseModel):
    """`text_offset` counts characters from the beginning of the choice's text."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


def for_chat(tokens: Sequence[TokenLogprob]) -> ChatLogprobs:
    """Return the logprobs of a chat answer, or of a chunk of it."""
    content = []
    for token in tokens:
        top = [_top(*likely) for likely in token.top]
        own = _top(token.token, token.logprob)
        content.append(ContentLogprob(top_logprobs=top, **own.model_dump()))
    return ChatLogprobs(content=content)


def _top(token: bytes, logprob: float | None) -> TopLogprob:
    text = token.decode(errors="replace")
    return TopLogprob(token=text, logprob=_finite(logprob or 0.0), bytes=list(token))


class ForCompletions:
    """The logprobs of one choice of a completion, chunk by chunk.

    Args:
        top: the report has the likeliest tokens, as the client asked.
    """

    def __init__(self, top: bool):
        self._top = top
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def next(self, tokens: Sequence[TokenLogprob]) -> CompletionLogprobs:
        """Return the logprobs of the tokens that follow those before."""
        offsets, likeliest = [], []
        for token in tokens:
            offsets.append(self._offset)
            # A token may be a part of a character, which is counted where it ends.
            self._offset += len(self._decoder.decode(token.token))
            likeliest.append(_by_text(token))
        return CompletionLogprobs(
            tokens=[_text(token.token) for token in tokens],
            token_logprobs=[token.logprob and _finite(token.logprob) for token in tokens],
            top_logprobs=likeliest if self._top else None,
            text_offset=offsets,
        )


def _by_text(token: TokenLogprob) -> dict[str, float] | None:
    """Return the likeliest tokens at its place, and the token itself, as OpenAI does."""
    if token.logprob is None:
        return None
    by_text = {_text(other): _finite(logprob) for other, logprob in token.top}
    by_text.setdefault(_text(token.token), _finite(token.logprob))
    return by_text


def _text(token: bytes) -> str:
    """Return the token as text; one that is a part of a character as OpenAI writes it."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
