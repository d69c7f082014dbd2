"""Put several LoRA adapters beside one base: tuned models share its memory and forward passes.

    adapters = Adapters(model)
    adapters.use([one, None, other])   # of each row of the passes that follow; None: the base alone
    model(...)

The adapters in use are stacked as if they were one adapter with all their ranks. A pass takes two
products a layer for all rows, and between the two every row keeps the ranks of its own adapter.
With `one` of rank 2, `other` of rank 3, six tokens a row, and a layer that makes 5 values of 4:

    x                       (3 rows, 6, 4)
    A of both   (2+3, 4)    low  = x Aᵀ             (3, 6, 2+3)
    row scales  (3, 2+3)    own  = low · row scales (3, 6, 2+3)
                            rows  one    s s 0 0 0
                                  None   0 0 0 0 0
                                  other  0 0 t t t
    B of both   (5, 2+3)    added = own Bᵀ          (3, 6, 5)

Layers that read the same input can be passed together, and are then one product as well (see
`fast/decode.py`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cookbook import causes
from cookbook.errors import ModelError

STACKED = 4
"""Adapters that stay in the stack when others come into use, if there is room."""

PREFIX = "base_model.model."
"""What PEFT writes before a layer's name."""

Layers = tuple[nn.Linear, ...]
"""Layers that read the same input; usually one."""

