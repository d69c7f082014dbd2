"""Find the base that an adapter belongs to, by its name and by the shapes of its layers.

    base = find_base(settings, pairs, named)

`named` is what the reader says; else the settings' own name counts if that base is installed, else
the one installed base that all shapes fit. The layers of a base are read from the headers of its
files: no weights, no torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from cookbook import adapter_settings, base_files, bases
from cookbook.adapter_settings import CONFIG, WEIGHTS
from cookbook.bases import Base
from cookbook.errors import AdapterError, ArgumentError
from cookbook.imports.settings import Settings
from cookbook.imports.weights import Pair
from cookbook.quoted import one_line

Shapes = Mapping[str, tuple[int, int]]
"""Of each linear layer of a base's body, by its name: (out, in)."""


class DoesNotFit(AdapterError):
    """An adapter belongs to another base."""


def find_base(settings: Settings, pairs: Mapping[str, Pair], named: str | None) -> Base:
    """Return the installed base that the adapter is for.

    Raises:
        AdapterError: there is none, several fit, or the one that is named does not fit.
        BaseAway: the one that is named must be downloaded first.
        ArgumentError: `named` is not installed.
    """
    _check_rank(settings, pairs)
    installed = bases.installed()
    told = named or bases.referred(settings.base)
    for base in installed:
        if base.id == told:
            base = bases.downloaded(base)
            check_fits(base, settings, pairs)
            return base
    if named:
        listed = ", ".join(base.id for base in installed)
        raise ArgumentError(
            zh=f"没有安装基础模型 {one_line(named)}。已安装：{listed}；"
            "别的先 python -m cookbook pull，再用 COOKBOOK_BASE_MODEL 选它",
            en=f"the base model {one_line(named)} is not installed. Installed: {listed}; for "
            "another run python -m cookbook pull and choose it with COOKBOOK_BASE_MODEL",
        )
    return _by_shapes(settings, pairs, installed)


def _by_shapes(settings: Settings, pairs: Mapping[str, Pair], installed: list[Base]) -> Base:
    fitting, reasons = [], []
    for base in installed:
        # What is not there yet cannot be compared.
        if base.is_missing:
            continue
        try:
            check_fits(base, settings, pairs)
            fitting.append(base)
        except DoesNotFit as error:
            reasons.append(error)
    # "unsloth/Qwen2.5-0.5B-Instruct-bnb-4bit" and a folder's path end as the original's name does.
    alike = [base for base in fitting if _last(base.id) == _last(settings.base)]
    if len(alike or fitting) == 1:
        return (alike or fitting)[0]
    told = one_line(settings.base) or "?"
    if fitting:
        listed = ", ".join(base.id for base in fitting)
        raise AdapterError(
            zh=f"这个适配器的基础模型是 {told}，形状合适的有几个：{listed}。用 --base 说是哪一个",
            en=f"the base of this adapter is {told}, and several have the right shapes: {listed}. "
            "Say with --base which one it is",
        )
    detail_zh = "；".join(reason.zh for reason in reasons)
    detail_en = "; ".join(reason.en for reason in reasons)
    raise AdapterError(
        zh=f"这个适配器的基础模型是 {told}，这里没有安装：先 python -m cookbook pull，"
        f"再用 COOKBOOK_BASE_MODEL 选它（{detail_zh}）",
        en=f"the base of this adapter is {told}, which is not installed: run python -m cookbook "
        f"pull and choose it with COOKBOOK_BASE_MODEL ({detail_en})",
    )


def _last(name: str) -> str:
    """Return the end of a base's name or path, as it was before somebody quantized it."""
    end = PurePosixPath(name.replace("\\", "/")).name
    return base_files.original(end).removesuffix("-unsloth").lower()


