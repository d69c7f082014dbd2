"""Train a LoRA adapter for one job: rows in, a standard PEFT adapter folder out.

    for event in train(base, train_rows, valid_rows, hyperparameters, folder=…, seed=…): ...

The loop is written out rather than taken from `transformers.Trainer` for two reasons. It must go
on from any step after a crash or a pause with the same result, so order, dropout and optimizer
all follow from seed and step. And on a tiny model the trainer's fixed cost for each step is as
large as the step itself.

The loss is taken on the assistant's tokens alone, including the `<|im_end|>` that closes them.
Every linear layer of the body gets an adapter. The learning rate warms up over the first 5 % of
the steps and then falls linearly to a tenth. Nothing here knows HTTP or SQL.
"""

import math
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from cookbook.bases import Base
from cookbook.errors import Diverged, ModelError, StateDamaged
from cookbook.i18n import Text
from cookbook.service.engine.checkpoints import (
    Progress,
    are_finite,
    optimizer_state,
    restore,
    save_adapter,
    save_state,
    set_state_aside,
)
from cookbook.service.engine.evaluate import adapter_effect
from cookbook.service.engine.run import Run, build
from cookbook.service.engine.step import gradients
from cookbook.service.engine.workers import ALONE, Workers
from cookbook.service.engine.working_folder import DAMAGED
from cookbook.service.events import (
    Checkpoint,
    Finished,
    Started,
    StateUnreadable,
    Step,
    TrainingEvent,
)

MAX_GRADIENT_NORM = 1.0
SAVE_EVERY = 30.0  # seconds between two states to resume from, at most


def train(
    base: Base,
    train_rows: list[dict[str, Any]],
    valid_rows: list[dict[str, Any]],
    hp: dict[str, Any],
    *,
    folder: Path,
    seed: int = 42,
    level: int = 0,
    workers: Workers = ALONE,
) -> Generator[TrainingEvent, None, None]:
    """Train, yielding what happens; go on from the state in `folder` if there is one.

    Args:
        hp: the seven hyperparameters of the guide's section 3.
        folder: the job's own, for adapters (`step_<N>/`) and the state to resume from.
        level: how often this job has run out of memory; each makes its plan smaller.
        workers: who shares each step, see `workers.py`.

    Raises:
        ModelError: the base cannot be loaded.
        DataError: of some rows no token would be trained.
        Diverged: loss, gradients or weights are no longer numbers; of these nothing is saved.
    """
    run = yield from build(
        base, train_rows, valid_rows, hp, seed=seed, level=level, workers=workers
    )
    progress = yield from resume(run, folder)
    if progress.step == 0:
        yield describe(run)
    try:
        adapter = yield from remaining_steps(run, progress, folder)
    except GeneratorExit:
        # The caller stops here, for now or for good.
        save(run, progress, folder)
        raise
    yield finish(run, progress, adapter)


def remaining_steps(
    run: Run, progress: Progress, folder: Path
) -> Generator[TrainingEvent, None, Path]:
    """Train to the last step; return the folder of the finished adapter."""
    clock = Clock(progress)
    saved_at = time.monotonic()
    while True:
        save_is_due = time.monotonic() - saved_at > SAVE_EVERY
        # Also where an earlier process was stopped just here.
        if progress.epoch_ended or progress.step == run.total_steps:
            check_weights(run, progress)
            target = folder / f"step_{progress.step}"
            if run.workers.leads:
                save_adapter(run.model, run.tokenizer, run.base, target)
            if progress.step == run.total_steps:
                return target
            # Whoever stops at this event has the adapter.
            progress.epoch_ended = False
            yield checkpoint(run, progress, target)
            save_is_due = True
        # Saved after the caller wrote the step down, never before: no event can be lost.
        if save_is_due:
            save(run, progress, folder)
            saved_at = time.monotonic()
        take_step(run, progress)
        yield report(run, progress, clock)


