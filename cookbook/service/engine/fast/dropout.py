"""Draw the dropout of a step so that no plan changes it, at the cost of one draw.

    dropout = Dropout(share, values, layers)
    dropout.start_step(seed, …)          a new long mask
    dropout.choose_rows(places)          the rows that go through the model next
    dropout.cut(number).mask(x)          what layer `number` keeps of each of them

Each row cuts its masks out of the long one, at places that follow from seed, step, the row's place
in the batch and the layer's number. So neither micro-batches nor activations that are computed
again change what is dropped, and nothing is kept for the backward pass: it cuts the same masks
again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = 1 << 16
"""Values of the 16 random bits that decide whether a value is dropped."""

STARTS = 1 << 20
"""Where a row's mask may start in the long mask. More would cost time on a tiny base."""


class Dropout:
    """The dropout masks of a training.

    Args:
        share: of the values that are dropped, rounded to a 65,536th.
        values: of a row that a layer may be given, at most: tokens times width.
        layers: how many layers are given masks.
    """

    def __init__(self, share: float, values: int, layers: int):
        self.share = share
        self._values = values
        self._layers = layers
        self._seed = 0
        self._long = torch.empty(0)
        self._starts: list[list[int]] = []
        self._places = torch.empty(0, layers)

    def start_step(self, seed: int, device: torch.device, dtype: torch.dtype) -> None:
        """Draw the long mask of a step; `seed` is the step's own."""
        self._seed = seed
        generator = torch.Generator(device).manual_seed(seed)
        # A draw of 64 bits gives four values.
        draws = math.ceil((STARTS + self._values) / 4)
        numbers = torch.empty(draws, dtype=torch.int64, device=device)
        numbers.random_(-(2**63), None, generator=generator)
        bits = numbers.view(torch.int16)
        lowest_kept = round(self.share * LEVELS) - LEVELS // 2  # int16 begins at -LEVELS / 2
        self._long = (bits >= lowest_kept).to(dtype)

    def choose_rows(self, places: Sequence[int]) -> None:
        """Say which rows of the batch, by their places in it, go through the model next."""
        starts = []
        for place in places:
            generator = torch.Generator().manual_seed(self._seed * 1009 + place)
            starts.append(torch.randint(STARTS, (self._layers,), generator=generator).tolist())
        self._starts = starts
        # At once for all layers: a GPU would wait for each small copy.
        self._places = torch.tensor(starts, device=self._long.device)

    def suits(self, x: Tensor) -> bool:
        """Return whether `x` is (rows, tokens, width) of the rows that were chosen."""
        return x.dim() == 3 and len(x) == len(self._starts)

    def cut(self, number: int) -> "Cut":
        """Return the masks of layer `number` for the rows that were chosen."""
        starts = [row[number] for row in self._starts]
        return Cut(self._long, starts, self._places[:, number], self.share)


@dataclass(frozen=True)
class Cut:
    """What one layer keeps of some rows: where their masks start in the long one."""

    long: Tensor
    starts: list[int]
    places: Tensor  # the same, on the device
    share: float

    def mask(self, x: Tensor) -> Tensor:
        """Return 1 where a value of `x` is kept and 0 where it is dropped."""
        values = x[0].numel()
        if len(self.starts) == 1:
            start = self.starts[0]
            return self.long[start : start + values].view(x.shape)
        # All windows of the long mask, without a copy; then a copy of those that are needed.
        windows = self.long.unfold(0, values, 1)
        return windows[self.places].view(x.shape)
