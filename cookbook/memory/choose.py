"""Choose the fastest memory plan that fits.

Plans are tried from the fastest on: everything kept, then more and more layers computed again, then
smaller micro-batches, then smaller chunks of the loss, and at last weights in a smaller type. The
first that fits is taken, so less free memory never leads to a larger plan. On a CPU they are frugal
even where memory is plenty: a micro-batch of some hundred tokens is as fast there as a large one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from cookbook.machine import CPU, CUDA, GB, Machine
from cookbook.memory.estimate import Settings, Task, parts, peak
from cookbook.memory.plan import MemoryPlan
from cookbook.memory.remedies import Remedies
from cookbook.memory.weights import NF4, SMALL, weight_types
from cookbook.shapes import Shape, smaller_than

# Tokens at once, the fastest first. Matrix products need some hundred to be quick; on a CPU more
# gain nothing but for a tiny base, whose cost is in the number of calls. 0 is a row at a time.
_TOKENS: dict[str, tuple[int, ...]] = {CPU: (1024, 512), CUDA: (4096, 2048)}
_TOKENS_OF_SMALL = 4096
_FEWER_TOKENS = (1024, 512, 256, 128, 0)

# What activations may take on a CPU before layers are computed again, however much is free: the
# rest of a laptop is for the reader's other programs, and recomputing costs a third of the speed.
_KEPT_ON_CPU = 2.5 * GB

# Logits that are held at a time: enough for quick products. What each takes is in estimate.py.
_LOGITS = {CPU: 20 * 2**20, CUDA: 80 * 2**20}
_MOST_IN_CHUNK = 4096
_CHUNK_STEP = 64

# Share of the free memory that a plan may take while there is a smaller one: other programs grow.
_COMFORTABLE = 0.9

# After a plan has run out of memory the next takes this share of it at most: there is one retry.
_SMALLER = 0.8

# Plans are made for rows of so many tokens to find what fits.
_TOKEN_STEP = 64


def choose(
    shape: Shape,
    lengths: Sequence[int],
    hp: dict[str, Any],
    machine: Machine,
    *,
    level: int = 0,
    workers: int = 1,
    sharded: bool = False,
) -> MemoryPlan:
    """Return the fastest plan that fits, or the smallest where none does.

    Args:
        lengths: tokens of each row.
        hp: the seven hyperparameters; `batch_size`, `max_tokens` and `lora_rank` matter.
        machine: of one worker, where there are several.
        level: how often a plan of this job has run out of memory before: each time the next
            smaller one is taken.
        workers: how many train together, each with memory of its own.
        sharded: whether each of them keeps a part of the base's layers alone.
    """
    task = Task.of(shape, lengths, hp, workers, sharded)
    settings, needed = _fastest(task, machine, level)
    remedy = None
    if needed > machine.free:
        remedy = _remedies(task, Task.of(shape, lengths, hp), machine, needed)
    return MemoryPlan(
        needed=needed,
        free=machine.free,
        device=machine.device,
        weights=settings.weights,
        micro_tokens=settings.micro_tokens,
        micro_batch=_rows_at_once(task, settings),
        checkpointed=settings.checkpointed,
        layers=shape.num_hidden_layers,
        loss_chunk=settings.loss_chunk,
        level=level,
        total=machine.total,
        remedy=remedy,
        workers=workers,
        sharded=sharded,
    )


def choose_workers(
    shape: Shape,
    lengths: Sequence[int],
    hp: dict[str, Any],
    machine: Machine,
    *,
    level: int = 0,
) -> MemoryPlan:
    """Return the plan for as many workers as may share the job on machines of this kind.

    Each of them holds the whole base; where it fits none of them, it is sharded over as few of the
    machine's `devices` as can hold it.
    """
    workers = min(machine.workers, hp["batch_size"])
    plan = choose(shape, lengths, hp, machine, level=level, workers=workers)
    if plan.fits:
        return plan
    return workers_needed(shape, lengths, hp, machine, machine.devices) or plan


def workers_needed(
    shape: Shape, lengths: Sequence[int], hp: dict[str, Any], machine: Machine, most: int
) -> MemoryPlan | None:
    """Return the plan with the fewest sharded workers, from 2 to `most`, with which it fits.

    With ease, if so many are there: rows whose lengths are only estimated may turn out longer.

    Args:
        machine: what each worker has.
    """
    for share in (_COMFORTABLE, 1.0):
        for workers in range(2, most + 1):
            task = Task.of(shape, lengths, hp, workers, sharded=True)
            if _fastest(task, machine)[1] <= share * machine.free:
                return choose(shape, lengths, hp, machine, workers=workers, sharded=True)
    return None


def smaller_base(
    shape: Shape, lengths: Sequence[int], hp: dict[str, Any], machine: Machine
) -> str | None:
    """Return the largest published base that is smaller and fits with the same rows."""
    return _smaller_base(Task.of(shape, lengths, hp), machine)


def _rows_at_once(task: Task, settings: Settings) -> int:
    at_once = settings.micro_tokens // task.longest
    return max(1, min(task.batch_size, at_once))


def _fastest(task: Task, machine: Machine, level: int = 0) -> tuple[Settings, int]:
    """Return the first plan that fits with ease, else the smallest, and its bytes."""
    limit = _COMFORTABLE * machine.free
    tried = []
    for settings in _plans(task, machine):
        needed = peak(task, settings)
        tried.append((needed, settings))
        if needed > limit:
            continue
        if level == 0:
            return settings, needed
        # This one ran out of memory although it should have fitted.
        level -= 1
        limit = _SMALLER * needed
    needed, settings = min(tried, key=itemgetter(0))
    return settings, needed


def _plans(task: Task, machine: Machine) -> Iterator[Settings]:
    """Yield ways to train, the fastest first."""
    shape = task.shape
    layers = shape.num_hidden_layers
    device = machine.device
    fast = _TOKENS[device]
    if shape.parameters <= SMALL:
        fast = (_TOKENS_OF_SMALL, *fast)
    chunk = _first_chunk(shape, device)
    types = weight_types(shape.parameters, machine)
    if task.sharded:
        # Quantized blocks cannot be cut into parts.
        types = [weights for weights in types if weights != NF4]
    for weights in types:
        # Everything is kept.
        for tokens in fast:
            settings = Settings(device, weights, tokens, 0, chunk)
            if _keeps_little(task, settings):
                yield settings
        # More and more layers are computed again.
        for checkpointed in range(1, layers + 1):
            settings = Settings(device, weights, fast[-1], checkpointed, chunk)
            if checkpointed == layers or _keeps_little(task, settings):
                yield settings
        # Fewer tokens at once, then fewer logits.
        fewer = [tokens for tokens in _FEWER_TOKENS if tokens < fast[-1]]
        for tokens in fewer:
            yield Settings(device, weights, tokens, layers, chunk)
        for smaller in (chunk // 2, chunk // 4):
            yield Settings(device, weights, 0, layers, max(1, smaller))


def _keeps_little(task: Task, settings: Settings) -> bool:
    """Return whether the activations take no more than a reader's machine should give."""
    if settings.device == CUDA:
        return True
    return parts(task, settings)["activations"] <= _KEPT_ON_CPU


