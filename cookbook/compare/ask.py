"""Ask every model the same inputs, many at once; one failure never loses the other answers.

How requests are sent, and sent again, is in `send.py`.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from cookbook.compare.count import Progress
from cookbook.compare.send import Question, Row, messages, send_all
from cookbook.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd
    from openai import OpenAI


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

    questions = [_question(row, sampling) for row in by_input]
    send_all(client, questions, concurrency=concurrency, retries=retries, progress=progress)
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


def _question(row: Row, sampling: dict[str, Any]) -> Question:
    asked = messages(row["system"], row["input"])
    return Question({"model": row["model"], "messages": asked, **sampling}, row)
