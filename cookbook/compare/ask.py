"""Ask every model the same inputs, many at once; one failure never loses the other answers.

`ask` alone retries. The client's own retries are switched off, because they end where the stream
begins and are not counted. A request is sent again when the service was busy, the connection was
lost, or the answer was cut off in the middle; the two parts of a cut answer are never joined. The
wait doubles each time, unless the service names one in Retry-After. To be told how long to wait for
one's turn, as in a room, is no failure: that is waited for up to five minutes beside the retries.
What would fail again is not sent again: a wrong model, a wrong key, a prompt that is too long.
"""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from cookbook.client import synchronous
from cookbook.duration import duration
from cookbook.errors import ArgumentError
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.retry_after import retry_after

if TYPE_CHECKING:
    import pandas as pd
    from openai import OpenAI
    from openai.types.chat import ChatCompletionChunk

Row = dict[str, Any]
Progress = Callable[[int, int], None]

BUSY = (408, 409, 429, 500, 502, 503, 504)  # HTTP statuses after which a request is sent again
FIRST_WAIT = 1.0  # seconds before the second attempt
LONGEST_WAIT = 60.0  # seconds, also where Retry-After asks for more
TURN_SECONDS = 300.0  # that a request waits for its turn at most, all such waits together
REDRAW_SECONDS = 1.0  # between two counts in Jupyter


def ask(
    client: "OpenAI",
    columns: Mapping[str, tuple[str, str | None]],
    inputs: Sequence[str],
    *,
    temperature: float = 0.0,
    top_p: float = 0.7,
    seed: int | None = 42,
    max_tokens: int = 256,
    concurrency: int = 8,
    retries: int = 4,
    progress: bool | Progress = True,
) -> "pd.DataFrame":
    """Send every input to every column; return a long DataFrame in the order columns × inputs.

    The requests are sent input by input, so that a busy minute of the service meets all columns
    alike. Interrupting the cell keeps the answers that are complete; the other rows say that they
    were interrupted.

    Args:
        columns: a name for each column, and its (model, system prompt or None).
        concurrency: how many requests are under way at once, at most.
        retries: how often a request is sent again before its row is given up.
        progress: True shows the count while it runs and removes it at the end; a function is called
            with (done, all).

    Returns:
        DataFrame with column, input, answer, finish_reason, prompt_tokens and completion_tokens (of
        the last `usage`), first_token_seconds and seconds (of the last attempt, without waits),
        attempts, error, model, system.

    Raises:
        ArgumentError: a column has no model, or `client` is asynchronous or no client.
    """
    import pandas as pd

    _check_models(columns)
    sampling: dict[str, Any] = {
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
    }
    # Without a seed the request has no such field, rather than one that is null.
    if seed is not None:
        sampling["seed"] = seed

    # Rows are made for every request first, so that an interrupt leaves a complete table.
    by_column = []
    for name, (model, system) in columns.items():
        by_column.append([_unanswered(name, model, system, text) for text in inputs])
    rows = list(chain.from_iterable(by_column))
    by_input = chain.from_iterable(zip(*by_column, strict=True))

    # Two retries on top of each other would multiply the attempts and hide half of them.
    once = synchronous(client).with_options(max_retries=0)
    sender = _Sender(once, sampling, retries)
    _send_all(sender, by_input, len(rows), concurrency, _progress(progress))

    # What has neither an answer nor an error was under way, or waiting, at the interrupt.
    for row in rows:
        if row["finish_reason"] is None and row["error"] is None:
            row["error"] = tr("被中断，没有问完", "interrupted before it was answered")
    return pd.DataFrame(rows)


