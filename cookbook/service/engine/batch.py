"""Hold the rows that share a forward pass: join and drop rows, step on by a token.

    running.join(batch)                 of prompts that have been read, see `reading.py`
    logits = step(*running.next_inputs())
    running.keep(rows)

Tensors only: which request a row belongs to, and which token is chosen, is known by `runner.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cookbook import fast
from cookbook.service.engine.adapters import Adapters
from cookbook.service.engine.fast import decode

Step = Callable[[Tensor, Tensor, Tensor, Any], Tensor]
"""(tokens, positions, mask, cache) -> logits, and the cache grows by a column; see `plain_step`."""


@dataclass
class Batch:
    """The rows so far, and which token each says next.

    Rows are of different length: padding is on the left, and a new row may need more of it.
    """

    cache: Any  # a DynamicCache; of each layer keys and values, (rows, heads, width, head width)
    mask: Tensor  # (rows, width), 0 on padding
    positions: Tensor  # (rows,), of the next token
    tokens: Tensor  # (rows,), the next token

    def __len__(self) -> int:
        return len(self.mask)

    def next_inputs(self) -> tuple[Tensor, Tensor, Tensor, Any]:
        """Return what a step takes. The mask gets the column of the tokens that the step reads."""
        column = self.mask.new_ones(len(self), 1)
        self.mask = torch.cat([self.mask, column], dim=1)
        return self.tokens, self.positions, self.mask, self.cache

    def advance(self, tokens: Tensor) -> None:
        """Note the tokens that were chosen after a step."""
        self.positions = self.positions + 1
        self.tokens = tokens

    def join(self, other: "Batch") -> None:
        """Append the rows of `other`, whose cache is used up."""
        # What the cache holds for padding is never read: the mask is 0 there.
        layers = zip(self.cache.layers, other.cache.layers, strict=True)
        for mine, new in layers:
            mine.keys = _append_rows(mine.keys, new.keys, dim=2)
            mine.values = _append_rows(mine.values, new.values, dim=2)
        self.mask = _append_rows(self.mask, other.mask, dim=1)
        self.positions = torch.cat([self.positions, other.positions])
        self.tokens = torch.cat([self.tokens, other.tokens])

    def keep(self, rows: list[int]) -> None:
        """Drop all other rows, and the columns that are padding in each row that is left.

        A row that is named twice is there twice afterwards.
        """
        index = torch.tensor(rows, device=self.mask.device)
        mask = self.mask[index]
        # Columns before the first that any row uses held the padding of rows that are gone.
        is_used = mask.any(0).int()
        first = int(is_used.argmax())
        self.mask = mask[:, first:]
        self.positions = self.positions[index]
        self.tokens = self.tokens[index]
        for layer in self.cache.layers:
            keys = layer.keys[index]
            values = layer.values[index]
            layer.keys = keys[:, :, first:]
            layer.values = values[:, :, first:]


def stepper(model: Any, adapters: Adapters) -> Step:
    """Return the function that advances every row by a token: the fast one or the plain one."""
    # The written-out step changes the model's storage, so it is made only where it is used.
    if fast.enabled() and decode.applies(model):
        return decode.Qwen2Step(model, adapters)

    def step(tokens: Tensor, positions: Tensor, mask: Tensor, cache: Any) -> Tensor:
        return plain_step(model, tokens, positions, mask, cache)

    return step


def plain_step(model: Any, tokens: Tensor, positions: Tensor, mask: Tensor, cache: Any) -> Tensor:
    """Return the logits after `tokens`, (rows, vocabulary), as transformers computes them.

    Args:
        tokens, positions: (rows,).
        mask: (rows, width), with the new token in it.
        cache: of width - 1; it grows by one.
    """
    out = model(
        input_ids=tokens[:, None],
        attention_mask=mask,
        position_ids=positions[:, None],
        past_key_values=cache,
    )
    return out.logits[:, -1]


def _append_rows(rows: Tensor, more: Tensor, dim: int) -> Tensor:
    """Return both, the narrower one padded with zeros on the left of `dim`."""
    difference = rows.shape[dim] - more.shape[dim]
    rows = _pad_left(rows, max(0, -difference), dim)
    more = _pad_left(more, max(0, difference), dim)
    return torch.cat([rows, more])


def _pad_left(tensor: Tensor, columns: int, dim: int) -> Tensor:
    if columns == 0:
        return tensor
    shape = list(tensor.shape)
    shape[dim] = columns
    return torch.cat([tensor.new_zeros(shape), tensor], dim=dim)
