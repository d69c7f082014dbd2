"""Tokens and money: what a prompt costs, what a call costs, when a tuning job has paid for itself.

The platform shows the price of training and of fine-tuned models only in its console: those are the reader's to give.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cookbook import tokens
from cookbook.i18n import tr


def prompt_parts(system: str, user: str) -> dict[str, int]:
    """Where the tokens of a request come from; `total` is what `usage.prompt_tokens` reports."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    total = tokens.count_request(messages)
    parts = {"system": tokens.count(system), "user": tokens.count(user)}
    return parts | {"template": total - sum(parts.values()), "total": total}


def cost(answers, price: Mapping[str, float | None], *, calls: int = 10_000):
    """Mean tokens of a call, and the cost of `calls` such calls, of each column; a DataFrame.

    Args:
        price: yuan per million tokens for each column, input and output alike; None where it is not known.
    """
    table = answers.groupby("column", sort=False)[["prompt_tokens", "completion_tokens"]].mean()
    table["tokens"] = table.sum(axis=1)
    table["price"] = [
        math.nan if (p := price.get(name)) is None else float(p) for name in table.index
    ]
    table[f"cost_of_{calls}_calls"] = table.tokens * table.price * calls / 1e6
    return table


@dataclass(frozen=True)
class BreakEven:
    """When tuning has paid for itself. Tokens are those of one call; prices are yuan per million tokens."""

    tokens_before: float
    tokens_after: float
    price_before: float
    price_after: float | None
    training_cost: float | None

    @property
    def bearable(self) -> float:
        """How many times dearer a token may become before a call does."""
        return self.tokens_before / self.tokens_after

    @property
    def saved(self) -> float | None:
        """Yuan saved by each call; below 0 it costs more. None while the price is unknown."""
        if self.price_after is None:
            return None
        return (self.tokens_before * self.price_before - self.tokens_after * self.price_after) / 1e6

    @property
    def calls(self) -> int | None:
        """Calls until the training is paid for; None if it never is, or a figure is missing."""
        if self.saved is None or self.training_cost is None or self.saved <= 0:
            return None
        return math.ceil(self.training_cost / self.saved)

    def __str__(self) -> str:
        return tr(
            f"每次调用从 {self.tokens_before:.0f} 个 token 变成 {self.tokens_after:.0f} 个；{self._outcome()}。",
            f"{self.tokens_before:.0f} tokens a call become {self.tokens_after:.0f}; {self._outcome()}.",
        )

    def _outcome(self) -> str:
        if self.price_before == 0:
            return tr(
                "微调前是免费的，微调后不可能更便宜",
                "the base is free, so tuning cannot be cheaper",
            )
        if self.saved is None:
            return tr(
                f"微调后的单价不到微调前的 {self.bearable:.1f} 倍，每次调用就更便宜。单价还没有填，算不出何时回本",
                f"a call is cheaper while a tuned token costs less than {self.bearable:.1f} times as much. The price is not "
                "given, so neither is the break-even",
            )
        if self.saved <= 0:
            return tr(
                "按这个单价，每次调用并不更便宜，永远不回本",
                "at this price no call is cheaper: it never pays",
            )
        if self.calls is None:
            times = 1 / self.saved
            return tr(
                f"每 1 元训练费，调用 {times:,.0f} 次回本",
                f"{times:,.0f} calls for each yuan of training",
            )
        return tr(
            f"训练费 {self.training_cost:g} 元，调用 {self.calls:,} 次回本",
            f"training is paid for after {self.calls:,} calls",
        )

    __repr__ = __str__


def break_even(
    answers,
    before: str,
    after: str,
    *,
    price_before: float,
    price_after: float | None,
    training_cost: float | None = None,
) -> BreakEven:
    """When replacing column `before` by column `after` has paid for itself."""
    used = (answers.prompt_tokens + answers.completion_tokens).groupby(answers["column"]).mean()
    return BreakEven(
        float(used[before]), float(used[after]), price_before, price_after, training_cost
    )
