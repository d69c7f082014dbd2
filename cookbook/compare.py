"""Ask several models the same things and set the answers side by side.

    columns = {"base": (base, LONG_PROMPT), "tuned": (tuned, SHORT_PROMPT)}
    answers = compare.ask(client, columns, words)      a DataFrame, one answer a row
    compare.side_by_side(answers)                      a table for people

Answers are streamed, so the time to the first token is measured. One failed request never loses the others: its row
holds the error.
"""

import html
import time
import unicodedata
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


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
):
    """Every input to every column; a long DataFrame in the order columns × inputs.

    Args:
        columns: a name for each column, and its (model, system prompt or None).

    Returns:
        DataFrame with column, input, answer, finish_reason, prompt_tokens, completion_tokens (from the last `usage`),
        first_token_seconds, seconds, error.
    """
    import pandas as pd

    settings = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    if seed is not None:
        settings["seed"] = seed
    tasks = [(name, model, system, text) for name, (model, system) in columns.items() for text in inputs]
    with ThreadPoolExecutor(concurrency) as pool:
        rows = list(pool.map(lambda task: _ask_one(client, *task, settings), tasks))
    return pd.DataFrame(rows)


def _ask_one(client, name: str, model: str, system: str | None, text: str, settings: dict) -> dict:
    import openai

    row = {"column": name, "input": text, "answer": "", "finish_reason": None, "prompt_tokens": None}
    row |= {"completion_tokens": None, "first_token_seconds": None, "seconds": None, "error": None}
    messages = [{"role": "system", "content": system}] if system else []
    started = time.perf_counter()
    try:
        stream = client.chat.completions.create(
            model=model, messages=[*messages, {"role": "user", "content": text}], stream=True, **settings
        )
        for chunk in stream:
            if chunk.usage:  # cumulative: the last one counts
                row |= {"prompt_tokens": chunk.usage.prompt_tokens, "completion_tokens": chunk.usage.completion_tokens}
            if not chunk.choices:
                continue
            choice = chunk.choices[0]
            if choice.delta.content:
                row["first_token_seconds"] = row["first_token_seconds"] or time.perf_counter() - started
                row["answer"] += choice.delta.content
            row["finish_reason"] = choice.finish_reason or row["finish_reason"]
    except openai.OpenAIError as error:
        row["error"] = str(error)
    row["seconds"] = time.perf_counter() - started
    return row


@dataclass(frozen=True)
class SideBySide:
    """A table: one input a row, one column a column."""

    columns: list[str]
    rows: list[tuple[str, dict[str, str]]]

    def _repr_html_(self) -> str:
        cell = 'style="text-align:left;vertical-align:top;white-space:pre-wrap;word-break:break-word;line-height:1.6"'
        head = "".join(f"<th {cell}>{html.escape(c)}</th>" for c in ["", *self.columns])
        body = "".join(
            f"<tr><th {cell}>{html.escape(text)}</th>"
            + "".join(f"<td {cell}>{html.escape(answers.get(c, ''))}</td>" for c in self.columns)
            + "</tr>"
            for text, answers in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        lines = []
        for text, answers in self.rows:
            lines.append(f"【{text}】")
            for column in self.columns:
                indent = " " * 4
                wrapped = _wrap(answers.get(column, ""), 92)
                lines += [f"  {column}", *(indent + part for part in wrapped)]
        return "\n".join(lines)


def side_by_side(answers) -> SideBySide:
    """The answers of `ask` (or any DataFrame with column, input, answer) as a table for people."""
    table: dict[str, dict[str, str]] = {}
    for row in answers.to_dict("records"):
        error = row.get("error")
        table.setdefault(row["input"], {})[row["column"]] = f"⚠ {error}" if isinstance(error, str) else row["answer"]
    return SideBySide(list(dict.fromkeys(answers["column"])), list(table.items()))


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` terminal columns; a Chinese character takes two."""
    lines, used = [""], 0
    for character in text:
        size = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if character == "\n" or used + size > width:
            lines.append("")
            used = 0
        if character != "\n":
            lines[-1] += character
            used += size
    return lines
