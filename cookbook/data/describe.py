"""What a data set looks like: a table of its rows, the habits of its answers, and pictures.

Words in the pictures are in the reader's language if there is a font for it (`cookbook.fonts`).
Columns keep their names, and what rows say is shown in tables, where the browser sets it. pandas
and matplotlib are loaded by the first call.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cookbook import chatml, fonts, tokens
from cookbook.data.rows import listed, text_of
from cookbook.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Tableau 10, whose colours are told apart by most people who are colour-blind.
BLUE = "#4c78a8"
ORANGE = "#f58518"
RED = "#e45756"
TEAL = "#72b7b2"
GREEN = "#54a24b"
LIGHT_GREY = "#bab0ac"


def statistics(rows: Iterable[dict]) -> "pd.DataFrame":
    """Return a table with one line for each row of data.

    Columns: `turns`, the number of answers; `system`, the prompt; `question_characters` and
    `answer_characters`; `prompt_tokens`, which are read but not learned, and `trained_tokens`,
    which are learned (Qwen2.5 tokens, chat template included; an answer's closing token is
    learned); `tokens`, both; `trained_share`, of 1.
    """
    import pandas as pd

    rows = listed(rows)
    counts = tokens.count_conversations(row["messages"] for row in rows)
    lines = []
    for row, count in zip(rows, counts, strict=True):
        roles = [message["role"] for message in row["messages"]]
        line = {
            "turns": roles.count("assistant"),
            "system": text_of(row, "system"),
            "question_characters": len(text_of(row, "user")),
            "answer_characters": len(text_of(row, "assistant")),
            "prompt_tokens": count.total - count.trained,
            "trained_tokens": count.trained,
            "tokens": count.total,
            "trained_share": count.trained / count.total,
        }
        lines.append(line)
    return pd.DataFrame(lines)


def phrases(rows: Iterable[dict], *, length: int = 2, top: int = 8) -> "pd.DataFrame":
    """Return the most frequent openings and endings of the answers: habits that the model will
    learn. Answers of weight 0, of which it learns none, are left out.

    Columns: `where` (`opening` or `ending`), `phrase`, `answers` (their number), `share` (of 1).

    Args:
        length: characters of an opening or ending; closing punctuation is left out.
        top: how many of each to return.
    """
    import pandas as pd

    answers = []
    for row in listed(rows):
        for message in row["messages"]:
            if chatml.is_trained(message):
                # With its full stop, every answer would end in the same way.
                answers.append(message["content"].strip().rstrip("。！？!?.…”」』"))
    counts = {
        "opening": Counter(answer[:length] for answer in answers),
        "ending": Counter(answer[-length:] for answer in answers),
    }
    lines = []
    for where, counter in counts.items():
        for phrase, n in counter.most_common(top):
            share = n / len(answers)
            lines.append((where, phrase, n, share))
    return pd.DataFrame(lines, columns=["where", "phrase", "answers", "share"])


def figure(rows: Iterable[dict], *, max_tokens: int = 4096) -> "Figure":
    """Return four pictures in one figure: tokens per row, tokens read and learned, turns, lengths
    of the answers.

    Args:
        max_tokens: marked in the first picture where rows come near it.

    Raises:
        DataError: there are no rows.
    """
    import matplotlib.pyplot as plt

    rows = listed(rows)
    if not rows:
        raise DataError(zh="没有数据可画", en="there are no rows to draw")
    table = statistics(rows)
    # A text takes its fonts from the context in which it is made.
    with fonts.context():
        fig, axes = plt.subplots(2, 2, figsize=(8, 4.8), layout="constrained")
        _draw_tokens(axes[0, 0], table, max_tokens)
        _draw_learned(axes[0, 1], table)
        _draw_turns(axes[1, 0], table)
        _draw_answers(axes[1, 1], table)
    plt.close(fig)  # shown once, by the cell that returns it
    return fig


def _bins(table: "pd.DataFrame") -> int:
    return min(40, max(5, len(table) // 5))


def _rows() -> str:
    return fonts.tr("行数", "rows")


def _tokens() -> str:
    return fonts.tr("token 数", "tokens")


def _draw_tokens(axes: "Axes", table: "pd.DataFrame", max_tokens: int) -> None:
    median, longest = table.tokens.median(), table.tokens.max()
    axes.hist(table.tokens, bins=_bins(table), color=BLUE)
    title = fonts.tr(
        f"每行 token 数：中位数 {median:.0f}，最多 {longest}",
        f"tokens per row: median {median:.0f}, max {longest}",
    )
    axes.set(title=title, xlabel=_tokens(), ylabel=_rows())
    # Far from the limit, the line would only squeeze the bars into a corner.
    if longest > max_tokens / 2:
        over = int((table.tokens > max_tokens).sum())
        label = fonts.tr(f"max_tokens：{over} 行超出", f"max_tokens: {over} rows over")
        axes.axvline(max_tokens, color=RED, linestyle="--", label=label)
        axes.legend()


def _draw_learned(axes: "Axes", table: "pd.DataFrame") -> None:
    by_size = table.sort_values("tokens").reset_index(drop=True)
    read, whole = by_size.prompt_tokens, by_size.tokens
    read_only, learned = fonts.tr("只读一遍", "read only"), fonts.tr("要学", "learned")
    axes.fill_between(by_size.index, read, color=LIGHT_GREY, label=read_only)
    axes.fill_between(by_size.index, read, whole, color=ORANGE, label=learned)
    total = table.tokens.sum()
    share = table.trained_tokens.sum() / total
    title = fonts.tr(
        f"要学的占 {share:.0%}，共 {total:,} 个 token", f"learned: {share:.0%} of {total:,} tokens"
    )
    axes.set(title=title, xlabel=fonts.tr("行，由短到长", "rows, by size"), ylabel=_tokens())
    axes.legend(loc="upper left")


def _draw_turns(axes: "Axes", table: "pd.DataFrame") -> None:
    turns = table.turns.value_counts().sort_index()
    # As text, so that no half turns are on the axis.
    axes.bar(turns.index.astype(str), turns.to_numpy(), color=TEAL)
    title = fonts.tr("每段对话的轮数", "turns per conversation")
    axes.set(title=title, xlabel=fonts.tr("轮数", "turns"), ylabel=_rows())


def _draw_answers(axes: "Axes", table: "pd.DataFrame") -> None:
    characters = table.answer_characters
    median = characters.median()
    axes.hist(characters, bins=_bins(table), color=GREEN)
    title = fonts.tr(f"回答：中位数 {median:.0f} 个字", f"answer: median {median:.0f} characters")
    axes.set(title=title, xlabel=fonts.tr("字数", "characters"), ylabel=_rows())