Matrices = tuple[Tensor, Tensor]
"""A, (layers x all ranks, in), and B, (the layers' outputs together, layers x all ranks)."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """Adds `scale · x Aᵀ Bᵀ` to what a linear layer makes of x; A is (rank, in), B (out, rank)."""

    scale: float
    a: dict[nn.Linear, Tensor]
    b: dict[nn.Linear, Tensor]

    @property
    def rank(self) -> int:
        any_a = next(iter(self.a.values()))
        return len(any_a)


class AdapterStack:
    """Adapters side by side, as one adapter with all their ranks.

    The matrices of a layer are put together at its first use and kept, since the same adapters
    answer hundreds of passes.
    """

    def __init__(self, adapters: list[Adapter], device: torch.device, dtype: torch.dtype):
        self.adapters = adapters
        self._matrices: dict[Layers, Matrices] = {}
        # (adapters + 1, all ranks): each adapter's scale at its own ranks, and zeros for the base.
        self._scales = torch.zeros(
            len(adapters) + 1,
            sum(adapter.rank for adapter in adapters),
            device=device,
            dtype=dtype,
        )
        self._row_of: dict[Adapter | None, int] = {None: len(adapters)}
        start = 0
        for row, adapter in enumerate(adapters):
            self._row_of[adapter] = row
            end = start + adapter.rank
            self._scales[row, start:end] = adapter.scale
            start = end

    def batch(self, rows: Sequence[Adapter | None]) -> "AdapterBatch":
        """Return what one pass of these rows needs."""
        index = [self._row_of[adapter] for adapter in rows]
        return AdapterBatch(self, self._scales[index])

    def matrices(self, layers: Layers) -> Matrices:
        """Return A and B of layers that read the same input, side by side."""
        if layers not in self._matrices:
            self._matrices[layers] = self._put_together(layers)
        return self._matrices[layers]

    def _put_together(self, layers: Layers) -> Matrices:
        a, b = [], []
        for layer in layers:
            a += [adapter.a[layer] for adapter in self.adapters]
            own_b = [adapter.b[layer] for adapter in self.adapters]
            b.append(torch.cat(own_b, dim=1))
        # Each layer's output follows from its own ranks alone, hence the block diagonal.
        return torch.cat(a), torch.block_diag(*b)


class AdapterBatch:
    """The adapters of one pass: a stack, and for each row which of its ranks act.

    `row_scales` is (rows, all ranks): the scale of the row's adapter at its ranks, 0 elsewhere.
    """

    def __init__(self, stack: AdapterStack, row_scales: Tensor):
        self._stack = stack
        self._row_scales = row_scales

    def add(self, out: Tensor, x: Tensor, layers: Layers) -> Tensor:
        """Return `out`, (rows, …, outputs), plus what the adapters make of `x`, (rows, …, in)."""
        a, b = self._stack.matrices(layers)
        low = F.linear(x, a)
        # Every layer has all ranks, so the scales of a row hold for each of them: (rows, …,
        # layers, all ranks).
        low = low.unflatten(-1, (len(layers), -1))
        between = [1] * (x.dim() - 1)  # "…" and layers
        scales = self._row_scales.view(len(x), *between, -1)
        own = (low * scales).flatten(-2)
        return out + F.linear(own, b)


class Adapters:
    """Let `model` answer with the adapters that `use` names.

    The model is changed: every linear layer of its body gets a forward hook, which adds the
    adapters to the layer's output in each pass. While no adapter is in use the hooks change
    nothing.
    """

    def __init__(self, model: Any):
        self._model = model
        self._stack = AdapterStack([], model.device, model.dtype)
        # None while every row is the base's alone.
        self._batch: AdapterBatch | None = None
        self._names: dict[nn.Linear, str] = {}
        head = model.get_output_embeddings()
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear) and module is not head:
                self._names[module] = name
                module.register_forward_hook(self._after_layer)

    def use(self, rows: Sequence[Adapter | None]) -> None:
        """Choose the adapter of each row of the passes that follow; None is the base alone."""
        used = [adapter for adapter in dict.fromkeys(rows) if adapter]
        if not used:
            self._batch = None
            return
        stacked = self._stack.adapters
        if not set(used) <= set(stacked):
            # Others stay, so that answers that take turns do not build a new stack each time.
            others = [adapter for adapter in stacked if adapter not in used]
            room = max(0, STACKED - len(used))
            device, dtype = self._model.device, self._model.dtype
            self._stack = AdapterStack(used + others[:room], device, dtype)
        self._batch = self._stack.batch(rows)

    def add(self, out: Tensor, x: Tensor, *layers: nn.Linear) -> Tensor:
        """Return `out`, which these layers side by side make of `x`, with each row's adapter added.

        For code that computes layers without calling them, and so without their hooks. Rows come
        first.
        """
        if self._batch is None:
            return out
        return self._batch.add(out, x, layers)

    def _after_layer(self, layer: nn.Linear, args: tuple[Tensor], out: Tensor) -> Tensor:
        """Replace the layer's output; torch calls this after each pass through the layer."""
        return self.add(out, args[0], layer)

    def load(self, folder: Path) -> Adapter:
        """Read a PEFT folder as `train` writes one, in the model's type and on its device.

        Raises:
            ModelError: its weights are not there as safetensors, or belong to another base.
        """
        config, weights = _read(folder)
        device, dtype = self._model.device, self._model.dtype
        a: dict[nn.Linear, Tensor] = {}
        b: dict[nn.Linear, Tensor] = {}
        for layer, name in self._names.items():
            own_a = weights.get(f"{PREFIX}{name}.lora_A.weight")
            own_b = weights.get(f"{PREFIX}{name}.lora_B.weight")
            # Another base has other layers, or the same ones in another size.
            if own_a is None or own_b is None or not _fits(layer, own_a, own_b):
                raise ModelError(
                    zh=f"微调模型 {folder.name} 不是在这个基础模型上训练的："
                    "把 COOKBOOK_BASE_MODEL 设回原来的值，再重启服务",
                    en=f"the tuned model {folder.name} was trained on another base model: "
                    "set COOKBOOK_BASE_MODEL as it was and restart the service",
                )
            a[layer] = own_a.to(device, dtype)
            b[layer] = own_b.to(device, dtype)
        return Adapter(config["lora_alpha"] / config["r"], a, b)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return configuration and weights; never PEFT's other form of weights, which is a pickle.

    Raises:
        ModelError: one of the two files is not there or cannot be read.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        cause = causes.known(error) if isinstance(error, OSError) else None
        if cause:
            raise ModelError(
                zh=f"读不到微调模型 {folder.name}：{cause.zh}",
                en=f"cannot read the tuned model {folder.name}: {cause.en}",
            ) from error
        raise ModelError(
            zh=f"微调模型 {folder.name} 的 adapter_model.safetensors 不在了："
            "重新微调，或换一个检查点",
            en=f"adapter_model.safetensors of the tuned model {folder.name} is gone: "
            "tune again or use another checkpoint",
        ) from error
    return config, weights


def _fits(layer: nn.Linear, a: Tensor, b: Tensor) -> bool:
    reads, makes = a.shape[1], b.shape[0]
    return reads == layer.in_features and makes == layer.out_features
