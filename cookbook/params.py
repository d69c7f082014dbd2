"""The seven hyperparameters of guide §3: ranges, presets, and what a choice means in steps and tokens.

Values at an end of a range that train nothing (`learning_rate` 0, `max_tokens` 0) or throw everything away
(`lora_dropout` 1) are refused with that reason; everything else in the guide's range is accepted. Nothing here talks
to a service.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from cookbook import tokens
from cookbook.errors import HyperparameterError, say


@dataclass(frozen=True)
class Range:
    """One row of the guide's parameter table."""

    low: float
    high: float
    suggested: float
    zh: str
    en: str
    refused: float | None = None
    refusal: tuple[str, str] = ("", "")


RANGES: dict[str, Range] = {
    "learning_rate": Range(
        0, 0.1, 1e-4,
        "学习速率：每一步走多远，太大会冲过头，太小学不动", "how far each step goes: too large overshoots, too small learns nothing",
        0, ("学习速率为 0，什么也学不到", "a learning rate of 0 learns nothing"),
    ),
    "n_epochs": Range(1, 10, 3, "训练轮数：全部数据看几遍", "how many times the whole file is read"),
    "batch_size": Range(1, 32, 8, "批次大小：看几条数据走一步", "rows per step"),
    "max_tokens": Range(
        0, 4096, 4096,
        "最大标记数：一条对话最多取多少 token，超出的部分学不到", "tokens taken of each conversation; the rest is not learned",
        0, ("最大标记数为 0，没有内容可学", "with max_tokens 0 there is nothing to learn"),
    ),
    "lora_rank": Range(1, 64, 8, "矩阵秩：补丁的容量", "capacity of the adapter"),
    "lora_alpha": Range(1, 128, 32, "缩放因子：补丁的音量，实际倍数是 alpha ÷ rank", "volume of the adapter: alpha ÷ rank"),
    "lora_dropout": Range(
        0, 1, 0.05,
        "随机丢弃率：训练时随机关掉一部分，防止死记", "share switched off at random while training, against rote learning",
        1, ("丢弃率为 1，补丁全部被丢掉", "with a dropout of 1 the whole adapter is thrown away"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Hyperparameters:
    """The seven values of guide §3, checked on creation.

    Raises:
        HyperparameterError: with the reason for every value that is out of its range.
    """

    learning_rate: float = 1e-4
    n_epochs: int = 3
    batch_size: int = 8
    max_tokens: int = 4096
    lora_rank: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.05

    def __post_init__(self):
        problems = {f.name: why for f in dataclasses.fields(self) if (why := refusal(f.name, getattr(self, f.name)))}
        if problems:
            raise HyperparameterError(problems)

    def to_dict(self) -> dict[str, float]:
        return dataclasses.asdict(self)

    def to_code(self) -> str:
        """The Python that makes this object, to paste into a project."""
        return "Hyperparameters(" + ", ".join(f"{k}={v!r}" for k, v in self.to_dict().items()) + ")"


WHOLE = tuple(f.name for f in dataclasses.fields(Hyperparameters) if f.type is int)
"""The names of the parameters that are whole numbers."""


def refusal(name: str, value: object) -> str | None:
    """Why `value` is not acceptable for the parameter `name`, in one sentence; None if it is."""
    rule = RANGES[name]
    whole = name in WHOLE
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not math.isfinite(value):
        kind = say("整数", "a whole number") if whole else say("数字", "a number")
        return say(f"{name} 应当是{kind}，收到的是 {value!r}", f"{name} must be {kind}, got {value!r}")
    if not rule.low <= value <= rule.high:
        return say(
            f"{name} = {value} 超出范围 {rule.low:g}–{rule.high:g}，建议 {rule.suggested:g}",
            f"{name} = {value} is out of range {rule.low:g}–{rule.high:g}; suggested is {rule.suggested:g}",
        )
    if value == rule.refused:
        return (
            f"{name} = {value}: " + say(*rule.refusal) + say(f"，建议 {rule.suggested:g}", f"; try {rule.suggested:g}")
        )
    return None


PRESETS: dict[str, Hyperparameters] = {
    "standard": Hyperparameters(),
    "quality": Hyperparameters(n_epochs=5, batch_size=16, lora_rank=16, lora_alpha=64, lora_dropout=0.1),
    "fast": Hyperparameters(n_epochs=2, lora_rank=4, lora_alpha=16),
}
PRESET_NAMES = {"standard": "标准方案", "quality": "效果优先", "fast": "轻量快速"}


@dataclass(frozen=True)
class Plan:
    """What a job will do. Tokens are Qwen2.5 tokens with the chat template; seconds and cost may be unknown."""

    train_rows: int
    validation_rows: int
    steps_per_epoch: int
    total_steps: int
    tokens: int
    learning_rate_used: float
    longest_row: int
    seconds: float | None = None
    cost: float | None = None

    def to_frame(self):
        """One row a fact, for display."""
        import pandas as pd

        return pd.DataFrame({"value": {k: v for k, v in dataclasses.asdict(self).items() if v is not None}})

    def _repr_html_(self) -> str:
        return self.to_frame().to_html()


def plan(
    rows: Sequence[dict],
    hp: Hyperparameters,
    *,
    validation: float = 0.1,
    learning_rate_scale: float = 1,
    tokens_per_second: float | None = None,
    price: float | None = None,
) -> Plan:
    """Steps, tokens, seconds and cost of training `rows` with `hp`.

    Args:
        validation: share of the rows held back (guide §2.2: 10 %).
        learning_rate_scale: the base's own factor (the tiny base has one, see its model card).
        tokens_per_second: measured speed of the machine; without it `seconds` is None.
        price: per million trained tokens, in any currency; without it `cost` is None.
    """
    lengths = [min(tokens.count(row["messages"]), hp.max_tokens) for row in rows]
    held_back = validation_rows(len(rows), validation)
    train_rows = len(rows) - held_back
    steps = math.ceil(train_rows / hp.batch_size)
    seen = round(sum(lengths) * train_rows / max(1, len(rows))) * hp.n_epochs
    return Plan(
        train_rows=train_rows,
        validation_rows=held_back,
        steps_per_epoch=steps,
        total_steps=steps * hp.n_epochs,
        tokens=seen,
        learning_rate_used=hp.learning_rate * learning_rate_scale,
        longest_row=max(lengths, default=0),
        seconds=seen / tokens_per_second if tokens_per_second else None,
        cost=seen * price / 1e6 if price is not None else None,
    )


def validation_rows(rows: int, share: float) -> int:
    """How many of `rows` are held back: the share, rounded, but at least one and never all, 0 for a share of 0."""
    return min(max(1, round(rows * share)), rows - 1) if share > 0 and rows > 1 else 0
