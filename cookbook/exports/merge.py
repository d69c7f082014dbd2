"""Merge an adapter into its base: each matrix becomes W + scale · B A, the rest stays as it is.

    base = Weights(folder)                   names, shapes and types, from the headers alone
    check(base, lora, names)                 whether the adapter is one of this base
    tensor_of(base, lora, name)              one tensor, merged in float32
    write(base, lora, target)                the same as safetensors files, in the base's own type

Computed in float32. `write` keeps the base's shards, their index and the types of its weights; it
holds one shard in memory. Tied embeddings stay tied: they are one tensor in the files, too.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook.base_files import INDEX, SINGLE
from cookbook.errors import ModelError
from cookbook.exports.adapter import Lora

if TYPE_CHECKING:
    from torch import Tensor

Show = Callable[[int], None]
"""Called with the bytes that were written."""


def ignore(count: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Stored:
    """Where a tensor of a base is, and its sizes: `shard` is the name of its file."""

    shard: str
    shape: tuple[int, ...]


class Weights:
    """The weights of a base's folder, whose files have been checked."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def shards(self) -> list[str]:
        """The names of the files, in their order."""
        index = self.folder / INDEX
        if not index.is_file():
            # Some have the same weights once more, in another vendor's names.
            if (self.folder / SINGLE).is_file():
                return [SINGLE]
            return sorted(path.name for path in self.folder.glob("*.safetensors")) or [SINGLE]
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        # A name with a folder in it would lead out of this one.
        return sorted({Path(name).name for name in names})

    @cached_property
    def tensors(self) -> dict[str, Stored]:
        """Every tensor by its name."""
        from safetensors import safe_open

        found: dict[str, Stored] = {}
        for shard in self.shards:
            with safe_open(self.folder / shard, framework="pt") as file:
                for name in sorted(file.keys()):
                    shape = tuple(file.get_slice(name).get_shape())
                    found[name] = Stored(shard, shape)
        return found

    @property
    def bytes(self) -> int:
        return sum((self.folder / shard).stat().st_size for shard in self.shards)


def check(base: Weights, lora: Lora, *, name: str, base_id: str) -> None:
    """Refuse an adapter that was trained on another base.

    Raises:
        ModelError: naming the layer that the base has not, or has in another size.
    """
    for layer in lora.a:
        tensor = base.tensors.get(f"{layer}.weight")
        if tensor is not None and list(tensor.shape) == lora.shape(layer):
            continue
        there = "–" if tensor is None else list(tensor.shape)
        raise ModelError(
            zh=f"模型 {name} 不是在现在的 {base_id} 上训练的（{layer}：适配器要 "
            f"{lora.shape(layer)}，基础模型是 {there}）：把 COOKBOOK_BASE_MODEL 设成训练它的那个"
            "基础模型",
            en=f"the model {name} was not trained on the {base_id} that is here ({layer}: the "
            f"adapter is for {lora.shape(layer)}, the base has {there}): set COOKBOOK_BASE_MODEL "
            "to the base that it was trained on",
        )


def tensor_of(base: Weights, lora: Lora | None, name: str) -> "Tensor":
    """Return one tensor of the base; one with an adapter is merged, in float32."""
    from safetensors import safe_open

    with safe_open(base.folder / base.tensors[name].shard, framework="pt") as file:
        return _with_adapter(name, file.get_tensor(name), lora)


def write(base: Weights, lora: Lora, target: Path, *, name: str, show: Show = ignore) -> None:
    """Write the merged weights into a folder, a shard at a time, each in the base's own type.

    Raises:
        ModelError: a merged weight is beyond what the base's type holds.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    for shard in base.shards:
        with safe_open(base.folder / shard, framework="pt") as file:
            tensors = {}
            for key in sorted(file.keys()):
                tensor = file.get_tensor(key)
                tensors[key] = _cast(_with_adapter(key, tensor, lora), tensor.dtype, key, name)
            save_file(tensors, target / shard, metadata=file.metadata())
        show((target / shard).stat().st_size)
    if (base.folder / INDEX).is_file():
        shutil.copyfile(base.folder / INDEX, target / INDEX)


def _with_adapter(name: str, tensor: "Tensor", lora: Lora | None) -> "Tensor":
    layer = name.removesuffix(".weight")
    if lora is None or layer not in lora.a:
        return tensor
    return tensor.float() + lora.update(layer)


def _cast(tensor: "Tensor", kind: Any, key: str, name: str) -> "Tensor":
    """Return a tensor in this type."""
    if tensor.dtype == kind:
        return tensor
    cast = tensor.to(kind)
    if not cast.isfinite().all():
        raise ModelError(
            zh=f"模型 {name} 合并后的权重（{key}）超出了基础模型的类型 {kind} 能存的范围："
            "用 --as peft 带走适配器",
            en=f"a merged weight of the model {name} ({key}) is beyond what the base's type {kind} "
            "holds: take the adapter with --as peft",
        )
    return cast.contiguous()