def resume(run: Run, folder: Path) -> Generator[TrainingEvent, None, Progress]:
    """Put the run where the state in `folder` left it; say so where the state cannot be read.

    Of several workers rank 0 reads it, and the others go on from what it has.
    """
    progress, damage = run.workers.broadcast_object(restored(run, folder))
    if damage:
        yield StateUnreadable(damage, DAMAGED)
        if run.workers.leads:
            set_state_aside(folder)
    run.workers.broadcast(run.weights)
    for moments in optimizer_state(run.optimizer) if progress.step else ():
        run.workers.broadcast(moments)
    if progress.step and math.isnan(progress.train_loss):
        # The first releases saved no losses.
        progress.train_loss = run.loss_of(run.batch(progress.step)) or 0.0
        progress.valid_loss = run.loss_of(run.valid_set)
    return progress


def restored(run: Run, folder: Path) -> tuple[Progress, Text | None]:
    """Return how far the state in `folder` has come, and what is wrong with it."""
    if not run.workers.leads:
        return Progress(), None
    try:
        progress = restore(run.model, run.optimizer, folder, run.total_steps, run.fingerprint)
    except StateDamaged as error:
        return Progress(), Text.of(error)
    return progress, None


def save(run: Run, progress: Progress, folder: Path) -> None:
    """Save the state to resume from.

    Raises:
        Diverged: the weights are no longer numbers; nothing is saved.
    """
    check_weights(run, progress)
    if not run.workers.leads:
        return
    # Made no sooner: that it is there tells that the job has trained.
    folder.mkdir(parents=True, exist_ok=True)
    save_state(run.model, run.optimizer, progress, folder, run.fingerprint)


def check_weights(run: Run, progress: Progress) -> None:
    """Raise Diverged if a weight of the adapter is no longer a number."""
    if not are_finite(run.weights):
        raise diverged(run, progress.step, "权重", "the weights are no longer numbers")


def diverged(run: Run, step: int, zh: str, en: str) -> Diverged:
    """Return the error for what is no longer a number at this step."""
    chosen, used = run.hp["learning_rate"], run.highest_rate
    return Diverged(
        zh=f"第 {step} 步的{zh}已经不是数字：学习速率 {chosen:g} 太大（实际用了 {used:g}）。"
        "除以 10 再试",
        en=f"at step {step} {en}: the learning rate {chosen:g} is too high ({used:g} after "
        "scaling). Try a tenth of it",
    )


def take_step(run: Run, progress: Progress) -> None:
    """Do the next step and write it down in `progress`, with the mean loss of its trained tokens.

    At the end of an epoch the loss of the validation rows is measured, too.

    Raises:
        Diverged: the loss or a gradient is no longer a number.
        ModelError: the base alone gives a loss that is no number.
    """
    step = progress.step + 1
    run.start_step(step)
    batch = run.batch(step)
    loss, trained = gradients(run.model, batch, run.plan, run.pad, run.dropout, run.workers)
    if not math.isfinite(loss):
        # An adapter adds nothing before its first step.
        if step == 1:
            raise broken(run.base)
        raise diverged(run, step, " loss ", "the loss is no longer a number")
    norm = torch.nn.utils.clip_grad_norm_(run.weights, MAX_GRADIENT_NORM)
    # Before they reach the weights: the loss of the last step is followed by no other.
    if not torch.isfinite(norm):
        raise diverged(run, step, "梯度", "the gradients are no longer numbers")
    run.optimizer.step()
    run.optimizer.zero_grad()
    run.heap.trim()

    progress.step = step
    progress.tokens_seen += sum(len(example.ids) for example in batch)
    progress.tokens_trained += trained
    progress.train_loss = loss / trained
    progress.epoch_ended = step % run.steps_per_epoch == 0
    progress.valid_loss = measure(run, step) if progress.epoch_ended else None


