"""Put several LoRA adapters beside one base: tuned models share its memory and forward passes.

    adapters = Adapters(model)
    adapters.use([one, None, other])   # of each row of the passes that follow; None: the base alone
    model(...)

The adapters in use are stacked as if they were one adapter with all their ranks. A pass takes two
products a layer for all rows, and between the two every row keeps the ranks of its own adapter.
With `one` of rank 2, `other` of rank 3, six tokens a row, and a layer that makes 5 values of 4:

    x                       (3 rows, 6, 4)
    A of both   (2+3, 4)    low  = x Aᵀ, each adapter's A times its scale     (3, 6, 2+3)
    others'     (3, 2+3)    own  = low, with 0 put where another's ranks are  (3, 6, 2+3)
                            rows  one    . . 0 0 0
                                  None   0 0 0 0 0
                                  other  0 0 . . .
    B of both   (5, 2+3)    added = own Bᵀ                                    (3, 6, 5)

The zeros are put, not multiplied by: what another adapter makes of a row may be infinite, and zero
times infinity is not a number. An adapter whose own weights are not all numbers is never loaded.

An adapter may leave layers out. Where no adapter of the stack has a layer, nothing is computed for
it; where only some have it, the others' ranks are filled with zeros, so that ranks stay aligned.

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

from cookbook import adapter_settings, causes
from cookbook.adapter_settings import CONFIG, PREFIX, WEIGHTS
from cookbook.errors import ModelError
from cookbook.service.engine import stored

STACKED = 4
"""Adapters that stay in the stack when others come into use, if there is room."""

Layers = tuple[nn.Linear, ...]
"""Layers that read the same input; usually one."""

Matrices = tuple[Tensor, Tensor]
"""A, (layers x all ranks, in), and B, (the layers' outputs together, layers x all ranks)."""


class BrokenModel(ModelError):
    """A model gives no answer: its files are damaged, or its weights not numbers or do not fit."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """Adds `scale · x Aᵀ Bᵀ` to what a linear layer makes of x; A is (rank, in), B (out, rank).

    To a layer that is not in `a` and `b` it adds nothing.
    """

    scale: float
    a: dict[nn.Linear, Tensor]
    b: dict[nn.Linear, Tensor]

    @property
    def rank(self) -> int:
        any_a = next(iter(self.a.values()))
        return len(any_a)

    def scaled_a(self, layer: nn.Linear) -> Tensor:
        """Return A times the scale, (rank, in); zeros for a layer that is left out."""
        if layer in self.a:
            return self.a[layer] * self.scale
        return next(iter(self.a.values())).new_zeros(self.rank, layer.in_features)

    def own_b(self, layer: nn.Linear) -> Tensor:
        """Return B, (out, rank); zeros for a layer that is left out."""
        if layer in self.b:
            return self.b[layer]
        return next(iter(self.b.values())).new_zeros(layer.out_features, self.rank)


class AdapterStack:
    """Adapters side by side, as one adapter with all their ranks.

    The matrices of a layer are put together at its first use and kept, since the same adapters
    answer hundreds of passes.
    """

    def __init__(self, adapters: list[Adapter], device: torch.device):
        self.adapters = adapters
        # None where no adapter has any of the layers.
        self._matrices: dict[Layers, Matrices | None] = {}
        # (adapters + 1, all ranks): which ranks are not the adapter's own; for the base, none is.
        self._others = torch.ones(
            len(adapters) + 1,
            sum(adapter.rank for adapter in adapters),
            device=device,
            dtype=torch.bool,
        )
        self._row_of: dict[Adapter | None, int] = {None: len(adapters)}
        start = 0
        for row, adapter in enumerate(adapters):
            self._row_of[adapter] = row
            end = start + adapter.rank
            self._others[row, start:end] = False
            start = end

    def batch(self, rows: Sequence[Adapter | None]) -> "AdapterBatch":
        """Return what one pass of these rows needs."""
        # The only adapter there is needs no choice of ranks.
        if len(self.adapters) == 1 and None not in rows:
            return AdapterBatch(self, None)
        index = [self._row_of[adapter] for adapter in rows]
        return AdapterBatch(self, self._others[index])

    def matrices(self, layers: Layers) -> Matrices | None:
        """Return A and B of layers that read the same input, side by side; None if none has any."""
        if layers not in self._matrices:
            self._matrices[layers] = self._put_together(layers)
        return self._matrices[layers]

    def _put_together(self, layers: Layers) -> Matrices | None:
        with_any = {layer for adapter in self.adapters for layer in adapter.a}
        if with_any.isdisjoint(layers):
            return None
        a, b = [], []
        for layer in layers:
            a += [adapter.scaled_a(layer) for adapter in self.adapters]
            own_b = [adapter.own_b(layer) for adapter in self.adapters]
            b.append(torch.cat(own_b, dim=1))
        # Each layer's output follows from its own ranks alone, hence the block diagonal.
        return torch.cat(a), torch.block_diag(*b)


class AdapterBatch:
    """The adapters of one pass: a stack, and for each row which of its ranks act.

    `others` is (rows, all ranks): true at the ranks that are not of the row's adapter. None where
    all ranks act in every row.
    """

    def __init__(self, stack: AdapterStack, others: Tensor | None):
        self._stack = stack
        self._others = others

    def add(self, out: Tensor, x: Tensor, layers: Layers) -> Tensor:
        """Return `out`, (rows, …, outputs), plus what the adapters make of `x`, (rows, …, in)."""
        matrices = self._stack.matrices(layers)
        if matrices is None:
            return out
        a, b = matrices
        low = F.linear(x, a)
        if self._others is None:
            return out + F.linear(low, b)
        # Every layer has all ranks, so the row's choice holds for each of them: (rows, …, layers,
        # all ranks).
        own = low.unflatten(-1, (len(layers), -1))
        between = [1] * (x.dim() - 1)  # "…" and layers
        others = self._others.view(len(x), *between, -1)
        own = own.masked_fill_(others, 0)
        return out + F.linear(own.flatten(-2), b)


class Adapters:
    """Let `model` answer with the adapters that `use` names.

    The model is changed: every linear layer of its body gets a forward hook, which adds the
    adapters to the layer's output in each pass. While no adapter is in use the hooks change
    nothing.
    """

    def __init__(self, model: Any):
        self._model = model
        self._stack = AdapterStack([], model.device)
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
            self._stack = AdapterStack(used + others[:room], self._model.device)
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
        """Read a PEFT folder, in the model's type and on its device.

        One that `train` wrote has all layers, one that was imported perhaps only some: those that
        its settings name must be there.

        Raises:
            ModelError: its weights are not there as safetensors, or belong to another base.
            BrokenModel: they are not all numbers, or do not fit the adapter's own settings.
        """
        config, weights = _read(folder)
        scale = _scale(folder, config)
        device, dtype = self._model.device, stored.computing_type(self._model)
        required = adapter_settings.required(config, self._names.values())
        a: dict[nn.Linear, Tensor] = {}
        b: dict[nn.Linear, Tensor] = {}
        for layer, name in self._names.items():
            own_a = weights.pop(f"{PREFIX}{name}.lora_A.weight", None)
            own_b = weights.pop(f"{PREFIX}{name}.lora_B.weight", None)
            if own_a is None and own_b is None and name not in required:
                continue
            # Another base has other layers, or the same ones in another size.
            if own_a is None or own_b is None or not _fits(layer, own_a, own_b):
                raise ModelError(
                    zh=f"微调模型 {folder.name} 不是在这个基础模型上训练的："
                    "把 COOKBOOK_BASE_MODEL 设回原来的值，再重启服务",
                    en=f"the tuned model {folder.name} was trained on another base model: "
                    "set COOKBOOK_BASE_MODEL as it was and restart the service",
                )
            # One rank for all layers, since the layers of a pass share the choice of ranks.
            ranks = {config["r"], len(own_a), own_b.shape[1]}
            if len(ranks) > 1:
                raise _does_not_fit(folder, f"{name}: r")
            if not (own_a.is_floating_point() and own_b.is_floating_point()):
                raise _does_not_fit(folder, f"{name}: {own_a.dtype}, {own_b.dtype}")
            a[layer] = own_a.to(device, dtype)
            b[layer] = own_b.to(device, dtype)
        if weights:
            raise _does_not_fit(folder, next(iter(weights)))
        if not a:
            raise _does_not_fit(folder, f"{CONFIG}: target_modules")
        adapter = Adapter(scale, a, b)
        _check_numbers(folder, adapter)
        return adapter


def adapter_files(folder: Path) -> tuple[object, ...]:
    """Return what is the same for folders whose files are the same ones, by hard links.

    The models of thirty people who took over one training are one adapter in thirty folders.
    """
    found: list[object] = []
    for path in _paths(folder):
        try:
            status = path.stat()
        except OSError:
            # Whoever loads it says what is wrong.
            return (folder,)
        # Where a file system has no numbers for its files, each is a file of its own.
        file = status.st_ino or path
        found.append((status.st_dev, file, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _paths(folder: Path) -> list[Path]:
    return [folder / CONFIG, folder / WEIGHTS]


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return configuration and weights; never PEFT's other form of weights, which is a pickle.

    Raises:
        ModelError: one of the two files is not there, or the disk cannot be read.
        BrokenModel: one of them is damaged.
    """
    paths = _paths(folder)
    try:
        for path in paths:
            # A pipe would keep every answer waiting.
            if path.exists() and not path.is_file():
                raise ValueError(f"{path.name} is not a file")
        config = json.loads(paths[0].read_text(encoding="utf-8"))
        weights = load_file(paths[1])
        if not isinstance(config, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        cause = causes.known(error) if isinstance(error, OSError) else None
        if cause:
            raise ModelError(
                zh=f"读不到微调模型 {folder.name}：{cause.zh}",
                en=f"cannot read the tuned model {folder.name}: {cause.en}",
            ) from error
        raise _unreadable(folder, paths) from error
    return config, weights


def _unreadable(folder: Path, paths: list[Path]) -> ModelError:
    for path in paths:
        if not path.exists():
            return ModelError(
                zh=f"微调模型 {folder.name} 的 {path.name} 不在了：重新微调，或换一个检查点",
                en=f"{path.name} of the tuned model {folder.name} is gone: "
                "tune again or use another checkpoint",
            )
    return BrokenModel(
        zh=f"微调模型 {folder.name} 的文件损坏了，读不出来：重新微调，或换一个检查点",
        en=f"the files of the tuned model {folder.name} are damaged and cannot be read: "
        "tune again or use another checkpoint",
    )


def _scale(folder: Path, config: dict[str, Any]) -> float:
    """Return what the adapter's product is multiplied by.

    Raises:
        BrokenModel: the settings do not give it, or ask for a variant that is not computed here.
    """
    if name := adapter_settings.variant(config):
        raise _does_not_fit(folder, f"{CONFIG}: {name}")
    if adapter_settings.rank(config) is None:
        raise _does_not_fit(folder, f"{CONFIG}: r")
    scale = adapter_settings.scale(config)
    if scale is None:
        raise _does_not_fit(folder, f"{CONFIG}: lora_alpha")
    return scale


def _fits(layer: nn.Linear, a: Tensor, b: Tensor) -> bool:
    if a.dim() != 2 or b.dim() != 2:
        return False
    reads, makes = a.shape[1], b.shape[0]
    return reads == layer.in_features and makes == layer.out_features


def _does_not_fit(folder: Path, part: str) -> BrokenModel:
    return BrokenModel(
        zh=f"微调模型 {folder.name} 的权重和设置对不上（{part}），不能回答："
        "重新微调，或换一个检查点",
        en=f"weights and settings of the tuned model {folder.name} do not fit each other ({part}): "
        "tune again or use another checkpoint",
    )


def _check_numbers(folder: Path, adapter: Adapter) -> None:
    """Raise BrokenModel where a weight, as it will be used, is infinite or not a number."""
    for layer, a in adapter.a.items():
        # Each as it is used: the scale becomes a part of A.
        used = torch.cat([(a * adapter.scale).flatten(), adapter.b[layer].flatten()])
        if used.isfinite().all():
            continue
        raise BrokenModel(
            zh=f"微调模型 {folder.name} 训练时发散了，权重里有 NaN 或无穷大，不能回答："
            "把学习速率降到十分之一重新微调，或换一个更早的检查点",
            en=f"training of the tuned model {folder.name} diverged: its weights are not all "
            "numbers. Tune again with a tenth of the learning rate, or use an earlier checkpoint",
        )