def answered(answers: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows whose request did not fail; all of them where there is no column `error`."""
    if "error" not in answers:
        return answers
    return answers[answers["error"].isna()]


def _check_models(columns: Mapping[str, tuple[str, str | None]]) -> None:
    for name, (model, _) in columns.items():
        if not model or not isinstance(model, str):
            raise ArgumentError(
                zh=f"列“{name}”的模型是 {model!r}，应当是模型的名字："
                "训练完的 fine_tuned_model，或控制台给的标识符",
                en=f"the model of column {name} is {model!r}; pass a model's name: "
                "a job's fine_tuned_model, or the identifier from the console",
            )


def _unanswered(column: str, model: str, system: str | None, text: str) -> Row:
    """Return the row of an input before it is sent: the DataFrame's columns, in their order."""
    return {
        "column": column,
        "input": text,
        "answer": "",
        "finish_reason": None,
        "prompt_tokens": None,
        "completion_tokens": None,
        "first_token_seconds": None,
        "seconds": None,
        "attempts": 0,
        "error": None,
        "model": model,
        "system": system,
    }


class _Cut(Exception):
    """The stream ended before the answer did."""


@dataclass(frozen=True)
class _Sender:
    """What all requests share. Once `stopped` is set, no more are sent and streams are left."""

    client: "OpenAI"
    sampling: dict[str, Any]
    retries: int
    stopped: threading.Event = field(default_factory=threading.Event)


def _send_all(
    sender: _Sender, rows: Iterable[Row], total: int, concurrency: int, progress: Progress
) -> None:
    """Fill the rows in place, until all are filled or the cell is interrupted."""
    pool = ThreadPoolExecutor(concurrency)
    try:
        futures = [pool.submit(_fill, sender, row) for row in rows]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()  # raises what no retry can repair, such as a wrong argument
            progress(done, total)
    except KeyboardInterrupt:
        # The rows that are complete are the reader's; the others are marked by the caller.
        pass
    finally:
        sender.stopped.set()
        pool.shutdown(cancel_futures=True)


def _fill(sender: _Sender, row: Row) -> None:
    """Send one request until it is answered, cannot be, or has failed more than `retries` times."""
    import openai

    failures = 0
    turn_ends = time.monotonic() + TURN_SECONDS
    while not sender.stopped.is_set():
        row["attempts"] += 1
        try:
            row |= _send(sender, row)
            return
        # Anything else is a mistake in the call or here, and ends `ask`.
        except (openai.OpenAIError, _Cut) as error:
            if not _is_told_to_wait(error) or time.monotonic() > turn_ends:
                failures += 1
            if failures > sender.retries or not _may_pass(error):
                row["error"] = _reason(error)
                return
            # Not time.sleep: an interrupt must not last a minute.
            sender.stopped.wait(_wait(max(failures, 1), error))


def _send(sender: _Sender, row: Row) -> Row:
    """Return what one attempt adds to the row; nothing where it was stopped.

    Raises:
        openai.OpenAIError: the service refused, or was not reached.
        _Cut: the stream ended in the middle of the answer.
    """
    messages: list[Any] = [{"role": "user", "content": row["input"]}]
    if row["system"]:
        messages.insert(0, {"role": "system", "content": row["system"]})
    reply: Row = {"answer": "", "finish_reason": None, "first_token_seconds": None}
    started = time.perf_counter()
    stream = sender.client.chat.completions.create(
        model=row["model"], messages=messages, stream=True, **sender.sampling
    )
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
    return reply | {"seconds": time.perf_counter() - started}


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


def _may_pass(error: Exception) -> bool:
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


def _wait(attempt: int, error: Exception) -> float:
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


def _progress(progress: bool | Progress) -> Progress:
    """Return where the count goes: Jupyter, the terminal, the caller's function, or nowhere."""
    if not isinstance(progress, bool):
        return progress
    if not progress:
        return _no_count
    # IPython is never imported here: where it is not loaded, there is no notebook.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        return _JupyterCount()
    return _terminal_count if sys.stderr.isatty() else _no_count


def _no_count(done: int, total: int) -> None:
    pass


def _terminal_count(done: int, total: int) -> None:
    count = f"{done}/{total}" if done < total else ""
    sys.stderr.write(f"\r\033[K{count}")
    sys.stderr.flush()


def counted(done: int, total: int, seconds: float) -> str:
    """Return how many of the requests are answered after these seconds, and the time left.

    A real base on a CPU takes minutes for what the tiny one answers in seconds.
    """
    left = duration(seconds / done * (total - done))
    return tr(
        f"已回答 {done}/{total}，还需约 {left}", f"{done}/{total} answered, about {left} left"
    )


class _JupyterCount:
    """One line, updated once a second; empty at the end, so a stored notebook keeps none of it."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._started = self._drawn = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        from IPython.display import display

        over = done == total
        if not over and time.monotonic() - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = time.monotonic()
        count = "" if over else counted(done, total, self._drawn - self._started)
        bundle = {"text/plain": count}
        if self._handle is not None:
            self._handle.update(bundle, raw=True)
        elif not over:
            self._handle = display(bundle, raw=True, display_id=True)
