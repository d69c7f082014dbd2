"""The seven hyperparameters of guide §3: ranges, presets, and what a choice means in steps and tokens.

Values at an end of a range that train nothing (`learning_rate` 0, `max_tokens` 0) or throw everything away
(`lora_dropout` 1) are refused with that reason; everything else in the guide's range is accepted. Nothing here talks
to a service.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from cookbook import bases, tokens
from cookbook.bases import Base
from cookbook.errors import HyperparameterError
from cookbook.i18n import tr


@dataclass(frozen=True)
class Range:
    """One row of the guide's parameter table."""

    low: float
    high: float
    suggested: float
    label: str
    zh: str
    en: str
    refused: float | None = None
    refusal: tuple[str, str] = ("", "")


RANGES: dict[str, Range] = {
    "learning_rate": Range(
        0, 0.1, 1e-4,
        "学习速率", "每一步走多远，太大会冲过头，太小学不动", "how far each step goes: too large overshoots, too small learns nothing",
        0, ("学习速率为 0，什么也学不到", "a learning rate of 0 learns nothing"),
    ),
    "n_epochs": Range(1, 10, 3, "训练轮数", "全部数据看几遍", "how many times the whole file is read"),
    "batch_size": Range(1, 32, 8, "批次大小", "看几条数据走一步", "rows per step"),
    "max_tokens": Range(
        0, 4096, 4096,
        "最大标记数", "一条对话最多取多少 token，超出的部分学不到", "tokens taken of each conversation; the rest is not learned",
        0, ("最大标记数为 0，没有内容可学", "with max_tokens 0 there is nothing to learn"),
    ),
    "lora_rank": Range(1, 64, 8, "矩阵秩", "补丁的容量：越大，训练的权重越多", "capacity of the adapter: a higher rank trains more weights"),
    "lora_alpha": Range(1, 128, 32, "缩放因子", "补丁的音量，实际倍数是 alpha ÷ rank", "volume of the adapter: alpha ÷ rank"),
    "lora_dropout": Range(
        0, 1, 0.05,
        "随机丢弃率", "训练时随机关掉一部分，防止死记", "share switched off at random while training, against rote learning",
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
        problems = {
            f.name: why
            for f in dataclasses.fields(self)
            if (why := refusal(f.name, getattr(self, f.name)))
        }
        if problems:
            raise HyperparameterError(problems)

    def to_dict(self) -> dict[str, float]:
        return dataclasses.asdict(self)

    def to_code(self) -> str:
        """The Python that makes this object, to paste into a project."""
        return "Hyperparameters(" + ", ".join(f"{k}={v!r}" for k, v in self.to_dict().items()) + ")"

    @property
    def scaling(self) -> float:
        """What the adapter's output is multiplied by: alpha ÷ rank."""
        return self.lora_alpha / self.lora_rank


WHOLE = tuple(f.name for f in dataclasses.fields(Hyperparameters) if f.type is int)
"""The names of the parameters that are whole numbers."""


VALIDATION = Range(
    0, 0.99, 0.1,
    "验证集比例", "从训练数据里留出多少，只用来检查，不用来学", "share of the rows held back: for checking, not for learning",
)  # fmt: skip
"""The share of guide §2.2."""
DEFAULT_SEED = 42


def refusal(name: str, value: object) -> str | None:
    """Why `value` is not acceptable for the parameter `name`, in one sentence; None if it is."""
    rule = VALIDATION if name == "validation" else RANGES[name]
    whole = name in WHOLE
    if (
        isinstance(value, bool)
        or not isinstance(value, int if whole else (int, float))
        or not math.isfinite(value)
    ):
        kind = tr("整数", "a whole number") if whole else tr("数字", "a number")
        return tr(
            f"{name} 应当是{kind}，收到的是 {value!r}", f"{name} must be {kind}, got {value!r}"
        )
    if not rule.low <= value <= rule.high:
        return tr(
            f"{name} = {value} 超出范围 {rule.low:g}–{rule.high:g}，建议 {rule.suggested:g}",
            f"{name} = {value} is out of range {rule.low:g}–{rule.high:g}; suggested is {rule.suggested:g}",
        )
    if value == rule.refused:
        return (
            f"{name} = {value}: "
            + tr(*rule.refusal)
            + tr(f"，建议 {rule.suggested:g}", f"; try {rule.suggested:g}")
        )
    return None


PRESETS: dict[str, Hyperparameters] = {
    "standard": Hyperparameters(),
    "quality": Hyperparameters(
        n_epochs=5, batch_size=16, lora_rank=16, lora_alpha=64, lora_dropout=0.1
    ),
    "fast": Hyperparameters(n_epochs=2, lora_rank=4, lora_alpha=16),
}
PRESET_NAMES = {"standard": "标准方案", "quality": "效果优先", "fast": "轻量快速"}


@dataclass(frozen=True)
class Plan:
    """What a job will do. Tokens are Qwen2.5 tokens with the chat template; seconds and cost may be unknown.

    `cut_rows` is the number of rows that are longer than `max_tokens`.
    """

    train_rows: int
    validation_rows: int
    steps_per_epoch: int
    total_steps: int
    tokens: int
    learning_rate_used: float
    longest_row: int
    cut_rows: int = 0
    seconds: float | None = None
    cost: float | None = None

    def to_frame(self):
        """One row a fact, for display."""
        import pandas as pd

        return pd.DataFrame(
            {"value": {k: v for k, v in dataclasses.asdict(self).items() if v is not None}}
        )

    def _repr_html_(self) -> str:
        return self.to_frame().to_html()


def token_counts(rows: Sequence[dict] | Sequence[int]) -> list[int]:
    """Tokens of each row, to count once and plan often; counts are given back as they are."""
    if all(isinstance(row, int) for row in rows):
        return list(rows)
    return [c.total for c in tokens.count_conversations(row["messages"] for row in rows)]


def plan(
    rows: Sequence[dict] | Sequence[int],
    hp: Hyperparameters,
    *,
    validation: float | Sequence = 0.1,
    base: str | Base | None = None,
    tokens_per_second: float | None = None,
    price: float | None = None,
) -> Plan:
    """Steps, tokens, seconds and cost of training `rows` with `hp`.

    Args:
        rows: the rows, or their `token_counts`.
        validation: share of the rows held back (guide §2.2: 10 %), or the rows of a validation file.
        base: the base model, by name or card: its learning-rate scale is applied, and its measured speed is used.
        tokens_per_second: the speed to expect, in place of the measured one; with neither, `seconds` is None.
        price: per million trained tokens, in any currency; without it `cost` is None.
    """
    counts = token_counts(rows)
    known = bases.card(base) if isinstance(base, str) else base
    scale = known.learning_rate_scale if known else 1.0
    if tokens_per_second is None and known:
        tokens_per_second = known.tokens_per_second
    share = isinstance(validation, int | float)
    held_back = validation_rows(len(counts), validation) if share else len(validation)
    train_rows = len(counts) - held_back if share else len(counts)
    steps = math.ceil(train_rows / hp.batch_size)
    lengths = [min(n, hp.max_tokens) for n in counts]
    seen = round(sum(lengths) * train_rows / max(1, len(counts))) * hp.n_epochs
    return Plan(
        train_rows=train_rows,
        validation_rows=held_back,
        steps_per_epoch=steps,
        total_steps=steps * hp.n_epochs,
        tokens=seen,
        learning_rate_used=hp.learning_rate * scale,
        longest_row=max(counts, default=0),
        cut_rows=sum(n > hp.max_tokens for n in counts),
        seconds=seen / tokens_per_second if tokens_per_second else None,
        cost=seen * price / 1e6 if price is not None else None,
    )


def suggest_max_tokens(rows: Sequence[dict] | Sequence[int]) -> int:
    """The next multiple of 64 above the longest row, at most 4096 (guide §3: by the real length of the conversations).

    Args:
        rows: the rows, or their `token_counts`.
    """
    return min(64 * (max(token_counts(rows), default=0) // 64 + 1), int(RANGES["max_tokens"].high))


HIGH_RATE, FEW_STEPS, FEW_ROWS, MANY_EPOCHS = 0.01, 20, 100, 5
"""From where on a choice is risky. Guide §4.1 advises 100 rows; no preset has more than 5 epochs; the other two are rules
of thumb."""


def warnings(hp: Hyperparameters, plan: Plan | None = None) -> list[tuple[str, str]]:
    """What is allowed but risky, as (parameter, reason with a remedy); without a plan, what `hp` alone shows."""
    risks = [
        (
            hp.lora_rank > hp.lora_alpha, "lora_alpha",
            f"lora_rank {hp.lora_rank} 大于 lora_alpha {hp.lora_alpha}：补丁只有 {hp.scaling:.2g} 倍，容易学不动。三套方案都是 4 倍",
            f"lora_rank {hp.lora_rank} is over lora_alpha {hp.lora_alpha}: the adapter counts {hp.scaling:.2g} times and may "
            "learn too little; in every preset it counts 4 times",
        ),
        (
            hp.learning_rate >= HIGH_RATE, "learning_rate",
            f"学习速率 {hp.learning_rate:g} 很大，loss 可能乱跳甚至发散。先用 0.0001",
            f"a learning rate of {hp.learning_rate:g} is high: the loss may jump or diverge. Begin with 0.0001",
        ),
    ]  # fmt: skip
    risks += _risks_with_rows(hp, plan) if plan else []
    return [(name, tr(zh, en)) for risky, name, zh, en in risks if risky]


def _risks_with_rows(hp: Hyperparameters, plan: Plan) -> list[tuple[bool, str, str, str]]:
    rows = plan.train_rows
    return [
        (
            hp.n_epochs > MANY_EPOCHS and rows < FEW_ROWS, "n_epochs",
            f"{rows} 条数据看 {hp.n_epochs} 轮，容易死记硬背。减少轮数，或补充数据",
            f"{hp.n_epochs} epochs on {rows} rows invite rote learning. Take fewer epochs or add rows",
        ),
        (
            hp.batch_size > rows, "batch_size",
            f"批次 {hp.batch_size} 比训练数据还多（{rows} 条），一轮只走一步。调小批次",
            f"a batch of {hp.batch_size} is larger than the {rows} training rows: one step an epoch. Make it smaller",
        ),
        (
            plan.total_steps < FEW_STEPS, "batch_size",
            f"一共只走 {plan.total_steps} 步，多半学不会。调小批次、增加轮数，或补充数据",
            f"only {plan.total_steps} steps in all will hardly teach it. Smaller batches, more epochs or more rows",
        ),
        (
            plan.cut_rows > 0, "max_tokens",
            f"{plan.cut_rows} 条数据比 {hp.max_tokens} 个 token 长，结尾学不到。最长的有 {plan.longest_row} 个",
            f"{plan.cut_rows} rows are longer than {hp.max_tokens} tokens: their ends are not learned. The longest has "
            f"{plan.longest_row}",
        ),
        (
            plan.validation_rows == 0, "validation",
            "没有留出验证数据，看不出有没有学过头。留 10%，或另给一个验证文件",
            "no rows are held back, so overfitting will not show. Hold back 10 % or give a validation file",
        ),
    ]  # fmt: skip


def validation_rows(rows: int, share: float) -> int:
    """How many of `rows` are held back: the share, rounded, but at least one and never all, 0 for a share of 0."""
    return min(max(1, round(rows * share)), rows - 1) if share > 0 and rows > 1 else 0