def _first_chunk(shape: Shape, device: str) -> int:
    """Return how many tokens' logits are held at a time, a multiple of 64."""
    tokens = _LOGITS[device] // shape.vocab_size
    whole = tokens // _CHUNK_STEP * _CHUNK_STEP
    return min(_MOST_IN_CHUNK, max(_CHUNK_STEP, whole))


def _remedies(task: Task, alone: Task, machine: Machine, needed: int) -> Remedies:
    """Return what would fit in place of a task that does not.

    Args:
        alone: the same by one worker, for what one machine needs.
    """
    # Where the machine has less than the reader allows, to allow more is of no use.
    is_limited = 0 < machine.limit <= machine.total and machine.limit < needed
    gpu = Machine(CUDA, 0, 0, bfloat16=True, four_bit=True)
    computer = Machine(CPU, 0, 0, bfloat16=machine.bfloat16)
    if machine.device == CUDA:
        computer = Machine(CPU, 0, 0, bfloat16=False)
    return Remedies(
        close_others=needed <= machine.total,
        max_tokens=_largest_that_fits(task, machine),
        smaller_base=_smaller_base(task, machine),
        # With nothing free the smallest plan comes out.
        four_bit_gpu=_fastest(alone, gpu)[1],
        memory=_fastest(alone, computer)[1],
        limit=needed if is_limited else None,
    )


def _largest_that_fits(task: Task, machine: Machine) -> int | None:
    """Return the largest `max_tokens`, a multiple of 64, with which the task fits."""
    fitting = None
    low, high = 1, (task.longest - 1) // _TOKEN_STEP
    # Fewer tokens never need more, so half of what is left can be ruled out each time.
    while low <= high:
        middle = (low + high) // 2
        tokens = middle * _TOKEN_STEP
        if _fastest(_cut(task, tokens), machine)[1] <= machine.free:
            fitting, low = tokens, middle + 1
        else:
            high = middle - 1
    return fitting


def _cut(task: Task, tokens: int) -> Task:
    """Return the task with rows of so many tokens at most."""
    longest = min(task.longest, tokens)
    batch_tokens = min(task.batch_tokens, tokens * task.batch_size)
    return replace(task, longest=longest, batch_tokens=batch_tokens)


def _smaller_base(task: Task, machine: Machine) -> str | None:
    """Return the largest of the published bases that is smaller and fits with the same rows."""
    for name, shape in smaller_than(task.shape.parameters).items():
        if _fastest(replace(task, shape=shape), machine)[1] <= machine.free:
            return name
    return None
