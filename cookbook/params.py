"""The seven hyperparameters of guide §3: ranges, presets, and what a choice means in steps.

    hp = PRESETS["standard"]                 or Hyperparameters(learning_rate=3e-5, …)
    plan(rows, hp, base=service.base_model)  steps, tokens, seconds, cost and memory
    warnings(hp, plan)                       what is allowed but risky

Values at an end of a range that train nothing (`learning_rate` 0, `max_tokens` 0) or destroy
everything (`lora_dropout` 1) are refused with that reason; everything else in the guide's range is
accepted. Nothing here asks a service.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard, cast

from cookbook import bases, machine, memory, tokens
from cookbook.bases import Base
from cookbook.duration import duration
from cookbook.errors import HyperparameterError
from cookbook.i18n import tr
from cookbook.machine import in_gb
from cookbook.memory import MemoryPlan

if TYPE_CHECKING:
    import pandas as pd

# Training rows: {"messages": [{"role": …, "content": …}, …]}
Rows = Sequence[dict[str, Any]]

# A parameter, and why its value is risky, with a remedy.
Risk = tuple[str, str]

# The seed of a job that names none.
DEFAULT_SEED = 42

# What a whole task name (`suffix`) must match: it becomes a part of the model's name. SiliconCloud
# documents no rule, but every name seen there follows this one; the embedded service requires it.
TASK_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Range:
    """One row of the guide's parameter table.

    Attributes:
        low: the smallest value; accepted, unless it is `refused`.
        high: the largest value; accepted, unless it is `refused`.
        suggested: the guide's default.
        label_zh: the parameter's name in the Chinese guide.
        label_en: its name in English.
        zh: what the parameter does, in Chinese.
        en: the same in English.
        refused: the value inside the range that no training can use; None if there is none.
        refused_zh: why, in Chinese.
        refused_en: why, in English.
    """

    low: float
    high: float
    suggested: float
    label_zh: str
    label_en: str
    zh: str
    en: str
    refused: float | None = None
    refused_zh: str = ""
    refused_en: str = ""

    @property
    def label(self) -> str:
        """Return the parameter's name in the reader's language."""
        return tr(self.label_zh, self.label_en)

    @property
    def meaning(self) -> str:
        """Return what the parameter does, in the reader's language."""
        return tr(self.zh, self.en)


RANGES: dict[str, Range] = {
    "learning_rate": Range(
        low=0,
        high=0.1,
        suggested=1e-4,
        label_zh="学习速率",
        label_en="learning rate",
        zh="每一步走多远，太大会冲过头，太小学不动",
        en="step size: too large overshoots, too small stalls",
        refused=0,
        refused_zh="学习速率为 0，什么也学不到",
        refused_en="a learning rate of 0 learns nothing",
    ),
    "n_epochs": Range(
        low=1,
        high=10,
        suggested=3,
        label_zh="训练轮数",
        label_en="epochs",
        zh="全部数据看几遍",
        en="how many times the whole file is read",
    ),
    "batch_size": Range(
        low=1,
        high=32,
        suggested=8,
        label_zh="批次大小",
        label_en="batch size",
        zh="看几条数据走一步",
        en="rows per step",
    ),
    "max_tokens": Range(
        low=0,
        high=4096,
        suggested=4096,
        label_zh="最大标记数",
        label_en="maximum tokens",
        zh="一条对话最多取多少 token，超出的部分学不到",
        en="tokens read of a row at most; no more is learned",
        refused=0,
        refused_zh="最大标记数为 0，没有内容可学",
        refused_en="with max_tokens 0 there is nothing to learn",
    ),
    "lora_rank": Range(
        low=1,
        high=64,
        suggested=8,
        label_zh="矩阵秩",
        label_en="rank of the matrices",
        zh="LoRA 适配器（也叫 LoRA 补丁）的容量：秩越大，训练的权重越多",
        en="adapter's capacity: a higher rank, more weights",
    ),
    "lora_alpha": Range(
        low=1,
        high=128,
        suggested=32,
        label_zh="缩放因子",
        label_en="scaling factor",
        zh="适配器的强度，实际倍数是 alpha ÷ rank",
        en="adapter's strength: its output × alpha ÷ rank",
    ),
    "lora_dropout": Range(
        low=0,
        high=1,
        suggested=0.05,
        label_zh="随机丢弃率",
        label_en="dropout rate",
        zh="训练时随机关掉一部分，防止死记",
        en="share switched off at random, against overfitting",
        refused=1,
        refused_zh="丢弃率为 1，适配器全部被丢掉",
        refused_en="with a dropout of 1 the whole adapter is thrown away",
    ),
}

