"""Estimate what drafts take before anything is asked: tokens, and yuan where the price is known.

The prompt is counted with Qwen2.5's vocabulary: exact for models that share it, close for others.
Of the answers only the upper limit is known, `max_tokens`; whether a platform bills the thoughts of
a reasoning model beyond it is not known here. Prices are those of the platform, with their date;
for a model without a known price none is invented.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cookbook import siliconcloud, tokens
from cookbook.compare.send import messages
from cookbook.html import template
from cookbook.i18n import tr
from cookbook.synthesize.drafts import check_arguments, checked_inputs
from cookbook.terminal import printable

PER_MILLION = 1e6  # prices are yuan per million tokens


@dataclass(frozen=True)
class Estimate:
    """What drafts take: `completion_tokens` and `yuan` are upper limits.

    `yuan` is one as far as the model counts the prompt as Qwen2.5 does. It is None where the price
    is not known; then so are `date` and `source`.
    """

    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    yuan: float | None
    date: str | None
    source: str | None
    batch: bool

    def __str__(self) -> str:
        return printable(f"{self._tokens()}\n{self._price()}")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        source = "<p>{{ tokens }}<br><b>{{ price }}</b></p>"
        return template(source).render(tokens=self._tokens(), price=self._price())

    def _tokens(self) -> str:
        return tr(
            f"{self.requests} 条请求：输入 {self.prompt_tokens:,} 个 token"
            f"（按 Qwen2.5 的词表数），输出至多 {self.completion_tokens:,} 个。",
            f"{self.requests} requests: {self.prompt_tokens:,} prompt tokens (counted with "
            f"Qwen2.5's vocabulary), at most {self.completion_tokens:,} in the answers.",
        )

    def _price(self) -> str:
        if self.yuan is None:
            kind = tr("批量价", "batch price") if self.batch else tr("单价", "price")
            return tr(
                f"没有 {self.model} 的{kind}记录：云上的价格看控制台；自己机器上的服务不收钱。",
                f"No {kind} of {self.model} is recorded: see the platform's console; a service on "
                "your own machine charges nothing.",
            )
        price = tr(
            f"至多 {self.yuan:.2f} 元（{self.model}，{self.date} 的价格；{self.source}）。",
            f"At most ¥{self.yuan:.2f} ({self.model}, prices of {self.date}; {self.source}).",
        )
        if not self.batch:
            return price
        paid = tr(*siliconcloud.BATCH_BALANCE)
        return tr(f"{price}{paid}。", f"{price} On the platform {paid}.")


def estimate(
    model: str,
    prompt: str,
    inputs: Sequence[str],
    *,
    n: int = 4,
    max_tokens: int = 256,
    batch: bool = False,
) -> Estimate:
    """Return what `drafts` with the same arguments takes, before anything is asked.

    Raises:
        ArgumentError: an argument cannot be used.
    """
    texts = checked_inputs(inputs)
    check_arguments(model, prompt, n)
    prompt_tokens = n * sum(tokens.count_request(messages(prompt, text)) for text in texts)
    requests = n * len(texts)
    completion_tokens = requests * max_tokens
    price = siliconcloud.writer_price(model, batch=batch)
    yuan = None
    if price is not None:
        total = prompt_tokens * price.input + completion_tokens * price.output
        # Rounded up to a fen: it is a limit.
        yuan = math.ceil(total / PER_MILLION * 100) / 100
    return Estimate(
        model=model,
        requests=requests,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        yuan=yuan,
        date=price.date if price else None,
        source=price.source if price else None,
        batch=batch,
    )
