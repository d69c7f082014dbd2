"""Know the rotary positions of a base: its settings, and how llama.cpp writes and computes them.

settings(config)                        rope_parameters, or rope_scaling as older files have it
factors(config)                         what Llama 3 divides each frequency by
as_llama_cpp_rotates(name, tensor, …)   the rows of a query's or key's matrix in another order
"""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def head_dim(config: dict[str, Any]) -> int:
    """Return the width of one attention head."""
    size: int = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return size


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the rotary positions, whose name depends on who wrote the file."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope: dict[str, Any] = dict(found) if isinstance(found, dict) else {"rope_type": found}
    if "type" in rope:
        rope.setdefault("rope_type", rope["type"])
    return rope


def theta(config: dict[str, Any]) -> float:
    """Return the base of the frequencies."""
    usual = 10_000.0
    return float(settings(config).get("rope_theta") or config.get("rope_theta") or usual)


def as_llama_cpp_rotates(name: str, tensor: "Tensor", config: dict[str, Any]) -> "Tensor":
    """Return the rows of Llama's queries and keys in the order in which llama.cpp turns them.

    transformers turns value i of a head together with value i + half; llama.cpp, for Llama alone,
    values 2i and 2i + 1.
    """
    part = name.rpartition(".")[0].rpartition(".")[2]
    if part not in ("q_proj", "k_proj"):
        return tensor
    heads = tensor.shape[0] // head_dim(config)
    halves = tensor.unflatten(0, (heads, 2, -1))
    return halves.transpose(1, 2).reshape(tensor.shape)


def factors(config: dict[str, Any]) -> "Tensor | None":
    """Return what Llama 3 divides each rotary frequency by; None where nothing is divided.

    Long waves are slowed down by `factor`, short ones stay, and those between are a mixture:
    https://arxiv.org/abs/2407.21783, as transformers computes them.
    """
    rope = settings(config)
    if rope.get("rope_type", "default") == "default":
        return None
    import torch

    size = head_dim(config)
    frequencies = 1.0 / theta(config) ** (torch.arange(0, size, 2, dtype=torch.float32) / size)
    waves = 2 * math.pi / frequencies
    factor, low, high = (rope[n] for n in ("factor", "low_freq_factor", "high_freq_factor"))
    context = rope["original_max_position_embeddings"]
    share = (context / waves - low) / (high - low)
    mixed = 1 / ((1 - share) / factor + share)
    # Below the short wave nothing changes; beyond the long one all of it does.
    mixed = torch.where(waves < context / high, torch.ones_like(waves), mixed)
    return torch.where(waves > context / low, torch.full_like(waves, float(factor)), mixed)