# The share of the rows that is held out to check the model on (guide §2.2).
VALIDATION = Range(
    low=0,
    high=0.99,
    suggested=0.1,
    label_zh="验证集比例",
    label_en="validation share",
    zh="从训练数据里留出多少，只用来检查，不用来学",
    en="share of the rows held out: used to check the model, not to train it",
)


@dataclass(frozen=True)
class Hyperparameters:
    """The seven values of guide §3, checked on creation.

    Raises:
        HyperparameterError: with the reason for every value that is not acceptable.
    """

    learning_rate: float = 1e-4
    n_epochs: int = 3
    batch_size: int = 8
    max_tokens: int = 4096
    lora_rank: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.05

    def __post_init__(self) -> None:
        # All are checked, so that one bad value never hides another.
        problems = {}
        for name, value in self.to_dict().items():
            reason = problem(name, value)
            if reason is not None:
                problems[name] = reason
        if problems:
            raise HyperparameterError(problems)

    def to_dict(self) -> dict[str, float]:
        """Return the values by name, in the guide's order."""
        return dataclasses.asdict(self)

    def to_code(self) -> str:
        """Return the Python that makes this object, to paste into a project."""
        arguments = [f"{name}={value!r}" for name, value in self.to_dict().items()]
        return f"Hyperparameters({', '.join(arguments)})"

    @property
    def scaling(self) -> float:
        """Return what the adapter's output is multiplied by: alpha ÷ rank."""
        return self.lora_alpha / self.lora_rank


PARAMETERS = tuple(f.name for f in dataclasses.fields(Hyperparameters))
"""The names of all seven."""

# The names of the parameters that must be whole numbers.
INTEGER_PARAMETERS = tuple(f.name for f in dataclasses.fields(Hyperparameters) if f.type is int)


def problem(name: str, value: object) -> str | None:
    """Return why `value` is not acceptable, in one sentence; None if it is.

    Args:
        name: a hyperparameter, or `validation` for the share of the rows held out.
    """
    limits = VALIDATION if name == "validation" else RANGES[name]
    whole = name in INTEGER_PARAMETERS
    if not _is_number(value, whole=whole):
        kind = tr("整数", "a whole number") if whole else tr("数字", "a number")
        return tr(
            f"{name} 应当是{kind}，收到的是 {shortened(value)}",
            f"{name} must be {kind}, got {shortened(value)}",
        )
    advice = f"{limits.suggested:g}"
    if not limits.low <= value <= limits.high:
        ends = f"{limits.low:g}–{limits.high:g}"
        return tr(
            f"{name} = {value} 超出范围 {ends}，建议 {advice}",
            f"{name} = {value} is out of range {ends}; suggested is {advice}",
        )
    if value == limits.refused:
        return tr(
            f"{name} = {value}: {limits.refused_zh}，建议 {advice}",
            f"{name} = {value}: {limits.refused_en}; try {advice}",
        )
    return None


def _is_number(value: object, *, whole: bool) -> TypeGuard[int | float]:
    # True and False are ints to Python, but not to a reader.
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return not whole and math.isfinite(value)
    return isinstance(value, int)


# The three presets of guide §3.
PRESETS: dict[str, Hyperparameters] = {
    "standard": Hyperparameters(),
    "quality": Hyperparameters(
        n_epochs=5,
        batch_size=16,
        lora_rank=16,
        lora_alpha=64,
        lora_dropout=0.1,
    ),
    "fast": Hyperparameters(n_epochs=2, lora_rank=4, lora_alpha=16),
}


class _PresetNames(Mapping[str, str]):
    """The presets' names; each is read in the reader's language, which may change."""

    _CHINESE: ClassVar = {"standard": "标准方案", "quality": "效果优先", "fast": "轻量快速"}

    def __getitem__(self, key: str) -> str:
        return tr(self._CHINESE[key], key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._CHINESE)

    def __len__(self) -> int:
        return len(self._CHINESE)


PRESET_NAMES = _PresetNames()
"""What the guide calls the presets."""


