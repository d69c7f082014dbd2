"""A request and an answer as they travel to an engine and back.

    route, body = to_engine(request, name)
    reading = Reading(request)
    for event in events: piece = reading.take(event)
    last = reading.end()

Every parameter that changes an answer is written out: an engine takes what is left out from the
model's `generation_config.json`, which the embedded engine does not read. What comes back is the
same `Piece` as the embedded engine's.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from cookbook.chatml import SPECIAL_TOKENS
from cookbook.service.chat_request import ChatRequest, Piece, TokenLogprob
from cookbook.service.engines import faults

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_UNFINISHED = ("abort", "error")  # vLLM's finish reasons of an answer that it gave up
_LONGEST_EVENT = 16 * 2**20  # bytes; the logprobs of a long echoed prompt come in one


def to_engine(
    request: ChatRequest, name: str, *, limited: bool = True
) -> tuple[str, dict[str, Any]]:
    """Return the route and the body of a request.

    Args:
        name: the model's name at the engine.
        limited: False leaves the length of the answer to the room in the context.

    Raises:
        EngineFault: a message has a special token, which an engine would obey.
    """
    body: dict[str, Any] = {
        "model": name,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k or -1,
        # Qwen's own configuration has 1.05 to 1.1.
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "min_p": 0.0,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = list(request.stop)
    max_tokens = request.max_tokens if limited else None
    if request.prompt is None:
        return CHAT, body | _of_chat(request, max_tokens)
    prompt = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
    # Without a number, a completion would have OpenAI's 16 tokens.
    body |= {"prompt": prompt, "echo": request.echo, "max_tokens": max_tokens}
    if request.logprobs is not None:
        body["logprobs"] = request.logprobs
    return COMPLETIONS, body


def _of_chat(request: ChatRequest, max_tokens: int | None) -> dict[str, Any]:
    for message in request.messages:
        for mark in SPECIAL_TOKENS:
            # An engine reads it as the end of the turn, wherever it is.
            if mark in message["content"]:
                raise faults.special_token(mark)
    body: dict[str, Any] = {"messages": request.messages}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if request.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    if request.schema is not None:
        schema = orjson.loads(request.schema)
        named = {"name": "answer", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any] | None]:
    """Yield the server-sent events of a stream; None for the one that ends it.

    Raises:
        ValueError: what comes is not a stream of JSON objects.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_EVENT:
            raise ValueError("an event without an end")
        # Not by `str.splitlines`, which ends a line at characters that JSON may hold.
        for line in lines:
            field, _, value = line.strip().partition(b":")
            if field != b"data":
                continue
            if value.strip() == b"[DONE]":
                yield None
                continue
            event = orjson.loads(value)
            if not isinstance(event, dict):
                raise ValueError("an event that is not an object")
            yield event


class Reading:
    """One answer, from the engine's events to pieces.

    The last piece is kept back until the stream ends: the count of its tokens may come after it.
    """

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._told = 0
        self._last: Piece | None = None

    def take(self, event: Mapping[str, Any]) -> Piece | None:
        """Return what the event adds to the answer; None where it adds nothing yet.

        Raises:
            ValueError: the engine has given up; the text is its own.
            LookupError, TypeError, AttributeError: the event has another shape than OpenAI's.
        """
        if event.get("error"):
            raise ValueError(faults.message_of(orjson.dumps({"error": event["error"]})))
        self._count(event.get("usage"))
        if not event.get("choices"):
            return None
        [choice] = event["choices"]
        finish_reason = choice.get("finish_reason")
        if finish_reason in _UNFINISHED:
            raise ValueError(f"finish_reason {finish_reason}")
        text, logprobs = self._content(choice)
        if finish_reason is None:
            return self._piece(text, logprobs, None) if text or logprobs else None
        reason = "length" if finish_reason == "length" else "stop"
        self._last = self._piece(text, logprobs, reason)
        return None

    def end(self) -> Piece | None:
        """Return the last piece, with the final count; None where the answer is not complete."""
        last = self._last
        return last and self._piece(last.text, last.logprobs, last.finish_reason)

    def new_tokens(self) -> int:
        """Return how many tokens were written since this was called last."""
        new = self._completion_tokens - self._told
        self._told = self._completion_tokens
        return new

    def _count(self, usage: Any) -> None:
        if not usage:
            return
        self._prompt_tokens = usage["prompt_tokens"]
        written = usage.get("completion_tokens") or 0
        # To read a prompt alone, an engine writes a token that nobody is shown.
        self._completion_tokens = 0 if self._request.max_tokens == 0 else written

    def _piece(
        self, text: str, logprobs: tuple[TokenLogprob, ...], finish_reason: str | None
    ) -> Piece:
        return Piece(
            text=text,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            finish_reason=finish_reason,
            logprobs=logprobs,
        )

    def _content(self, choice: Mapping[str, Any]) -> tuple[str, tuple[TokenLogprob, ...]]:
        report = choice.get("logprobs")
        top = self._request.logprobs
        if self._request.prompt is not None:
            tokens = _of_completion(report, top or 0) if report else ()
            return choice.get("text") or "", tokens
        text = choice["delta"].get("content") or ""
        tokens = _of_chat_report(report, top or 0) if report else ()
        if tokens and _ends_turn(choice, text, tokens[-1]):
            tokens = tokens[:-1]
        return text, tokens


def _ends_turn(choice: Mapping[str, Any], text: str, last: TokenLogprob) -> bool:
    """Return whether the last token is the mark that ends a turn, which is no part of an answer."""
    if choice.get("finish_reason") != "stop" or isinstance(choice.get("stop_reason"), str):
        return False
    shown = last.token.decode("utf-8", "replace")
    return not shown or not text.endswith(shown)


def _of_chat_report(report: Mapping[str, Any], top: int) -> tuple[TokenLogprob, ...]:
    tokens = []
    for entry in report.get("content") or ():
        likeliest = [(_bytes(other), other["logprob"]) for other in entry.get("top_logprobs") or ()]
        tokens.append(TokenLogprob(_bytes(entry), entry["logprob"], _likeliest(likeliest, top)))
    return tuple(tokens)


def _bytes(entry: Mapping[str, Any]) -> bytes:
    given = entry.get("bytes")
    return bytes(given) if given is not None else entry["token"].encode()


def _of_completion(report: Mapping[str, Any], top: int) -> tuple[TokenLogprob, ...]:
    texts, logprobs = report["tokens"], report["token_logprobs"]
    places = report.get("top_logprobs") or [None] * len(texts)
    tokens = []
    for text, logprob, place in zip(texts, logprobs, places, strict=True):
        likeliest = [(other.encode(), value) for other, value in (place or {}).items()]
        tokens.append(TokenLogprob(text.encode(), logprob, _likeliest(likeliest, top)))
    return tuple(tokens)


def _likeliest(found: list[tuple[bytes, float]], top: int) -> tuple[tuple[bytes, float], ...]:
    """Return as many as were asked for: vLLM adds the token itself where it is not among them."""
    return tuple(sorted(found, key=lambda one: -one[1])[:top])