def check_fits(base: Base, settings: Settings, pairs: Mapping[str, Pair]) -> None:
    """Check that the adapter is on layers of this base, and on all that its settings name.

    Raises:
        DoesNotFit: naming the layer, the shape that was found and the one that is needed.
    """
    shapes = linear_layers(base)
    largest = max(max(shape) for shape in shapes.values())
    if settings.rank > largest:
        raise _does_not_fit(
            base,
            f"r 是 {settings.rank}，比它最宽的层（{largest}）还大",
            f"r is {settings.rank}, more than its widest layer has ({largest})",
        )
    for layer, pair in pairs.items():
        if layer not in shapes:
            raise _does_not_fit(base, f"没有 {layer} 这一层", f"it has no layer {layer}")
        needed, found = shapes[layer], (pair.b.shape[0], pair.a.shape[1])
        if found != needed:
            raise _does_not_fit(
                base,
                f"{layer} 要 {_sizes(needed)}，适配器是 {_sizes(found)}",
                f"{layer} is {_sizes(needed)}, the adapter is for {_sizes(found)}",
            )
    targeted = settings.targeted(shapes)
    if missing := sorted(targeted - pairs.keys(), key=_place):
        raise _does_not_fit(
            base,
            f"按 target_modules 还要有 {missing[0]}，适配器里没有",
            f"by target_modules the adapter must have {missing[0]}, too, and does not",
        )
    if extra := sorted(pairs.keys() - targeted, key=_place):
        raise AdapterError(
            zh=f"{WEIGHTS} 里有 {extra[0]}，{CONFIG} 的 target_modules 里没有：两个文件不是一起的，"
            "从训练它的地方重新复制",
            en=f"{WEIGHTS} has {extra[0]}, which target_modules in {CONFIG} does not name: the two "
            "files do not belong together. Copy them again from where the adapter was trained",
        )


def linear_layers(base: Base) -> Shapes:
    """Return the linear layers of a base's body, from the headers of its files."""
    found: dict[str, tuple[int, int]] = {}
    for shard in _shards(Path(base.source)):
        with shard.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        for name, tensor in header.items():
            layer, _, end = name.rpartition(".")
            shape = tensor.get("shape", [])
            # Embedding and head are in no numbered layer; norms and biases are no matrices.
            if end == "weight" and len(shape) == 2 and adapter_settings.number(name) is not None:
                found[layer] = (shape[0], shape[1])
    return found


def _shards(folder: Path) -> list[Path]:
    """Return the files of a base's weights.

    Raises:
        AdapterError: they are not whole.
    """
    if lacking := base_files.unfinished(folder):
        raise AdapterError(
            zh=f"基础模型 {folder.name} 的文件不完整（{', '.join(lacking)}）：先修好它再导入",
            en=f"the files of the base model {folder.name} are not whole ({', '.join(lacking)}): "
            "repair it before you import",
        )
    index = base_files.read_json(folder / base_files.INDEX)
    names = index["weight_map"].values() if index else [base_files.SINGLE]
    return [folder / name for name in sorted(set(names))]


def _check_rank(settings: Settings, pairs: Mapping[str, Pair]) -> None:
    """Check that every layer has the rank of the settings, so that no size can be made up."""
    for layer, pair in pairs.items():
        ranks = {pair.a.shape[0], pair.b.shape[1], settings.rank}
        if len(ranks) > 1:
            found = f"{_sizes(pair.a.shape)}, {_sizes(pair.b.shape)}"
            raise AdapterError(
                zh=f"{CONFIG} 里的 r 是 {settings.rank}，{WEIGHTS} 里 {layer} 是 {found}：对不上，"
                "两个文件不是一起的，从训练它的地方重新复制",
                en=f"r in {CONFIG} is {settings.rank}, and {layer} in {WEIGHTS} is {found}: the "
                "two files do not belong together. Copy them again from where the adapter was "
                "trained",
            )


def _place(name: str) -> tuple[int, str]:
    return adapter_settings.number(name) or 0, name


def _sizes(shape: tuple[int, int]) -> str:
    return f"{shape[0]}×{shape[1]}"


def _does_not_fit(base: Base, zh: str, en: str) -> DoesNotFit:
    return DoesNotFit(
        zh=f"这个适配器不是 {base.id} 的：{zh}",
        en=f"this adapter is not for {base.id}: {en}",
    )