@dataclass(frozen=True)
class Plan:
    """What a job will do.

    Attributes:
        train_rows: rows that are learned.
        validation_rows: rows that are only checked.
        steps_per_epoch: optimizer steps in one pass over the training rows.
        total_steps: optimizer steps of the whole job.
        tokens: Qwen2.5 tokens read in all epochs, the chat template's included.
        learning_rate_used: the learning rate times the base's scale.
        longest_row: tokens of the longest row, uncut.
        cut_rows: rows that are longer than `max_tokens`.
        seconds: expected duration; None where no speed is known.
        cost: in the currency of the price; None without one.
        memory: what training needs and how it is made to fit; None where the base's sizes are not
            known, and for a platform.
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
    memory: MemoryPlan | None = None

    @property
    def time(self) -> str:
        """Return the expected duration in words."""
        return duration(self.seconds)

    @property
    def expected(self) -> str:
        """Return steps and time in a sentence; where no speed is known, it says so."""
        steps = tr(f"共 {self.total_steps:,} 步", f"{self.total_steps:,} steps")
        if self.seconds is None:
            unknown = tr(
                "这个基础模型还没有训练过，要多久还不知道；开始以后会显示剩余时间",
                "how long they take is not known before a first job on this base; "
                "the time left is shown once it runs",
            )
            return tr(f"{steps}。{unknown}", f"{steps}: {unknown}")
        return tr(
            f"{steps}，按上一次训练的速度约 {self.time}",
            f"{steps}, about {self.time} at the speed of the last job",
        )

    def to_frame(self) -> "pd.DataFrame":
        """Return the known values, one a row, in the column `value`."""
        import pandas as pd

        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.memory is not None:
            values["memory"] = in_gb(self.memory.needed)
        known = {name: value for name, value in values.items() if value is not None}
        # As objects, so that whole numbers are not shown with the decimals of the others.
        return pd.Series(known, dtype=object).to_frame("value")

    def _repr_html_(self) -> str:
        return self.to_frame().to_html()


def token_counts(rows: Rows | Sequence[int]) -> list[int]:
    """Return the tokens of each row, to count once and plan often; counts stay as they are."""
    from cookbook.data.rows import listed  # `cookbook.data` imports this module

    if isinstance(rows, list | tuple) and all(isinstance(row, int) for row in rows):
        return list(cast("Sequence[int]", rows))
    conversations = (row["messages"] for row in listed(cast("Rows", rows)))
    return [counted.total for counted in tokens.count_conversations(conversations)]


def plan(
    rows: Rows | Sequence[int],
    hp: Hyperparameters,
    *,
    base: str | Base | None = None,
    validation: float | Sequence[Any] = VALIDATION.suggested,
    tokens_per_second: float | None = None,
    price: float | None = None,
) -> Plan:
    """Return steps, tokens, seconds, cost and memory of training `rows` with `hp`.

    Args:
        rows: the rows, or their `token_counts`.
        base: the base model, by name or card: its learning-rate scale is applied, and the card's
            measured speed is used. A name brings no speed; `bases.card(name, client)` asks for it,
            and for the memory of a service on another machine.
        validation: share of the rows held out (guide §2.2: 10 %), or the rows of a validation
            file.
        tokens_per_second: the speed to expect, in place of the card's; with neither, `seconds` is
            None.
        price: per million trained tokens, in any currency; without it `cost` is None.
    """
    counts = token_counts(rows)
    card = bases.card(base) if isinstance(base, str) else base
    if card is not None and tokens_per_second is None:
        tokens_per_second = card.tokens_per_second

    # A share is taken out of the training rows; a validation file leaves them whole.
    if isinstance(validation, int | float):
        held_back = validation_rows(len(counts), validation)
        train_rows = len(counts) - held_back
    else:
        held_back = len(validation)
        train_rows = len(counts)
    steps_per_epoch = math.ceil(train_rows / hp.batch_size)

    # Which rows will be held out is not known here, so each row counts as an average one.
    tokens_of_all = sum(min(count, hp.max_tokens) for count in counts)
    tokens_per_epoch = round(tokens_of_all * train_rows / max(1, len(counts)))
    tokens_read = tokens_per_epoch * hp.n_epochs
    return Plan(
        train_rows=train_rows,
        validation_rows=held_back,
        steps_per_epoch=steps_per_epoch,
        total_steps=steps_per_epoch * hp.n_epochs,
        tokens=tokens_read,
        learning_rate_used=hp.learning_rate * (card.learning_rate_scale if card else 1.0),
        longest_row=max(counts, default=0),
        cut_rows=sum(count > hp.max_tokens for count in counts),
        seconds=tokens_read / tokens_per_second if tokens_per_second else None,
        cost=None if price is None else tokens_read * price / 1e6,
        memory=_memory_plan(counts, hp, card),
    )


def _memory_plan(counts: list[int], hp: Hyperparameters, card: Base | None) -> MemoryPlan | None:
    """Return how training is made to fit where it will run: where the card says, else here."""
    if card is None or card.shape is None or card.trains_elsewhere or not counts:
        return None
    where = card.machine or machine.here()
    return memory.choose_workers(card.shape, counts, hp.to_dict(), where)


def validation_rows(rows: int, share: float) -> int:
    """Return how many of `rows` are held out for validation.

    That is the share, rounded, but at least one and never all; 0 for a share of 0.
    """
    if share <= 0 or rows <= 1:
        return 0
    rounded = round(rows * share)
    return min(max(1, rounded), rows - 1)


def suggest_max_tokens(rows: Rows | Sequence[int]) -> int:
    """Return the next multiple of 64 above the longest row, at most 4096.

    Guide §3 advises to choose it by the real length of the conversations.

    Args:
        rows: the rows, or their `token_counts`.
    """
    longest = max(token_counts(rows), default=0)
    above = 64 * (longest // 64 + 1)
    return min(above, int(RANGES["max_tokens"].high))


# From these values on a choice is risky. Guide §4.1 advises 100 rows; no preset has more than
# 5 epochs; the other two are rules of thumb.
HIGH_LEARNING_RATE = 0.01
FEW_STEPS = 20
FEW_ROWS = 100
MANY_EPOCHS = 5


def warnings(hp: Hyperparameters, plan: Plan | None = None) -> list[Risk]:
    """Return what is allowed but risky, as (parameter, reason with a remedy).

    Without a plan only what `hp` alone shows is found.
    """
    risks = list(_risks_of_values(hp))
    if plan is not None:
        risks += _risks_with_rows(hp, plan)
    return risks


def _risks_of_values(hp: Hyperparameters) -> Iterator[Risk]:
    rank, alpha = hp.lora_rank, hp.lora_alpha
    if rank > alpha:
        times = f"{hp.scaling:.2g}"
        reason = tr(
            f"lora_rank {rank} 大于 lora_alpha {alpha}："
            f"适配器只有 {times} 倍，容易学不动。三套方案都是 4 倍",
            f"lora_rank {rank} is larger than lora_alpha {alpha}: the adapter's output is "
            f"multiplied by only {times}, and it may learn too little. "
            "Every preset multiplies by 4",
        )
        yield "lora_alpha", reason
    if hp.learning_rate >= HIGH_LEARNING_RATE:
        rate = f"{hp.learning_rate:g}"
        reason = tr(
            f"学习速率 {rate} 很大，loss 可能乱跳甚至发散。先用 0.0001",
            f"a learning rate of {rate} is high: the loss may jump or diverge. Start with 0.0001",
        )
        yield "learning_rate", reason


def _risks_with_rows(hp: Hyperparameters, plan: Plan) -> Iterator[Risk]:
    rows, steps = plan.train_rows, plan.total_steps
    if hp.n_epochs > MANY_EPOCHS and rows < FEW_ROWS:
        reason = tr(
            f"{rows} 条数据看 {hp.n_epochs} 轮，容易死记硬背。减少轮数，或补充数据",
            f"{hp.n_epochs} epochs on {rows} rows are likely to overfit. "
            "Use fewer epochs or add rows",
        )
        yield "n_epochs", reason
    if hp.batch_size > rows:
        reason = tr(
            f"批次 {hp.batch_size} 比训练数据还多（{rows} 条），一轮只走一步。调小批次",
            f"a batch of {hp.batch_size} is larger than the {rows} training rows: "
            "an epoch is a single step. Use smaller batches",
        )
        yield "batch_size", reason
    if steps < FEW_STEPS:
        reason = tr(
            f"一共只走 {steps} 步，多半学不会。调小批次、增加轮数，或补充数据",
            f"only {steps} steps in all are unlikely to be enough. "
            "Use smaller batches, more epochs or more rows",
        )
        yield "batch_size", reason
    if plan.cut_rows > 0:
        reason = tr(
            f"{plan.cut_rows} 条数据比 {hp.max_tokens} 个 token 长，结尾学不到。"
            f"最长的有 {plan.longest_row} 个",
            f"{plan.cut_rows} rows are longer than {hp.max_tokens} tokens: "
            f"their ends are not learned. The longest has {plan.longest_row}",
        )
        yield "max_tokens", reason
    if plan.validation_rows == 0:
        reason = tr(
            "没有留出验证数据，看不出有没有学过头。留 10%，或另给一个验证文件",
            "no rows are held out, so overfitting will not show. "
            "Hold back 10 % or give a validation file",
        )
        yield "validation", reason
