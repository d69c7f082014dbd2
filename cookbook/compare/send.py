"""Send many requests at once; one failure never loses the other answers.

    send_all(client, questions, concurrency=8, retries=4, progress=True)

This module alone retries. The client's own retries are switched off, because they end where the
stream begins and are not counted. A request is sent again when the service was busy, the connection
was lost, or the answer was cut off in the middle; the two parts of a cut answer are never joined.
The wait doubles each time, unless the service names one in Retry-After. To be told how long to wait
for one's turn, as in a room, is no failure: that is waited for up to five minutes beside the
retries. What would fail again is not sent again: a wrong model, a wrong key, a prompt that is too
long.
"""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cookbook.client import synchronous
from cookbook.compare.count import Progress, shown
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.retry_after import retry_after

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionChunk

Row = dict[str, Any]

BUSY = (408, 409, 429, 500, 502, 503, 504)  # HTTP statuses after which a request is sent again
FIRST_WAIT = 1.0  # seconds before the second attempt
LONGEST_WAIT = 60.0  # seconds, also where Retry-After asks for more
TURN_SECONDS = 300.0  # that a request waits for its turn at most, all such waits together


@dataclass(frozen=True)
class Question:
    """A chat request, and the row of a table that its answer is written into.

    `row` gets answer, finish_reason, prompt_tokens and completion_tokens (of the last `usage`),
    first_token_seconds and seconds (of the last attempt, without waits); or error. Its `attempts`
    are counted.
    """

    body: dict[str, Any]
    row: Row


def messages(system: str | None, text: str) -> list[dict[str, str]]:
    """Return the messages of one question, behind a system prompt if there is one."""
    question = {"role": "user", "content": text}
    if not system:
        return [question]
    return [{"role": "system", "content": system}, question]


def send_all(
    client: "OpenAI",
    questions: Iterable[Question],
    *,
    concurrency: int,
    retries: int,
    progress: bool | Progress,
    answered: Callable[[Row], None] | None = None,
) -> None:
    """Fill the rows in place, until all are filled or the cell is interrupted.

    A row that was under way, or waiting, at the interrupt says so in `error`.

    Args:
        retries: how often a request is sent again before its row is given up.
        answered: called with each row whose answer is complete, at once and in the thread that
            received it. What it raises ends everything.

    Raises:
        ArgumentError: `client` is asynchronous or no client.
    """
    # Two retries on top of each other would multiply the attempts and hide half of them.
    once = synchronous(client).with_options(max_retries=0)
    sender = _Sender(once, retries, answered)
    given = list(questions)
    tell = shown(progress)
    pool = ThreadPoolExecutor(concurrency)
    try:
        futures = [pool.submit(_fill, sender, question) for question in given]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()  # raises what no retry can repair, such as a wrong argument
            tell(done, len(given))
    except KeyboardInterrupt:
        # The rows that are complete are the reader's; the others are marked below.
        pass
    finally:
        sender.stopped.set()
        pool.shutdown(cancel_futures=True)
    _mark_interrupted(given)


def _mark_interrupted(questions: Iterable[Question]) -> None:
    for question in questions:
        row = question.row
        if row["finish_reason"] is None and row["error"] is None:
            row["error"] = tr("被中断，没有问完", "interrupted before it was answered")


class _Cut(Exception):
    """The stream ended before the answer did."""


@dataclass(frozen=True)
class _Sender:
    """What all requests share. Once `stopped` is set, no more are sent and streams are left."""

    client: "OpenAI"
    retries: int
    answered: Callable[[Row], None] | None
    stopped: threading.Event = field(default_factory=threading.Event)


def _fill(sender: _Sender, question: Question) -> None:
    """Send one request until it is answered, cannot be, or has failed more than `retries` times."""
    import openai

    row = question.row
    failures = 0
    turn_ends = time.monotonic() + TURN_SECONDS
    while not sender.stopped.is_set():
        row["attempts"] += 1
        try:
            reply = _send(sender, question.body)
        # Anything else is a mistake in the call or here, and ends `send_all`.
        except (openai.OpenAIError, _Cut) as error:
            if not _is_told_to_wait(error) or time.monotonic() > turn_ends:
                failures += 1
            if failures > sender.retries or not may_pass(error):
                row["error"] = _reason(error)
                return
            # Not time.sleep: an interrupt must not last a minute.
            sender.stopped.wait(wait(max(failures, 1), error))
            continue
        row |= reply
        if reply and sender.answered:
            sender.answered(row)
        return