def measure(run: Run, step: int) -> float | None:
    """Return the loss of the validation rows, None without any.

    Raises:
        Diverged: it is no number, or that of a training row is none.
    """
    valid_loss = run.loss_of(run.valid_set)
    # One row shows whether the adapter that is about to be saved can be used at all.
    shown = valid_loss if run.valid_set else run.loss_of(run.train_set[:1])
    if shown is None or not math.isfinite(shown):
        raise diverged(run, step, " loss ", "the loss is no longer a number")
    return valid_loss


def broken(base: Base) -> ModelError:
    """Return the error for a base that cannot be trained, whatever the learning rate."""
    return ModelError(
        zh=f"基础模型 {base.id} 还没训练，loss 就不是数字：权重可能损坏了，重新下载或换一个",
        en=f"the loss of the base model {base.id} is not a number before any training: its "
        "weights may be damaged. Download it again or choose another",
    )


class Clock:
    """The speed of this process; a resumed job measures again."""

    def __init__(self, progress: Progress):
        self._started = time.monotonic()
        self._first_step = progress.step
        self._first_token = progress.tokens_seen

    def read(self, progress: Progress, total_steps: int) -> tuple[float, float]:
        """Return tokens per second, and the seconds that the remaining steps will take."""
        seconds = time.monotonic() - self._started
        seconds_per_step = seconds / (progress.step - self._first_step)
        tokens_per_second = (progress.tokens_seen - self._first_token) / seconds
        return tokens_per_second, seconds_per_step * (total_steps - progress.step)


def describe(run: Run) -> Started:
    """Return what will be done, with the validation loss before the first step.

    Raises:
        ModelError: this loss is not a number.
    """
    trained = sum(sum(example.trained) for example in run.train_set)
    tokens = sum(len(example.ids) for example in run.train_set)
    parameters = {True: 0, False: 0}
    for p in run.model.parameters():
        parameters[p.requires_grad] += p.numel()
    valid_loss = run.loss_of(run.valid_set)
    if valid_loss is not None and not math.isfinite(valid_loss):
        raise broken(run.base)
    return Started(
        total_steps=run.total_steps,
        train_rows=len(run.train_set),
        valid_rows=len(run.valid_set),
        trained_share=trained / tokens,
        adapter_parameters=parameters[True],
        parameters=parameters[False],
        learning_rate_used=run.highest_rate,
        valid_loss=valid_loss,
        memory=run.plan,
        n_workers=run.workers.world,
    )


def report(run: Run, progress: Progress, clock: Clock) -> Step:
    """Return the event of the step that `progress` has just counted."""
    tokens_per_second, seconds_left = clock.read(progress, run.total_steps)
    return Step(
        step=progress.step,
        total_steps=run.total_steps,
        epoch=progress.step / run.steps_per_epoch,
        train_loss=progress.train_loss,
        valid_loss=progress.valid_loss,
        learning_rate=run.learning_rate(progress.step),
        tokens=progress.tokens_seen,
        tokens_per_second=tokens_per_second,
        seconds_left=seconds_left,
    )


def checkpoint(run: Run, progress: Progress, folder: Path) -> Checkpoint:
    """Return the event of the adapter at the end of an epoch."""
    return Checkpoint(
        step=progress.step,
        epoch=progress.step // run.steps_per_epoch,
        folder=folder,
        train_loss=progress.train_loss,
        valid_loss=progress.valid_loss,
    )


def finish(run: Run, progress: Progress, folder: Path) -> Finished:
    """Return the end of the job, with the proof that the adapter acts.

    Raises:
        Diverged: what the adapter does is beyond numbers.
    """
    first_row = run.train_set[0]
    update_norm, logits_difference = adapter_effect(run.model, first_row, run.pad)
    if not math.isfinite(update_norm + logits_difference):
        raise diverged(run, progress.step, "权重", "the weights are no longer numbers")
    return Finished(
        step=progress.step,
        folder=folder,
        train_loss=progress.train_loss,
        valid_loss=progress.valid_loss,
        trained_tokens=progress.tokens_trained,
        update_norm=update_norm,
        logits_difference=logits_difference,
    )
