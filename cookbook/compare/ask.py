"""Ask every model the same things, many requests at once; one failure never loses the other answers.

Who tries again: `ask` alone. The client's own retries are switched off here, because they end where the stream begins,
and are not counted. Asked anew, after a wait that doubles (or the one that the service names in Retry-After), are
requests that the service was too busy for, lost connections, and answers cut in the middle: never glued together.
Not asked anew is what would fail again: a wrong model, a wrong key, a prompt that is too long.
"""

import email.utils
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from cookbook.errors import ArgumentError
from cookbook.explain import explain
from cookbook.i18n import tr

BUSY = (408, 409, 429, 500, 502, 503, 504)
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds


def ask(
    client,
    columns: Mapping[str, tuple[str, str | None]],
    inputs: Sequence[str],
    *,
    temperature: float = 0.0,
    top_p: float = 0.7,
    seed: int | None = 42,
    max_tokens: int = 256,
    concurrency: int = 8,
    retries: int = 4,
    progress: bool | Callable[[int, int], None] = True,
):
    """Every input to every column; a long DataFrame in the order columns × inputs.

    Asked input by input, so that a busy minute of the machine meets all columns alike. Interrupting the cell keeps the
    answers that are complete; the others' rows say so.

    Args:
        columns: a name for each column, and its (model, system prompt or None).
        retries: how often a request is sent anew before its row is given up.
        progress: show the count while it runs (nothing stays behind), or call this with (done, all).

    Returns:
        DataFrame with column, input, answer, finish_reason, prompt_tokens, completion_tokens (from the last `usage`),
        first_token_seconds and seconds (of the last attempt, waits left out), attempts, error, model, system.

    Raises:
        ValueError: a column has no model.
    """
    import pandas as pd

    for name, (model, _) in columns.items():
        if not model or not isinstance(model, str):
            raise ArgumentError(
                zh=f"列“{name}”的模型是 {model!r}，应当是模型的名字：训练完的 fine_tuned_model，或控制台给的标识符",
                en=f"the model of column {name} is {model!r}; give a name: a job's fine_tuned_model, or the console's identifier",
            )

    settings = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    if seed is not None:
        settings["seed"] = seed
    client, stopped = client.with_options(max_retries=0), threading.Event()
    rows = [_empty(name, *column, text) for name, column in columns.items() for text in inputs]
    one = lambda row: _ask_until_answered(client, row, settings, retries, stopped)
    show = _shown(progress)
    pool = ThreadPoolExecutor(concurrency)
    try:
        order = sorted(range(len(rows)), key=lambda i: i % max(1, len(inputs)))
        asked = [pool.submit(one, rows[i]) for i in order]
        for done, future in enumerate(as_completed(asked), 1):
            future.result()
            show(done, len(rows))
    except KeyboardInterrupt:
        pass
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
    for row in rows:
        if row["finish_reason"] is None and row["error"] is None:
            row["error"] = tr("被中断，没有问完", "interrupted before it was answered")
    return pd.DataFrame(rows)


def _empty(name: str, model: str, system: str | None, text: str) -> dict:
    row = {
        "column": name,
        "input": text,
        "answer": "",
        "finish_reason": None,
        "prompt_tokens": None,
    }
    row |= {
        "completion_tokens": None,
        "first_token_seconds": None,
        "seconds": None,
        "attempts": 0,
        "error": None,
    }
    return row | {"model": model, "system": system}


class _Cut(Exception):
    """The stream ended before the answer did."""


def _ask_until_answered(
    client, row: dict, settings: dict, retries: int, stopped: threading.Event
) -> None:
    """Fill the row in place."""
    import openai

    while not stopped.is_set():
        row["attempts"] += 1
        try:
            row |= _ask_once(client, row, settings, stopped)
            return
        except (openai.OpenAIError, _Cut) as error:
            if row["attempts"] > retries or not _worth_another(error):
                row["error"] = _explained(error)
                return
            stopped.wait(_wait(row["attempts"], error))


def _ask_once(client, row: dict, settings: dict, stopped: threading.Event) -> dict:
    """What one attempt found.

    Raises:
        openai.OpenAIError: the service refused, or was not reached.
        _Cut: it stopped in the middle.
    """
    found = {"answer": "", "finish_reason": None, "first_token_seconds": None}
    messages = [{"role": "system", "content": row["system"]}] if row["system"] else []
    messages.append({"role": "user", "content": row["input"]})
    started = time.perf_counter()
    stream = client.chat.completions.create(
        model=row["model"], messages=messages, stream=True, **settings
    )
    try:
        with stream:
            for chunk in stream:
                if stopped.is_set():
                    return {}
                _take(chunk, found, started)
    except _broken_streams() as error:
        raise _Cut(str(error)) from error
    if found["finish_reason"] is None:
        raise _Cut(tr("没有结束标记", "no finish reason"))
    return found | {"seconds": time.perf_counter() - started}


def _take(chunk, found: dict, started: float) -> None:
    if chunk.usage:  # cumulative: the last one counts
        found |= {
            "prompt_tokens": chunk.usage.prompt_tokens,
            "completion_tokens": chunk.usage.completion_tokens,
        }
    for choice in chunk.choices or ():
        if choice.delta.content:
            found["first_token_seconds"] = (
                found["first_token_seconds"] or time.perf_counter() - started
            )
            found["answer"] += choice.delta.content
        found["finish_reason"] = choice.finish_reason or found["finish_reason"]


def _broken_streams() -> tuple[type[Exception], ...]:
    """What reading a stream may raise: the client hands on the errors of its transport, httpx or the newer httpx2."""
    transports = [
        sys.modules[name].HTTPError for name in ("httpx", "httpx2") if name in sys.modules
    ]
    return (*transports, OSError, ValueError)  # ValueError: half a line of JSON


def _worth_another(error: Exception) -> bool:
    import openai

    return (
        isinstance(error, (_Cut, openai.APIConnectionError))
        or getattr(error, "status_code", None) in BUSY
    )


def _wait(attempt: int, error: Exception) -> float:
    """Seconds until the next attempt: what Retry-After says, else doubling, with jitter so that not all come at once."""
    named = _retry_after(getattr(getattr(error, "response", None), "headers", {}))
    if named is not None:
        return min(named, LONGEST_WAIT) + random.uniform(0, 0.1 * FIRST_WAIT)
    return min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT) * random.uniform(0.5, 1)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date."""
    text = headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _explained(error: Exception) -> str:
    return (
        tr(f"回答中途断开：{error}", f"the answer broke off: {error}")
        if isinstance(error, _Cut)
        else explain(error)
    )


def _shown(progress: bool | Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Where the count goes: a line in Jupyter or the terminal that vanishes at the end, or nowhere."""
    if not isinstance(progress, bool):
        return progress
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if progress and hasattr(shell, "kernel"):
        return _in_jupyter()
    return _in_terminal if progress and sys.stderr.isatty() else lambda done, total: None


def _in_terminal(done: int, total: int) -> None:
    sys.stderr.write("\r\033[K" + (f"{done}/{total}" if done < total else ""))
    sys.stderr.flush()


def _in_jupyter() -> Callable[[int, int], None]:
    from IPython.display import display

    handle, last = None, time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal handle, last
        if done < total and time.monotonic() - last < 1:
            return
        last = time.monotonic()
        line = {
            "text/plain": tr(f"已回答 {done}/{total}", f"{done}/{total} answered")
            if done < total
            else ""
        }
        if handle:
            handle.update(line, raw=True)
        elif done < total:
            handle = display(line, raw=True, display_id=True)

    return show
