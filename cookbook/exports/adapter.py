"""Read a PEFT adapter, checked, as what is added to each of a base's matrices.

    lora = read(folder)
    lora.update("model.layers.0.self_attn.q_proj")     scale · B A, in float32

An adapter may have fewer layers than its base. Whatever computes something else than
`scale · B A` is refused: DoRA, ranks that differ between layers, whole layers beside the adapter,
embeddings, a base that was changed before the training. Which settings say so is in
`adapter_settings.py`, as the service and the import read them. Weights are read from safetensors
alone, never from a pickle. torch is imported where it is needed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import adapter_settings
from cookbook.adapter_settings import CONFIG, PREFIX, WEIGHTS
from cookbook.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Lora:
    """An adapter: for each layer, by its name in the base, A (rank, in) and B (out, rank)."""

    scale: float
    a: "dict[str, Tensor]"
    b: "dict[str, Tensor]"

    def update(self, layer: str) -> "Tensor":
        """Return what is added to the layer's matrix, (out, in), in float32."""
        return self.b[layer].float() @ self.a[layer].float() * self.scale

    def shape(self, layer: str) -> list[int]:
        """Return the shape of the layer's matrix, (out, in)."""
        return [self.b[layer].shape[0], self.a[layer].shape[1]]


def read(folder: Path, name: str) -> Lora:
    """Return the adapter in a folder.

    Args:
        name: the model's, for the sentence.

    Raises:
        ModelError: a file is missing or damaged, or it is another kind of adapter.
    """
    config = config_of(folder, name)
    kind = config.get("peft_type")
    if kind not in (None, "LORA"):
        raise _unfit(name, f"peft_type = {kind!r:.40}")
    if variant := adapter_settings.variant(config):
        raise _unfit(name, variant)
    rank, scale = _rank_and_scale(config, name)
    weights = check_weights(folder, name)
    a: dict[str, Tensor] = {}
    b: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        layer, side = _layer(key, a, b)
        if side is None or tensor.dim() != 2 or not tensor.is_floating_point():
            raise _unfit(name, key)
        side[layer] = tensor
    if not a or a.keys() != b.keys():
        raise _unfit(name, WEIGHTS)
    for layer in a:
        if {a[layer].shape[0], b[layer].shape[1]} != {rank}:
            raise _unfit(name, f"{layer}: r")
        if not (a[layer].isfinite().all() and b[layer].isfinite().all()):
            raise ModelError(
                zh=f"模型 {name} 的权重里有 NaN 或无穷大（{layer}），训练时发散了："
                "换一个更早的检查点，或降低学习速率重新微调",
                en=f"the weights of the model {name} are not all numbers ({layer}): its training "
                "diverged. Use an earlier checkpoint, or tune again with a lower learning rate",
            )
    return Lora(scale, a, b)


def _layer(
    key: str, a: "dict[str, Tensor]", b: "dict[str, Tensor]"
) -> "tuple[str, dict[str, Tensor] | None]":
    """Return the layer that a tensor belongs to, and which of its two matrices it is."""
    for ending, side in ((_A, a), (_B, b)):
        if key.startswith(PREFIX) and key.endswith(ending):
            return key.removeprefix(PREFIX).removesuffix(ending), side
    return key, None


def config_of(folder: Path, name: str) -> dict[str, Any]:
    """Return the settings of an adapter, of whatever kind.

    Raises:
        ModelError: they are missing or damaged.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, name) from error
    if not isinstance(config, dict):
        raise _damaged(path, name)
    return config


def _rank_and_scale(config: dict[str, Any], name: str) -> tuple[int, float]:
    """Return the rank, and what the product of the two matrices is multiplied by."""
    rank, scale = adapter_settings.rank(config), adapter_settings.scale(config)
    if rank is None:
        raise _unfit(name, f"r = {config.get('r')!r:.40}")
    if scale is None:
        raise _unfit(name, f"lora_alpha = {config.get('lora_alpha')!r:.40}")
    return rank, scale


def check_weights(folder: Path, name: str) -> "dict[str, Tensor]":
    """Return all tensors of an adapter, of whatever kind.

    Raises:
        ModelError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    try:
        if not path.is_file():
            raise FileNotFoundError(path)
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise _damaged(path, name) from error


def _damaged(path: Path, name: str) -> ModelError:
    if not path.exists():
        return ModelError(
            zh=f"模型 {name} 缺 {path.name}，导不出来：重新微调，或换一个检查点",
            en=f"{path.name} of the model {name} is missing, so it cannot be exported: tune again, "
            "or use another checkpoint",
        )
    return ModelError(
        zh=f"模型 {name} 的 {path.name} 损坏了，导不出来：重新微调，或换一个检查点",
        en=f"{path.name} of the model {name} is damaged, so it cannot be exported: tune again, or "
        "use another checkpoint",
    )


def _unfit(name: str, part: str) -> ModelError:
    return ModelError(
        zh=f"模型 {name} 的适配器里有不能合并的部分（{part}）："
        "用 --as peft 原样带走，或用训练它的工具合并",
        en=f"the adapter of the model {name} has a part that cannot be merged here ({part}): take "
        "it as it is with --as peft, or merge it with the tool that trained it",
    )
