"""Keep a part of every layer of a base in each worker, so that together they hold a larger one.

    shard(model, weights, device, world)      a model in its file; afterwards parts on the device

The layers are cut up by torch's FSDP2: each is put together where it is computed, in the forward
and in the backward pass, and dropped again. Embedding, head and last norm are whole in each worker,
since they are read outside of the layers. So is the adapter, which comes after this.

Each layer is read from the base's file, cast and cut by itself: no worker ever holds all of them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from cookbook.machine import CPU
from cookbook.memory import FLOAT32, STORED_BFLOAT16
from cookbook.service.engine.heap import give_back_at_once


def shard(model: Any, weights: str, device: str, world: int) -> None:
    """Cut up the layers of a base for `world` workers, and bring the rest to the device.

    Args:
        weights: the type of the base's weights, as the memory plan names it.
    """
    mesh = init_device_mesh(device, (world,))
    if device == CPU:
        # The layers that come and go would leave holes larger than what is saved.
        give_back_at_once()
    for layer in model.model.layers:
        for parameter in layer.parameters():
            parameter.data = parameter.data.to(device, _type(parameter, weights))
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    whole = {parameter for parameter in model.parameters() if not isinstance(parameter, DTensor)}
    for parameter in whole:
        # Copied in any case: a single tensor of the file would keep all of it in memory.
        parameter.data = parameter.data.to(device, _type(parameter, weights), copy=True)
    # Around the layers, so that each is fetched while the one before it is computed.
    fully_shard(model.model, mesh=mesh, ignored_params=whole)


def _type(parameter: Tensor, weights: str) -> torch.dtype:
    """Return the type of a weight of the base where the base's are of this type."""
    # Of what is computed in float32 only matrices are stored in bfloat16, see `stored.py`.
    is_small = parameter.dim() < 2
    in_float32 = weights == FLOAT32 or (weights == STORED_BFLOAT16 and is_small)
    return torch.float32 if in_float32 else torch.bfloat16
