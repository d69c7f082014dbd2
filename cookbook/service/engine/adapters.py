"""Several LoRA adapters beside one base: tuned models share its memory and every forward pass. Knows torch alone.

    adapters = Adapters(model)
    adapters.use([one, None, other])  # of each row of the passes that follow
    model(...)

Those in use stand side by side, as if they were one adapter of many ranks: two products a layer for all rows, and
between them what is not a row's own is made zero.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cookbook.errors import ModelError

KEPT = 4  # adapters that stay side by side when others come to use
PREFIX = "base_model.model."  # PEFT's, before a layer's name


@dataclass(frozen=True, eq=False)
class Adapter:
    """Adds `scale · x A' B'` to what each linear layer makes of x; A is (rank, in) and B (out, rank)."""

    scale: float
    a: dict[nn.Linear, Tensor]
    b: dict[nn.Linear, Tensor]

    @property
    def rank(self) -> int:
        return len(next(iter(self.a.values())))


class Adapters:
    """What `model` says from here on is with the adapters that `use` names."""

    def __init__(self, model):
        self._model = model
        head = model.get_output_embeddings()
        self._names = {
            m: n for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head
        }
        for layer in self._names:
            layer.register_forward_hook(lambda layer, args, out: self.add(out, args[0], layer))
        self._standing: list[Adapter] = []
        self._joined: dict[tuple[nn.Linear, ...], tuple[Tensor, Tensor]] = {}
        self._scales = torch.empty(
            0
        )  # (adapters standing and none, all ranks): an adapter's scale at its own ranks
        self._own: Tensor | None = None  # (rows, all ranks)

    def load(self, folder: Path) -> Adapter:
        """A PEFT folder as `train` writes one, in the model's type and on its device.

        Raises:
            ModelError: its weights are not there as safetensors, or are of another base.
        """
        try:
            config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
            weights = load_file(
                folder / "adapter_model.safetensors"
            )  # never PEFT's other form, a pickle
        except (OSError, ValueError, SafetensorError) as error:
            raise ModelError(
                zh=f"微调模型 {folder.name} 的 adapter_model.safetensors 不在了：重新微调，或换一个检查点",
                en=f"adapter_model.safetensors of the tuned model {folder.name} is gone: tune again or use another checkpoint",
            ) from error
        as_model = lambda name: weights[f"{PREFIX}{name}.weight"].to(
            self._model.device, self._model.dtype
        )
        try:
            a, b = (
                {m: as_model(f"{n}.{part}") for m, n in self._names.items()}
                for part in ("lora_A", "lora_B")
            )
        except KeyError:
            fits = False
        else:
            fits = all(
                (a[m].shape[1], len(b[m])) == (m.in_features, m.out_features) for m in self._names
            )
        if not fits:
            raise ModelError(
                zh=f"微调模型 {folder.name} 不是在这个基础模型上训练的：把 COOKBOOK_BASE_MODEL 设回原来的值，再重启服务",
                en=f"the tuned model {folder.name} was trained on another base model: set COOKBOOK_BASE_MODEL as it was "
                "and restart the service",
            )
        return Adapter(config["lora_alpha"] / config["r"], a, b)

    def use(self, rows: Sequence[Adapter | None]) -> None:
        """The adapter of each row of the passes that follow; None: the base alone."""
        used = [adapter for adapter in dict.fromkeys(rows) if adapter]
        if not used:
            self._own = None
            return
        if not set(used) <= set(self._standing):
            others = [adapter for adapter in self._standing if adapter not in used]
            self._stand(used + others[: max(0, KEPT - len(used))])
        at = {adapter: i for i, adapter in enumerate(self._standing)} | {None: len(self._standing)}
        self._own = self._scales[[at[adapter] for adapter in rows]]

    def add(self, out: Tensor, x: Tensor, *layers: nn.Linear) -> Tensor:
        """`out`, which these layers, side by side, make of `x`, and what each row's adapter adds. Rows come first."""
        if self._own is None:
            return out
        if layers not in self._joined:
            a = torch.cat([adapter.a[layer] for layer in layers for adapter in self._standing])
            b = torch.block_diag(
                *(
                    torch.cat([adapter.b[layer] for adapter in self._standing], 1)
                    for layer in layers
                )
            )
            self._joined[layers] = a, b
        a, b = self._joined[layers]
        low = F.linear(x, a).unflatten(-1, (len(layers), -1))
        own = self._own.view(len(x), *[1] * (x.dim() - 1), -1)
        return out + F.linear((low * own).flatten(-2), b)

    def _stand(self, adapters: list[Adapter]) -> None:
        self._standing, self._joined = adapters, {}
        scales = [torch.full((1, adapter.rank), adapter.scale) for adapter in adapters]
        none = torch.zeros(1, sum(adapter.rank for adapter in adapters))
        self._scales = torch.cat([torch.block_diag(*scales), none]).to(
            self._model.device, self._model.dtype
        )
