"""Estimate the memory of a training from the sizes of its base and the tokens it reads at once.

    parts(task, settings)     bytes of each part while the first micro-batch is trained
    peak(task, settings)      bytes at the highest point, loading included

Each term says what it counts. The few factors were measured with `tests/bench/memory.py`, which
prints estimate and measured peak side by side; rather too high than too low.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cookbook.machine import CPU, CUDA
from cookbook.memory.weights import BFLOAT16, BYTES, FLOAT32, NF4, RUNTIME, STORED_BFLOAT16
from cookbook.shapes import Shape

# Share of an embedding apart from the head that a corpus reads.
_READ_OF_EMBEDDING = 0.5

# Bytes of an activation: the type in which products are taken.
_ACTIVATION_BYTES = {FLOAT32: 4, BFLOAT16: 2, STORED_BFLOAT16: 4, NF4: 2}

# The tokenizer's, for each entry of its vocabulary; in the machine's memory.
_TOKEN_BYTES = 1000

# Of a trained weight: itself, its gradient and AdamW's two moments, all in float32.
_ADAPTER_BYTES = 16

# Several workers add up their gradients in one more tensor.
_SUM_BYTES = 4

# As many bytes as whole layers that are being put together from their parts: what is computed, and
# the message that it came in. On a GPU the next message comes meanwhile; not measured there yet.
_WHOLE_LAYERS = {CPU: 2, CUDA: 3}

# Of a logit of the loss: itself in float32, and for its softmax and its gradient as much again.
_LOGIT_BYTES = 12

# Where weights are stored in another type than that of the products, they are cast in slices
# (engine/stored.py), of which a few are in memory; logits then come in parts that are joined.
_CAST_WEIGHTS = 3 * 2**24
_JOINED_LOGIT_BYTES = 8

# While a layer's gradients are computed: so many tensors as wide as the MLP and as the model.
_WORK_INNER, _WORK_WIDTH = 6, 24

# Tensors as wide as the MLP whose memory is free after a layer's forward pass, but lies between
# what is kept, so that nothing else fits there.
_HOLES = 2

# Values more than those of the longest row that the mask of the dropout has.
_MASK_EXTRA = 2**20


@dataclass(frozen=True)
class Task:
    """What a worker trains, as far as memory depends on it.

    Attributes:
        longest: tokens of the longest row.
        batch_tokens: tokens of its share of a batch, where the longest rows happen to be in one.
        batch_size: rows of its share, if they are of like length.
        rank: of the adapter.
        workers: how many share each batch.
        sharded: whether each of them keeps a part of the base's layers alone.
    """

    shape: Shape
    longest: int
    batch_tokens: int
    batch_size: int
    rank: int
    workers: int = 1
    sharded: bool = False

    @classmethod
    def of(
        cls,
        shape: Shape,
        lengths: Sequence[int],
        hp: dict[str, Any],
        workers: int = 1,
        sharded: bool = False,
    ) -> "Task":
        """Return the task of training rows of these lengths with the seven hyperparameters."""
        cut = sorted((min(length, hp["max_tokens"]) for length in lengths), reverse=True)
        # Rows are dealt out by tokens: nobody gets more than the longest of an even share.
        size = math.ceil(hp["batch_size"] / workers)
        batch = cut[:size] or [1]
        rank = hp["lora_rank"]
        return cls(shape, batch[0], sum(batch), size, rank, workers, sharded)

    @property
    def trained(self) -> int:
        """Return the weights of the adapter."""
        return self.shape.parameters_per_rank * self.rank


@dataclass(frozen=True)
class Settings:
    """How it is trained; the attributes are those of `MemoryPlan`."""

    device: str
    weights: str
    micro_tokens: int
    checkpointed: int
    loss_chunk: int


def parts(task: Task, settings: Settings) -> dict[str, int]:
    """Return the bytes of each part of the memory while a micro-batch is trained."""
    shape = task.shape
    size = _ACTIVATION_BYTES[settings.weights]
    tokens = tokens_at_once(task, settings.micro_tokens)
    layer = tokens * kept_of_a_layer(shape, size, task.rank)

    # Of a layer that is computed again only the input is kept, until its gradients are asked for.
    # By then nothing is left of the layers that keep everything: they come after it.
    inputs = settings.checkpointed * tokens * shape.hidden_size * size
    whole_layers = shape.num_hidden_layers - settings.checkpointed
    activations = inputs + layer * max(1, whole_layers)

    # The loss is over when a layer's gradients are computed, but allocators keep its memory apart.
    work = work_of_a_layer(shape, size, tokens) + _work_of_loss(task, settings, tokens)
    in_sum = _SUM_BYTES if task.workers > 1 else 0
    mask = size * (_MASK_EXTRA + task.longest * shape.intermediate_size)
    return {
        "runtime": _runtime(shape, settings.device),
        "weights": _weights(task, settings),
        "adapter": (_ADAPTER_BYTES + in_sum) * task.trained,
        "activations": activations,
        "work": work + mask,
    }


def peak(task: Task, settings: Settings) -> int:
    """Return the bytes at the highest point: of loading, or of training."""
    training = sum(parts(task, settings).values())
    return max(training, _loading(task, settings))


def _loading(task: Task, settings: Settings) -> int:
    """Return the bytes at the end of loading the base.

    Where weights become float32, both are in memory for a moment: files of real bases are in
    bfloat16.
    """
    # Parts are cut out of a file a layer at a time.
    if settings.device == CUDA or is_mapped(settings) or task.sharded:
        return 0
    shape = task.shape
    both = BYTES[FLOAT32] + BYTES[BFLOAT16]
    return _runtime(shape, CPU) + round(both * shape.parameters)


def _runtime(shape: Shape, device: str) -> int:
    tokenizer = _TOKEN_BYTES * shape.vocab_size if device == CPU else 0
    return RUNTIME[device] + tokenizer


def tokens_at_once(task: Task, micro_tokens: int) -> int:
    """Return the tokens of the largest micro-batch; a row that is longer goes alone."""
    return min(task.batch_tokens, max(micro_tokens, task.longest))


def _weights(task: Task, settings: Settings) -> int:
    """Return the bytes of the base's weights that are in memory."""
    shape = task.shape
    size = BYTES[settings.weights]
    # Embedding and head are never in 4 bit.
    matrix = max(size, 2) * shape.vocab_size * shape.hidden_size
    embeddings = matrix if shape.tied else 2 * matrix
    body = shape.parameters - shape.embeddings
    if task.sharded:
        part = body / task.workers
        whole = _WHOLE_LAYERS[settings.device] * body / shape.num_hidden_layers
        return round(size * (part + whole) + embeddings)
    if not shape.tied and is_mapped(settings):
        # Of a file that is mapped only the rows of tokens that occur are read, and those around.
        embeddings = _READ_OF_EMBEDDING * matrix + matrix
    return round(size * body + embeddings)


