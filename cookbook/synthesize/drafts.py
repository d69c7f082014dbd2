"""Ask a writer, a large model with the long prompt, for several drafts of each input.

Every answer is written to a file the moment it comes (`record.py`), and what is in the file is
never asked for again: a cell that was interrupted, or whose kernel died, continues where it was.
The first attempts of all inputs are sent before the second ones, so that an interrupted run has
something of every input. What failed is not written down, and is asked again by the next run.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook.client import synchronous
from cookbook.compare.count import Progress
from cookbook.compare.send import Question, Row, messages, send_all
from cookbook.errors import ArgumentError
from cookbook.i18n import tr
from cookbook.synthesize.batch import ask_in_batches, refuse_while_under_way
from cookbook.synthesize.record import Record, key_of
from cookbook.synthesize.wanted import COLUMNS, Wanted, fill_from, keep_answer, row_of

if TYPE_CHECKING:
    import pandas as pd
    from openai import OpenAI


def drafts(
    client: "OpenAI",
    model: str,
    prompt: str,
    inputs: Sequence[str],
    *,
    n: int = 4,
    path: str | Path,
    batch: bool = False,
    temperature: float = 1.0,
    top_p: float = 0.95,
    max_tokens: int = 256,
    seed: int | None = 42,
    concurrency: int = 8,
    retries: int = 4,
    progress: bool | Progress = True,
) -> "pd.DataFrame":
    """Ask for `n` drafts of every input; return them in the order inputs × attempts.

    Interrupting the cell keeps every draft that is complete; the other rows say that they were
    interrupted. Run again, the cell asks for those alone.

    Args:
        prompt: the system prompt, with the rules and the examples.
        inputs: what drafts are written for, such as words; none of them twice.
        n: drafts for each input. With a larger one later, only the further drafts are asked for.
        path: a file for the finished answers, which this call adds to. It may hold those of other
            prompts and models, too.
        batch: as batches (files and `/v1/batches`), which may take a day and cost half on some
            platforms. Run again, an interrupted cell waits for the same batches.
        seed: of the first draft of each input; the next ones take the next numbers.
        concurrency: how many requests are under way at once, at most. Not used by batches.
        retries: how often a request is sent again before its row is given up.
        progress: True shows the count while it runs and removes it at the end; a function is called
            with (done, all), of what was not in the file yet.

    Returns:
        DataFrame with input, attempt (0 … n-1), draft, finish_reason, prompt_tokens,
        completion_tokens, error, model.

    Raises:
        ArgumentError: an argument cannot be used, or `path` cannot be written.
        DataError: `path` holds something else than answers.
        DiskFull: an answer cannot be stored.
        ServiceError: another notebook is writing to `path`, or a batch was refused.
    """
    import pandas as pd

    synchronous(client)
    texts = checked_inputs(inputs)
    check_arguments(model, prompt, n)
    _check_temperature(temperature, n)
    # 1 and 1.0 are one temperature, and must have one key.
    sampling = {
        "temperature": float(temperature),
        "top_p": float(top_p),
        "max_tokens": int(max_tokens),
    }
    wanted = _all_wanted(model, prompt, texts, n, sampling, seed)
    with Record(path) as record:
        missing = [one for one in wanted if not fill_from(record, one)]
        if batch:
            ask_in_batches(client, missing, record, retries=retries, progress=progress)
        else:
            refuse_while_under_way(missing, record)
            _ask(client, missing, record, concurrency, retries, progress)
    by_input = sorted(wanted, key=_place_of(texts))
    return pd.DataFrame([one.row for one in by_input], columns=COLUMNS)


def checked_inputs(inputs: Iterable[str]) -> list[str]:
    """Return the inputs as a list.

    Raises:
        ArgumentError: there are none, one is no text or blank, or one is there twice.
    """
    if isinstance(inputs, str | bytes):
        raise ArgumentError(
            zh=f"inputs 要给一组输入，这里是一段文字：inputs=[{inputs!r:.40}]",
            en=f"inputs takes several texts, not one: inputs=[{inputs!r:.40}]",
        )
    texts = list(inputs)
    if not texts:
        raise ArgumentError(
            zh="inputs 是空的：至少要有一个输入，例如 ['地铁', '加班']",
            en="inputs is empty: give at least one, such as ['subway', 'overtime']",
        )
    for i, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise ArgumentError(
                zh=f"inputs[{i}] 是 {text!r:.40}：每个输入都要是不空的文字，去掉它再运行",
                en=f"inputs[{i}] is {text!r:.40}: every input must be a text that is not blank; "
                "remove it and run again",
            )
        if not _is_unicode(text):
            raise ArgumentError(
                zh=f"inputs[{i}] 里有半个字符（{text!r:.40}），发不出去：改正它再运行",
                en=f"inputs[{i}] has half a character ({text!r:.40}), which cannot be sent: "
                "correct it and run again",
            )
    twice = [text for text in dict.fromkeys(texts) if texts.count(text) > 1]
    if twice:
        named = tr("、", ", ").join(f"{text:.20}" for text in twice[:5])
        raise ArgumentError(
            zh=f"inputs 里有 {len(twice)} 个输入不止一次（{named}）："
            "用 list(dict.fromkeys(inputs)) 去重；同一输入要多写几条，增大 n",
            en=f"{len(twice)} of the inputs are there more than once ({named}): remove repeats "
            "with list(dict.fromkeys(inputs)); for more drafts of each, raise n",
        )
    return texts


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_arguments(model: str, prompt: str, n: int) -> None:
    """Check the other arguments that an estimate has, too.

    Raises:
        ArgumentError: one of them cannot be used.
    """
    if not model or not isinstance(model, str):
        raise ArgumentError(
            zh=f"model 是 {model!r}，应当是写作模型的名字，例如 client.models.list() 里的一个",
            en=f"model is {model!r}; pass the writer's name, such as one of client.models.list()",
        )
    if not isinstance(prompt, str):
        raise ArgumentError(
            zh=f"prompt 是 {type(prompt).__name__}，应当是一段文字",
            en=f"prompt is a {type(prompt).__name__}; pass a text",
        )
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ArgumentError(
            zh=f"n={n!r}：每个输入写几条，应当是 1 或更大的整数",
            en=f"n={n!r}: the drafts for each input must be a whole number of at least 1",
        )


def _check_temperature(temperature: float, n: int) -> None:
    if n > 1 and temperature == 0:
        raise ArgumentError(
            zh=f"temperature=0 时，{n} 条草稿会一模一样，钱却付 {n} 次：用 n=1，或提高 temperature",
            en=f"at temperature 0 the {n} drafts would all be the same, and be paid {n} times: use "
            "n=1 or a higher temperature",
        )


def _all_wanted(
    model: str,
    prompt: str,
    texts: Sequence[str],
    n: int,
    sampling: dict[str, Any],
    seed: int | None,
) -> list[Wanted]:
    """Return what is to be there in the end, in the order in which it is asked for."""
    wanted = []
    for attempt in range(n):
        own = dict(sampling)
        # Without a seed the request has no such field; with one for all, all drafts are equal.
        if seed is not None:
            own["seed"] = seed + attempt
        for text in texts:
            body = {"model": model, "messages": messages(prompt, text), **own}
            key = key_of(model, prompt, text, attempt, own)
            wanted.append(Wanted(key, body, row_of(model, text, attempt)))
    return wanted


def _place_of(texts: Sequence[str]) -> Any:
    place = {text: i for i, text in enumerate(texts)}

    def key(one: Wanted) -> tuple[int, int]:
        return place[one.row["input"]], one.row["attempt"]

    return key


def _ask(
    client: "OpenAI",
    missing: Sequence[Wanted],
    record: Record,
    concurrency: int,
    retries: int,
    progress: bool | Progress,
) -> None:
    # The sender knows rows only; which draft one is for is found by its identity.
    by_row = {id(one.row): one for one in missing}

    def answered(row: Row) -> None:
        keep_answer(record, by_row[id(row)], row)

    questions = [Question(one.body, one.row) for one in missing]
    send_all(
        client,
        questions,
        concurrency=concurrency,
        retries=retries,
        progress=progress,
        answered=answered,
    )
