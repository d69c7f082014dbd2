"""Keep weights in the order in which the processor multiplies, so that a token takes half the time.

    product = packed.pack(linear)      if packed.applies(linear)
    out = product(x)                   (…, in) to (…, out), as the layer itself would

A product in bfloat16 reads the weights in small blocks. oneDNN, by which torch computes it, brings
them into that order anew for every product, unless they are kept in it. For the one row of a token
that takes as long as the product itself; the results are the same, bit for bit.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 64
"""Rows of the products that the order is chosen for; the same serves one row and a thousand."""

Product = Callable[[Tensor], Tensor]


def applies(linear: nn.Linear) -> bool:
    """Return whether this layer's weights can be packed here."""
    weight = linear.weight
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16:
        return False
    # Made for `torch.compile`, and not there in every build of torch.
    operations = torch.ops.mkldnn
    if not (torch.backends.mkldnn.is_available() and hasattr(operations, "_linear_pointwise")):
        return False
    return operations._is_mkldnn_bf16_supported()


def pack(linear: nn.Linear) -> Product:
    """Return the layer's product with packed weights, by which the layer itself now computes too.

    The model is changed: the layer has no `weight` any more, so that the memory stays the same.
    """
    weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.data, ROWS)
    bias = linear.bias

    def product(x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    # Set on the object: its hooks, which add adapters, stay.
    linear.forward = product
    linear.weight = None
    return product


def leave_file(model: Any) -> None:
    """Copy the weights that are not packed.

    Those of a loaded model are a part of its file, which the system keeps in memory, packed weights
    and all, as long as one of them is in use.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