def is_mapped(settings: Settings) -> bool:
    """Return whether the weights stay in the base's file, of which the system maps what is read."""
    return settings.device == CPU and settings.weights in (BFLOAT16, STORED_BFLOAT16)


def kept_of_a_layer(shape: Shape, size: int, rank: int) -> int:
    """Return the bytes that one layer keeps of each token for its gradients.

    Args:
        size: bytes of an activation.
    """
    width, inner = shape.hidden_size, shape.intermediate_size
    query = shape.num_attention_heads * shape.head_dim
    key = shape.num_key_value_heads * shape.head_dim
    # Inputs of both norms, and of the linear layers after them.
    norms = 4 * width
    # The MLP's gate and what it is multiplied by; the rest of it is computed again.
    gate = 2 * inner
    # Attention's query, key, value and result; the result is an input, too.
    attention = 2 * query + 2 * key
    # What the adapter's seven first matrices give; a sum in float32 for each head.
    small = size * 7 * rank + 4 * shape.num_attention_heads
    return size * (norms + gate + attention + _HOLES * inner) + small


def work_of_a_layer(shape: Shape, size: int, tokens: int) -> int:
    """Return the bytes that come and go while the gradients of one layer are computed."""
    values = _WORK_INNER * shape.intermediate_size + _WORK_WIDTH * shape.hidden_size
    return tokens * size * values


def _work_of_loss(task: Task, settings: Settings, tokens: int) -> int:
    """Return the bytes of the logits that are held at a time, and of what is made of them."""
    logits = min(settings.loss_chunk, tokens) * task.shape.vocab_size
    if settings.weights != STORED_BFLOAT16:
        return _LOGIT_BYTES * logits
    return (_LOGIT_BYTES + _JOINED_LOGIT_BYTES) * logits + 4 * _CAST_WEIGHTS
