"""What a data set looks like: a table of its rows, and pictures. Labels in the pictures are ASCII, so that they are
readable on a machine without Chinese fonts; Chinese text is shown in tables, where the browser sets it."""

from collections import Counter
from collections.abc import Sequence

from cookbook import tokens
from cookbook.data.rows import said
from cookbook.errors import DataError


def statistics(rows: Sequence[dict]):
    """A DataFrame, one row of data a line.

    Columns: `turns`; `system`, the prompt; `question_characters` and `answer_characters`; `prompt_tokens`, what is read
    without being learned, and `trained_tokens`, what is learned (Qwen2.5 tokens, chat template included; an answer's
    closing token is learned); `tokens`, both; `trained_share`.
    """
    import pandas as pd

    counted = tokens.count_conversations(row["messages"] for row in rows)
    lines = []
    for row, row_tokens in zip(rows, counted, strict=True):
        messages = row["messages"]
        total, learned = row_tokens.total, row_tokens.trained
        lines.append(
            {
                "turns": sum(m["role"] == "assistant" for m in messages),
                "system": said(row, "system"),
                "question_characters": len(said(row, "user")),
                "answer_characters": len(said(row, "assistant")),
                "prompt_tokens": total - learned,
                "trained_tokens": learned,
                "tokens": total,
                "trained_share": learned / total,
            }
        )
    return pd.DataFrame(lines)


def phrases(rows: Sequence[dict], *, length: int = 2, top: int = 8):
    """The most frequent openings and endings of the answers, as a DataFrame: a habit the model will learn.

    Args:
        length: characters of an opening or ending; closing punctuation is left out.
    """
    import pandas as pd

    answers = [
        m["content"].strip().rstrip("。！？!?.…”」』")
        for r in rows
        for m in r["messages"]
        if m["role"] == "assistant"
    ]
    parts = {
        "opening": Counter(a[:length] for a in answers),
        "ending": Counter(a[-length:] for a in answers),
    }
    lines = [
        {"where": where, "phrase": phrase, "answers": n, "share": n / len(answers)}
        for where, counts in parts.items()
        for phrase, n in counts.most_common(top)
    ]
    return pd.DataFrame(lines, columns=["where", "phrase", "answers", "share"])


def figure(rows: Sequence[dict], *, max_tokens: int = 4096):
    """Four pictures in one matplotlib figure: tokens a row, read and learned tokens, turns, lengths of the answers."""
    import matplotlib.pyplot as plt

    if not rows:
        raise DataError(zh="没有数据可画", en="there are no rows to draw")
    table = statistics(rows)
    fig, ((tokens_axes, share_axes), (turns_axes, length_axes)) = plt.subplots(
        2, 2, figsize=(8, 4.8), layout="constrained"
    )
    over = int((table.tokens > max_tokens).sum())
    bins = min(40, max(5, len(table) // 5))
    tokens_axes.hist(table.tokens, bins=bins, color="#4c78a8")
    tokens_axes.set(
        title=f"tokens a row: median {table.tokens.median():.0f}, max {table.tokens.max()}",
        xlabel="tokens",
        ylabel="rows",
    )
    if over or table.tokens.max() > 0.5 * max_tokens:
        tokens_axes.axvline(
            max_tokens, color="#e45756", linestyle="--", label=f"max_tokens: {over} rows over"
        )
        tokens_axes.legend()
    by_size = table.sort_values("tokens").reset_index(drop=True)
    share_axes.fill_between(
        by_size.index, by_size.prompt_tokens, color="#bab0ac", label="read only"
    )
    share_axes.fill_between(
        by_size.index, by_size.prompt_tokens, by_size.tokens, color="#f58518", label="learned"
    )
    share = table.trained_tokens.sum() / table.tokens.sum()
    share_axes.set(
        title=f"learned: {share:.0%} of {table.tokens.sum():,} tokens",
        xlabel="rows, by size",
        ylabel="tokens",
    )
    share_axes.legend(loc="upper left")
    turns = table.turns.value_counts().sort_index()
    turns_axes.bar(turns.index.astype(str), turns.values, color="#72b7b2")
    turns_axes.set(title="turns a conversation", xlabel="turns", ylabel="rows")
    length_axes.hist(table.answer_characters, bins=bins, color="#54a24b")
    length_axes.set(
        title=f"answer: median {table.answer_characters.median():.0f} characters",
        xlabel="characters",
        ylabel="rows",
    )
    plt.close(fig)  # shown once, by the cell that returns it
    return fig
