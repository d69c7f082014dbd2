"""Count tokens and money: what a call costs, and when fine-tuning has paid for itself.

The platform shows the price of training and of fine-tuned models only in its console, so the reader
passes those. The base models' prices are in `cookbook.siliconcloud`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cookbook import tokens
from cookbook.i18n import tr

if TYPE_CHECKING:
    import pandas as pd

PER_MILLION = 1e6  # prices are yuan per million tokens


def prompt_parts(system: str, user: str) -> dict[str, int]:
    """Return where a request's tokens come from; `total` is what `usage.prompt_tokens` reports.

    `template` counts what the chat template adds: role names, special tokens, the opened answer.
    """
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    total = tokens.count_request(messages)
    parts = {"system": tokens.count(system), "user": tokens.count(user)}
    template = total - sum(parts.values())
    return parts | {"template": template, "total": total}


def cost(
    answers: "pd.DataFrame", price: Mapping[str, float | None], *, calls: int = 10_000
) -> "pd.DataFrame":
    """Return the mean tokens of a call and the cost of `calls` such calls in yuan, by column.

    Args:
        answers: what `ask` returned.
        price: yuan per million tokens of each column, input and output alike; None or missing where
            unknown.
    """
    table = answers.groupby("column", sort=False)[["prompt_tokens", "completion_tokens"]].mean()
    # One sum, since the platform charges the same for input and output of these models.
    table["tokens"] = table["prompt_tokens"] + table["completion_tokens"]
    # NaN, not 0: an unknown price must not look like a free model.
    prices = [price.get(str(name)) for name in table.index]
    table["price"] = [math.nan if known is None else float(known) for known in prices]
    table[f"cost_of_{calls}_calls"] = table["tokens"] * table["price"] * calls / PER_MILLION
    return table


@dataclass(frozen=True)
class BreakEven:
    """When fine-tuning has paid for itself.

    Tokens are those of one call, prices are yuan per million tokens, `training_cost` is yuan.
    """

    tokens_before: float
    tokens_after: float
    price_before: float
    price_after: float | None
    training_cost: float | None

    @property
    def break_even_ratio(self) -> float:
        """Return how many times the price of a token may rise before a call costs more."""
        return self.tokens_before / self.tokens_after

    @property
    def saved(self) -> float | None:
        """Return the yuan that a call saves, below 0 if it costs more; None without a price."""
        if self.price_after is None:
            return None
        cost_before = self.tokens_before * self.price_before
        cost_after = self.tokens_after * self.price_after
        return (cost_before - cost_after) / PER_MILLION

    @property
    def calls(self) -> int | None:
        """Return the calls that pay for the training; None if never or not known."""
        # Paid for once the sum saved reaches the cost of the training.
        if self.saved is None or self.training_cost is None or self.saved <= 0:
            return None
        return math.ceil(self.training_cost / self.saved)

    def __str__(self) -> str:
        before, after = self.tokens_before, self.tokens_after
        outcome = self._outcome()
        return tr(
            f"每次调用从 {before:.0f} 个 token 变成 {after:.0f} 个；{outcome}。",
            f"A call takes {after:.0f} tokens instead of {before:.0f}; {outcome}.",
        )

    __repr__ = __str__

    def _outcome(self) -> str:
        # Asked first: no ratio of prices means anything where one of them is 0.
        if self.price_before == 0:
            return tr(
                "微调前是免费的，微调后不可能更便宜",
                "the base is free, so fine-tuning cannot be cheaper",
            )
        if self.saved is None:
            ratio = self.break_even_ratio
            return tr(
                f"微调后的单价不到微调前的 {ratio:.1f} 倍，每次调用就更便宜。"
                "单价还没有填，算不出何时回本",
                f"a call is cheaper while a token costs less than {ratio:.1f} times as much as "
                "before. The price is not given, so the break-even point is unknown",
            )
        if self.saved <= 0:
            return tr(
                "按这个单价，每次调用并不更便宜，永远不回本",
                "at this price a call is not cheaper: it never pays",
            )
        # Still true without the cost of the training, which only the console shows.
        if self.calls is None:
            calls = 1 / self.saved
            return tr(
                f"每 1 元训练费，调用 {calls:,.0f} 次回本",
                f"each yuan of training is paid for after {calls:,.0f} calls",
            )
        return tr(
            f"训练费 {self.training_cost:g} 元，调用 {self.calls:,} 次回本",
            f"training is paid for after {self.calls:,} calls",
        )


def break_even(
    answers: "pd.DataFrame",
    before: str,
    after: str,
    *,
    price_before: float,
    price_after: float | None,
    training_cost: float | None = None,
) -> BreakEven:
    """Return when replacing column `before` by column `after` has paid for itself.

    Args:
        answers: what `ask` returned.
        price_before: yuan per million tokens of column `before`, input and output alike.
        price_after: the same of column `after`; None where it is not known.
        training_cost: yuan; None where it is not known.
    """
    total = answers["prompt_tokens"] + answers["completion_tokens"]
    per_call = total.groupby(answers["column"]).mean()
    return BreakEven(
        tokens_before=float(per_call[before]),
        tokens_after=float(per_call[after]),
        price_before=price_before,
        price_after=price_after,
        training_cost=training_cost,
    )
