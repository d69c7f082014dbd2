"""Say what happens in a training: its events, from the training loop to the job's log.

`engine/train.py` yields them, `worker.py` moves the adapters they name into place, and
`Store.record` writes them down. `message` and `data` give what the log shows of each.
Nothing here needs torch or SQL.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cookbook.i18n import Text, both, tr
from cookbook.memory import MemoryPlan


@dataclass(frozen=True)
class Planned:
    """How the training is made to fit into the memory, before the base's weights are read.

    `longest` is the number of tokens of the longest row.
    """

    memory: MemoryPlan
    longest: int


@dataclass(frozen=True)
class Waiting:
    """What the training waits for before it can begin, such as a free node; zh and en.

    It comes again as long as the wait goes on, so that the caller can end it.
    """

    zh: str
    en: str


@dataclass(frozen=True)
class Placed:
    """Where the training goes on: the names of the nodes, one for each worker."""

    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Started:
    """What will be done, before the first step.

    `trained_share` is the share of tokens that are trained on; `learning_rate_used` is the rate
    after the base's scale. The scale itself is filled in by the worker, from the base's card.
    `memory` is the plan by which it was made to fit; `n_workers` share each step.
    """

    total_steps: int
    train_rows: int
    valid_rows: int
    trained_share: float
    adapter_parameters: int
    parameters: int
    learning_rate_used: float
    valid_loss: float | None
    learning_rate_scale: float | None = None
    memory: MemoryPlan | None = None
    n_workers: int = 1


@dataclass(frozen=True)
class StateUnreadable:
    """The state to resume from is damaged: training begins again. `kept` is its new file name."""

    reason: Text
    kept: str


@dataclass(frozen=True)
class Step:
    """One optimizer step. `valid_loss` is measured at the end of an epoch alone.

    `seconds_left` and `tokens_per_second` are of this process: a resumed job measures again.
    """

    step: int
    total_steps: int
    epoch: float
    train_loss: float
    valid_loss: float | None
    learning_rate: float
    tokens: int
    tokens_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Checkpoint:
    """The adapter at the end of each epoch but the last, complete on disk in `folder`."""

    step: int
    epoch: int
    folder: Path
    train_loss: float
    valid_loss: float | None


@dataclass(frozen=True)
class Finished:
    """The finished adapter in `folder`, and the proof that it acts.

    `update_norm` is the Frobenius norm of all weight updates together. `logits_difference` is the
    largest change of a logit by the adapter, where the first row's answer begins.
    """

    step: int
    folder: Path
    train_loss: float
    valid_loss: float | None
    trained_tokens: int
    update_norm: float
    logits_difference: float


TrainingEvent = (
    Waiting | Placed | Planned | Started | StateUnreadable | Step | Checkpoint | Finished
)


def message(event: TrainingEvent, model: str) -> Text:
    """Return the event's line in the job's log; `model` is the name of the finished model."""
    return both(lambda: _line(event, model))


def _line(event: TrainingEvent, model: str) -> str:
    match event:
        case Waiting():
            return tr(event.zh, event.en)
        case Placed():
            return _placed(event.nodes)
        case Planned():
            return tr(f"更小的内存方案：{event.memory}", f"A smaller memory plan: {event.memory}")
        case Started():
            return tr(
                f"{event.train_rows} 条训练，{event.valid_rows} 条验证，共 {event.total_steps} 步；"
                f"{event.trained_share:.0%} 的 token 参与训练，"
                f"实际学习速率 {event.learning_rate_used:g}{_memory(event.memory)}",
                f"{event.train_rows} rows to train, {event.valid_rows} to validate, "
                f"{event.total_steps} steps; {event.trained_share:.0%} of the tokens are trained "
                f"on, learning rate after scaling {event.learning_rate_used:g}"
                f"{_memory(event.memory)}",
            )
        case StateUnreadable():
            return tr(
                f"保存的训练状态读不出来（{event.reason}），已改名为 {event.kept}；"
                "从第 1 步重新训练",
                f"The saved state of the training cannot be read ({event.reason}) and was renamed "
                f"to {event.kept}; training starts again from step 1",
            )
        case Step():
            text = f"Step {event.step}/{event.total_steps}: train_loss {event.train_loss:.4f}"
            if event.valid_loss is not None:
                text += f", valid_loss {event.valid_loss:.4f}"
            return text
        case Checkpoint():
            return tr(f"第 {event.epoch} 轮的检查点", f"Checkpoint of epoch {event.epoch}")
        case Finished():
            return tr(
                f"训练完成，新模型 {model}",
                f"The job has successfully completed: {model}",
            )


def _placed(nodes: tuple[str, ...]) -> str:
    """Return where a job is trained, each node once."""
    names = dict.fromkeys(nodes)
    zh, en = "、".join(names), ", ".join(names)
    if len(nodes) == 1:
        return tr(f"在节点 {zh} 上训练", f"Training on node {en}")
    n = len(nodes)
    return tr(f"{n} 个 worker 一起训练，节点 {zh}", f"Training with {n} workers on {en}")


def _memory(plan: MemoryPlan | None) -> str:
    """Return the plan's line as the rest of a message."""
    return "" if plan is None else tr(f"；{plan}", f"; {plan}")


def model_id(event: "Checkpoint | Finished", model: str) -> str:
    """Return the name of an adapter; `model` is the name of the finished model."""
    return model if isinstance(event, Finished) else f"{model}-ckpt_step_{event.step}"


def data(event: TrainingEvent) -> dict[str, Any]:
    """Return the event's figures as the job's log keeps them, without folders of this machine.

    A figure that is no number, which JSON cannot hold, is None.
    """
    # Its epoch is in the message.
    if isinstance(event, Checkpoint):
        return {"step": event.step, **losses(event)}
    figures = asdict(event)
    # HTTP shows this, to other people too in a shared room. A reason is in the message.
    figures.pop("folder", None)
    figures.pop("reason", None)
    return {name: _finite(value) for name, value in figures.items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def losses(event: Checkpoint | Finished) -> dict[str, float | None]:
    """Return the metrics that are kept with a model."""
    return {"train_loss": _finite(event.train_loss), "valid_loss": _finite(event.valid_loss)}