def _send(sender: _Sender, body: dict[str, Any]) -> Row:
    """Return what one attempt adds to the row; nothing where it was stopped.

    Raises:
        openai.OpenAIError: the service refused, or was not reached.
        _Cut: the stream ended in the middle of the answer.
    """
    reply: Row = {"answer": "", "finish_reason": None, "first_token_seconds": None}
    started = time.perf_counter()
    stream = sender.client.chat.completions.create(stream=True, **body)
    try:
        with stream:
            for chunk in stream:
                if sender.stopped.is_set():
                    return {}
                _add(chunk, reply, started)
    except _stream_errors() as error:
        raise _Cut(str(error)) from error
    # A connection can also be closed without an error after half an answer.
    if reply["finish_reason"] is None:
        no_reason = tr("没有结束标记", "no finish reason")
        raise _Cut(no_reason)
    return reply | {
        "answer": storable(reply["answer"]),
        "seconds": time.perf_counter() - started,
    }


def storable(text: str) -> str:
    """Return an answer as a table and a file can hold it: without half characters.

    JSON may have the halves of a character in two chunks. They are joined; a half that is alone
    becomes U+FFFD, as a token that ends within a character does.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _add(chunk: "ChatCompletionChunk", reply: Row, started: float) -> None:
    """Add one chunk of the stream to the reply; chunks without choices or content occur."""
    if chunk.usage:
        # SiliconCloud sends usage with every chunk, and each is cumulative: the last one counts.
        reply["prompt_tokens"] = chunk.usage.prompt_tokens
        reply["completion_tokens"] = chunk.usage.completion_tokens
    for choice in chunk.choices or ():
        if choice.delta.content:
            if reply["first_token_seconds"] is None:
                reply["first_token_seconds"] = time.perf_counter() - started
            reply["answer"] += choice.delta.content
        if choice.finish_reason:
            reply["finish_reason"] = choice.finish_reason


def _stream_errors() -> tuple[type[Exception], ...]:
    """Return what reading a stream may raise: the client does not wrap the errors of its transport.

    The transport is httpx or the newer httpx2; half a line of JSON is a ValueError.
    """
    transports = []
    for name in ("httpx", "httpx2"):
        if name in sys.modules:
            transports.append(sys.modules[name].HTTPError)
    return (*transports, OSError, ValueError)


def may_pass(error: BaseException) -> bool:
    """Return whether the same request may succeed later."""
    import openai

    if isinstance(error, (_Cut, openai.APIConnectionError)):
        return True
    return getattr(error, "status_code", None) in BUSY


def _is_told_to_wait(error: Exception) -> bool:
    """Return whether the service has too many requests at present, and says how long to wait."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    is_busy = getattr(error, "status_code", None) == 429
    # "At once" is no wait, and would be asked again and again.
    return is_busy and (retry_after(headers) or 0) > 0


def wait(attempt: int, error: Exception) -> float:
    """Return the seconds until the next attempt: Retry-After, or else 1, 2, 4 … up to a minute.

    A random part is added or taken away, so that requests refused together do not come back
    together.
    """
    headers = getattr(getattr(error, "response", None), "headers", {})
    asked_for = retry_after(headers)
    if asked_for is not None:
        return min(asked_for, LONGEST_WAIT) + random.uniform(0, 0.1 * FIRST_WAIT)
    doubled = FIRST_WAIT * 2 ** (attempt - 1)
    return min(doubled, LONGEST_WAIT) * random.uniform(0.5, 1)


def _reason(error: Exception) -> str:
    if isinstance(error, _Cut):
        return tr(f"回答中途断开：{error}", f"the answer was cut off: {error}")
    return explain(error)
