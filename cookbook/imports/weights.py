"""Read an adapter's safetensors file without torch: its header, and whether all are numbers.

    header = read_header(file, size)         names, types and shapes; nothing is believed unchecked
    header.layers()                          A and B by the base's names of its layers
    for name, part in header.numbers(file): …    the bytes of each weight, looked at
    Digest(header)                           of all weights, in whatever order a file has them

A file of weights is the one part of an adapter that is large, so its size is known to be right from
its header before any of it is copied.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from cookbook.adapter_settings import PREFIX, WEIGHTS
from cookbook.errors import AdapterError
from cookbook.quoted import one_line

_LONGEST_HEADER = 16 * 2**20  # bytes; that of 80 layers has a hundred thousand
_PART_BYTES = 4 * 2**20
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_EXPONENTS: dict[str, Any] = {
    "F32": np.uint32(0x7F800000),
    "F16": np.uint16(0x7C00),
    "BF16": np.uint16(0x7F80),
}
"""The bits of an exponent: where all are set, the weight is infinite or not a number."""


@dataclass(frozen=True)
class Weight:
    """One matrix of the file; `start` and `end` count from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, int]
    start: int
    end: int


@dataclass(frozen=True)
class Pair:
    """A and B of a layer, (rank, in) and (out, rank)."""

    a: Weight
    b: Weight


