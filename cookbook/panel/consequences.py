"""Say what a choice of parameters leads to: steps, tokens, time, memory, cost, weights.

Each consequence comes with the arithmetic behind it, in the reader's language. Nothing is counted
or asked here, and nothing is HTML.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cookbook.bases import Base
from cookbook.i18n import tr
from cookbook.machine import in_gb
from cookbook.memory import MemoryPlan
from cookbook.params import Hyperparameters, Plan


@dataclass(frozen=True)
class Consequence:
    """One figure: what it is, its value with its unit, and how it comes about."""

    label: str
    value: str
    reason: str


def consequences(hp: Hyperparameters, plan: Plan | None, base: Base) -> list[Consequence]:
    """Return what follows from a choice; without a plan, only what needs no training file."""
    return [*_of_training(hp, plan, base), *_of_adapter(hp, base)]


def _of_training(hp: Hyperparameters, plan: Plan | None, base: Base) -> Iterator[Consequence]:
    # Without a training file there are no rows to compute from.
    if plan is None:
        return
    yield _steps(hp, plan)
    yield _tokens(plan)
    yield _time(plan, base)
    if plan.memory is not None:
        yield _memory(plan.memory)
    if plan.cost is not None:
        yield _cost(plan.cost)


def _of_adapter(hp: Hyperparameters, base: Base) -> Iterator[Consequence]:
    yield _trained_weights(hp, base)
    yield _scaling(hp)
    # A scale of 1 leaves the rate as it was chosen.
    if base.learning_rate_scale != 1:
        yield _learning_rate_used(hp, base)


def _steps(hp: Hyperparameters, plan: Plan) -> Consequence:
    rows, held_back = plan.train_rows, plan.validation_rows
    each, epochs = plan.steps_per_epoch, hp.n_epochs
    arithmetic = tr(
        f"{rows} 条 ÷ {hp.batch_size} → 每轮 {each} 步 × {epochs} 轮；验证 {held_back} 条",
        f"{rows} rows ÷ {hp.batch_size} → {each} per epoch × {epochs}; {held_back} for validation",
    )
    return Consequence(tr("步数", "steps"), f"{plan.total_steps:,}", arithmetic)


def _tokens(plan: Plan) -> Consequence:
    label = tr("训练读的 token", "tokens read in training")
    longest = plan.longest_row
    reason = tr(f"最长的一条 {longest} 个", f"the longest row has {longest}")
    return Consequence(label, f"{plan.tokens:,}", reason)


def _time(plan: Plan, base: Base) -> Consequence:
    reason = tr("在这里训练过一次才知道", "known after a first job here")
    if base.tokens_per_second:
        speed = f"{base.tokens_per_second:,.0f}"
        reason = tr(f"上一次任务测得 {speed} token/s", f"the last job ran at {speed} tokens/s")
    return Consequence(tr("预计用时", "expected time"), plan.time, reason)


def _memory(plan: MemoryPlan) -> Consequence:
    return Consequence(tr("内存", "memory"), in_gb(plan.needed), str(plan))


def _cost(cost: float) -> Consequence:
    arithmetic = tr("token × 单价 ÷ 百万", "tokens × price ÷ million")
    return Consequence(tr("费用", "cost"), f"{cost:.4g}", arithmetic)


def _trained_weights(hp: Hyperparameters, base: Base) -> Consequence:
    label = tr("训练的权重", "trained weights")
    trained = base.adapter_parameters(hp.lora_rank)
    share = base.adapter_share(hp.lora_rank)
    # Sizes come from a published configuration, or from what a finished job reported.
    if trained is None or share is None or base.parameters is None:
        reason = tr("这个模型的结构未知，训练过一次就知道", "known after a first job on this base")
        return Consequence(label, tr("未知", "unknown"), reason)
    quotient = f"{amount(trained)} ÷ {amount(base.parameters)}"
    proportion = tr("，与秩成正比", ", in proportion to the rank")
    return Consequence(label, f"{share:.2%}", quotient + proportion)


def _scaling(hp: Hyperparameters) -> Consequence:
    quotient = f"alpha {hp.lora_alpha} ÷ rank {hp.lora_rank}"
    return Consequence(tr("适配器强度", "adapter scaling"), f"× {hp.scaling:.3g}", quotient)


def _learning_rate_used(hp: Hyperparameters, base: Base) -> Consequence:
    label = tr("实际学习速率", "learning rate used")
    scale = base.learning_rate_scale
    reason = tr(f"这个小模型的倍数是 {scale:g}", f"this base multiplies it by {scale:g}")
    return Consequence(label, f"{hp.learning_rate * scale:.3g}", reason)


def amount(number: int) -> str:
    """Return a large number in the units of the reader's language: 万 and 亿, or M and B."""
    # A unit is 10^4 or 10^8 in Chinese, 10^6 or 10^9 in English.
    if number >= 1e9:
        english = f"{number / 1e9:.3g} B"
    else:
        english = f"{number / 1e6:.3g} M"
    if number >= 1e8:
        chinese = f"{number / 1e8:.4g} 亿"
    else:
        chinese = f"{number / 1e4:.4g} 万"
    return tr(chinese, english)