@dataclass(frozen=True)
class Header:
    """What the file holds.

    Attributes:
        weights: by the name that PEFT gives them, in the order of their bytes.
        content: the header as it will be written, with its length before it.
        size: of the whole file as it will be written.
    """

    weights: dict[str, Weight]
    content: bytes
    size: int

    def layers(self) -> dict[str, Pair]:
        """Return A and B of each layer.

        Raises:
            AdapterError: one of the two is missing.
        """
        found = {}
        for name, weight in self.weights.items():
            layer, _, end = name.removeprefix(PREFIX).rpartition(".lora_")
            other = "B" if end == "A.weight" else "A"
            partner = self.weights.get(f"{PREFIX}{layer}.lora_{other}.weight")
            if partner is None:
                raise _odd(
                    name,
                    f"{layer} 缺 lora_{other}，文件不完整",
                    f"lora_{other} of {layer} is missing, so the file is not complete",
                )
            found[layer] = Pair(weight, partner) if other == "B" else Pair(partner, weight)
        return found

    def numbers(self, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
        """Yield the bytes behind the header with the weight's name, looked at before.

        Raises:
            AdapterError: a weight is infinite or not a number, or the file ends too early.
        """
        for name, weight in self.weights.items():
            left = weight.end - weight.start
            while left:
                part = _exactly(file, min(left, _PART_BYTES))
                _check_numbers(name, weight.dtype, part)
                left -= len(part)
                yield name, part
        if file.read(1):
            raise _damaged("比文件头说的长", "it is longer than its header says")


class Digest:
    """A digest of weights: the same for files that differ in their headers alone."""

    def __init__(self, header: Header):
        self._parts = {}
        for name, weight in header.weights.items():
            self._parts[name] = hashlib.sha256(f"{name} {weight.dtype} {weight.shape}".encode())

    def update(self, name: str, part: bytes) -> None:
        """Add bytes of a weight."""
        self._parts[name].update(part)

    def hex(self) -> str:
        """Return the digest of all that was added."""
        whole = hashlib.sha256()
        for name in sorted(self._parts):
            whole.update(self._parts[name].digest())
        return whole.hexdigest()


def read_header(file: IO[bytes], size: int) -> Header:
    """Read the header of a file of `size` bytes; the file is then where its weights begin.

    Raises:
        AdapterError: it is not a safetensors file, not whole, or holds other things than LoRA's
            matrices.
    """
    begin = file.read(8)
    length = int.from_bytes(begin, "little")
    if len(begin) < 8 or not 2 <= length <= min(size - 8, _LONGEST_HEADER):
        raise _not_safetensors(begin)
    content = _exactly(file, length)
    try:
        found = json.loads(content)
        found.pop("__metadata__", None)
        weights = [_weight(name, entry) for name, entry in found.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(
            f"文件头读不出来：{one_line(str(error))}",
            f"its header cannot be read: {one_line(str(error))}",
        ) from error
    weights.sort(key=lambda weight: weight.start)
    _check_places(weights, size - 8 - length)
    named = {_own_name(weight.name): weight for weight in weights}
    if len(named) < len(weights):
        raise _odd(weights[0].name, "里面有几个适配器", "there are several adapters in it")
    if not named:
        raise _damaged("里面没有权重", "there are no weights in it")
    if any(name != weight.name for name, weight in named.items()):
        content = _renamed(named)
    whole = len(content).to_bytes(8, "little") + content
    return Header(named, whole, len(whole) + size - 8 - length)


def _weight(name: str, entry: dict[str, Any]) -> Weight:
    shape, (start, end) = entry["shape"], entry["data_offsets"]
    dtype = str(entry["dtype"])
    if not all(type(one) is int and one >= 0 for one in (*shape, start, end)):
        raise ValueError(f"{name}: {shape}, {start}, {end}")
    if dtype not in _BYTES:
        raise _odd(
            name, f"类型 {one_line(dtype)} 不能用", f"its type {one_line(dtype)} cannot be used"
        )
    if len(shape) != 2:
        # Its name says more of what it is.
        _own_name(name)
        raise _odd(name, f"形状是 {shape}", f"its shape is {shape}")
    if end - start != math.prod(shape) * _BYTES[dtype]:
        raise ValueError(f"{name}: {end - start}")
    return Weight(name, dtype, (shape[0], shape[1]), start, end)


def _check_places(weights: list[Weight], size: int) -> None:
    """Check that the weights follow one another without gaps, and end where the file does."""
    at = 0
    for weight in weights:
        if weight.start != at:
            raise _damaged("权重的位置对不上", "the places of its weights do not agree")
        at = weight.end
    if at > size:
        raise _damaged(
            f"少 {at - size:,} 字节，没有复制完",
            f"{at - size:,} bytes are missing, so it was not copied completely",
        )
    if at < size:
        raise _damaged(
            f"比文件头说的长 {size - at:,} 字节",
            f"it is {size - at:,} bytes longer than its header says",
        )


def _own_name(name: str) -> str:
    """Return the name that PEFT gives a matrix when it saves it.

    A state that was saved as it is in memory has the adapter's name in it, `lora_A.default.weight`.

    Raises:
        AdapterError: it is no matrix of LoRA on a linear layer of the body.
    """
    if "lm_head" in name or "embed" in name or "wte" in name:
        raise _odd(
            name,
            "训练了词表（embedding 或 lm_head），这里不支持：target_modules 和 modules_to_save "
            "里去掉它们、不加新 token，再训练一次",
            "the vocabulary was trained (embedding or lm_head), which is not supported here: "
            "train again without it in target_modules and modules_to_save, and without new tokens",
        )
    for part in ("A", "B"):
        layer, found, end = name.rpartition(f".lora_{part}.")
        if found and end.rpartition(".")[2] == "weight" and end.count(".") < 2:
            return f"{PREFIX}{layer.removeprefix(PREFIX)}.lora_{part}.weight"
    if name.endswith((".lora_a", ".lora_b")):
        raise _odd(
            name,
            "是 MLX 的格式：先转成 PEFT 的格式",
            "this is MLX's format: convert it to PEFT's first",
        )
    raise _odd(
        name,
        "不是线性层上的 LoRA 权重（只认 lora_A 和 lora_B）",
        "it is no LoRA weight of a linear layer (lora_A and lora_B)",
    )


def _renamed(named: dict[str, Weight]) -> bytes:
    """Return a header with PEFT's own names."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for name, weight in named.items():
        places = [weight.start, weight.end]
        shape = list(weight.shape)
        header[name] = {"dtype": weight.dtype, "shape": shape, "data_offsets": places}
    content = json.dumps(header, separators=(",", ":")).encode()
    # The weights begin at a multiple of 8, as safetensors writes them.
    return content.ljust(math.ceil(len(content) / 8) * 8)


def _check_numbers(name: str, dtype: str, part: bytes) -> None:
    exponent = _EXPONENTS[dtype]
    found = np.frombuffer(part, dtype=exponent.dtype.newbyteorder("<"))
    if bool(((found & exponent) == exponent).any()):
        raise _odd(
            name,
            "里面有 NaN 或无穷大，训练时发散了：换一个更早的检查点",
            "not all of its weights are numbers, so the training diverged: use an earlier "
            "checkpoint",
        )


def _exactly(file: IO[bytes], count: int) -> bytes:
    part = file.read(count)
    if len(part) < count:
        raise _damaged("没有复制完", "it was not copied completely")
    return part


def _not_safetensors(begin: bytes) -> AdapterError:
    if begin.startswith((b"PK", b"\x80")):
        return AdapterError(
            zh=f"{WEIGHTS} 只是改了名字的 pickle（打开时可能运行任意代码），这里不读："
            f"{_CONVERT_ZH}",
            en=f"{WEIGHTS} is a pickle under another name, which may run any code when opened, and "
            f"is not read here: {_CONVERT_EN}",
        )
    if begin.startswith(b"version"):
        return AdapterError(
            zh=f"{WEIGHTS} 只是 Git LFS 的指针，内容没有下载：在那个文件夹里运行 git lfs pull",
            en=f"{WEIGHTS} is only a Git LFS pointer, its content is not there: run git lfs pull "
            "in that folder",
        )
    return _damaged("不是 safetensors 文件", "it is not a safetensors file")


_CONVERT_ZH = (
    "在训练它的地方用 PEFT 读进来，再 save_pretrained(文件夹, safe_serialization=True)，"
    "导入那个文件夹"
)
_CONVERT_EN = (
    "load it with PEFT where it was trained, save it with "
    "save_pretrained(FOLDER, safe_serialization=True), and import that folder"
)


def pickled(name: str) -> AdapterError:
    """Return the error for an adapter whose weights are a pickle."""
    return AdapterError(
        zh=f"权重是 {name}，一个 pickle（打开时可能运行任意代码），这里不读：{_CONVERT_ZH}",
        en=f"the weights are {name}, a pickle, which may run any code when opened, and is not read "
        f"here: {_CONVERT_EN}",
    )


def _damaged(zh: str, en: str) -> AdapterError:
    return AdapterError(
        zh=f"{WEIGHTS} 损坏（{zh}）：从训练它的地方重新复制",
        en=f"{WEIGHTS} is damaged ({en}): copy it again from where the adapter was trained",
    )


def _odd(name: str, zh: str, en: str) -> AdapterError:
    shown = one_line(name)[:120]
    return AdapterError(zh=f"{WEIGHTS} 里的 {shown}：{zh}", en=f"{shown} in {WEIGHTS}: {en}")
