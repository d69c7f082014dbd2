"""Read the settings of an adapter from elsewhere, and refuse what is not computed here.

    found = read_settings(content)      of an adapter_config.json
    found.targeted(names)               which layers of a base it must have
    found.as_stored(base, layers)       the same settings, as the data folder keeps them

What other tools write differs: the name of the base, the targets (a list, a pattern, "all-linear"),
settings of a newer PEFT. Nothing is changed in the reader's folder.
"""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cookbook import adapter_settings
from cookbook.adapter_settings import CONFIG
from cookbook.bases import Base
from cookbook.errors import AdapterError
from cookbook.quoted import one_line

_PATTERN_SECONDS = 10.0
# Runs in a process of its own: a pattern from elsewhere may never come to an end.
_MATCH = (
    "import json, re, sys\n"
    "pattern, names = json.load(sys.stdin)\n"
    "print(json.dumps([name for name in names if re.fullmatch(pattern, name)]))\n"
)
# That matter only while an adapter is trained, or are read by name.
_KNOWN = frozenset(adapter_settings.VARIANTS) | {
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "r",
    "target_modules",
    "exclude_modules",
    "lora_alpha",
    "lora_dropout",
    "bias",
    "use_rslora",
    "init_lora_weights",
    "layers_to_transform",
    "layers_pattern",
    "megatron_config",
    "megatron_core",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "qalora_group_size",
    "runtime_config",
    "ensure_weight_tying",
}


@dataclass(frozen=True)
class Settings:
    """What an adapter_config.json says.

    Attributes:
        config: all of it.
        rank: of every layer.
        base: the name or path of the base, as the tool that trained it knew it; empty if none.
        unknown: settings that have a value and that nothing here knows.
    """

    config: dict[str, Any]
    rank: int
    base: str
    unknown: tuple[str, ...]

    @property
    def alpha(self) -> float:
        """What the scale is made of, with the rank."""
        return float(self.config["lora_alpha"])

    def targeted(self, names: Iterable[str]) -> set[str]:
        """Return which of these layers the adapter is on, as PEFT reads its settings.

        Raises:
            AdapterError: they say it by a pattern that cannot be used.
        """
        names = list(names)
        chosen = set(self._by_target(names))
        layers = adapter_settings.numbers(self.config)
        if layers is not None:
            chosen = {name for name in chosen if adapter_settings.number(name) in layers}
        excluded = self.config.get("exclude_modules")
        if isinstance(excluded, str) and excluded:
            chosen -= set(_matching(excluded, names, "exclude_modules"))
        elif isinstance(excluded, list):
            chosen -= {name for name in names if adapter_settings.is_target(name, excluded)}
        return chosen

    def _by_target(self, names: list[str]) -> Iterable[str]:
        targets = self.config["target_modules"]
        if isinstance(targets, str):
            if targets == "all-linear":
                return names
            return _matching(targets, names, "target_modules")
        if self.config.get("layers_to_transform") is None:
            targets = adapter_settings.of_every_layer(targets)
        return [name for name in names if adapter_settings.is_target(name, targets)]

    def as_stored(self, base: Base, layers: set[str]) -> dict[str, Any]:
        """Return the settings as the data folder keeps them: with its own base, and plain targets.

        Args:
            layers: those that the adapter is on.
        """
        config = self.config | {
            "base_model_name_or_path": base.reference,
            "inference_mode": True,
            "task_type": "CAUSAL_LM",
            # Both say where the base came from on another machine.
            "revision": None,
            "auto_mapping": None,
        }
        is_plain = isinstance(config["target_modules"], list)
        if is_plain and not config.get("exclude_modules") and not config.get("layers_pattern"):
            return config
        numbers = {adapter_settings.number(name) for name in layers}
        # No pattern is run again later, here or elsewhere.
        return config | {
            "target_modules": sorted(layers),
            "exclude_modules": None,
            "layers_pattern": None,
            "layers_to_transform": sorted(one for one in numbers if one is not None),
        }


def read_settings(content: bytes) -> Settings:
    """Return the settings in an adapter_config.json.

    Raises:
        AdapterError: they cannot be read, or are those of an adapter that is not computed here.
    """
    try:
        config = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _damaged(one_line(str(error))) from error
    if not isinstance(config, dict):
        raise _damaged(type(config).__name__)
    _check_kind(config)
    rank = adapter_settings.rank(config)
    if rank is None:
        raise _wrong(config, "r")
    if adapter_settings.scale(config) is None:
        raise _wrong(config, "lora_alpha")
    _check_targets(config)
    base = config.get("base_model_name_or_path")
    unknown = sorted(name for name, value in config.items() if value and name not in _KNOWN)
    return Settings(config, rank, base if isinstance(base, str) else "", tuple(unknown))


def _check_kind(config: dict[str, Any]) -> None:
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        name = one_line(str(kind))
        raise AdapterError(
            zh=f"{CONFIG} 说这是 {name}，不是 LoRA 适配器：这里只能导入 LoRA",
            en=f"{CONFIG} says that this is {name}, not a LoRA adapter: only LoRA can be imported",
        )
    task = config.get("task_type") or "CAUSAL_LM"
    if task != "CAUSAL_LM":
        name = one_line(str(task))
        raise AdapterError(
            zh=f"{CONFIG} 里的 task_type 是 {name}：这个适配器不是用来对话的，"
            "这里只能导入 CAUSAL_LM",
            en=f"task_type in {CONFIG} is {name}: this adapter was not trained to chat, and only "
            "CAUSAL_LM can be imported",
        )
    variant = adapter_settings.variant(config)
    if variant == "init_lora_weights":
        value = one_line(str(config[variant]))
        raise AdapterError(
            zh=f"{CONFIG} 里的 init_lora_weights 是 {value}，训练时改过基础模型的权重，"
            "放到原来的基础模型上会答错：用 PEFT 的 save_pretrained(…, "
            "path_initial_model_for_weight_conversion=…) 转成普通 LoRA 再导入",
            en=f"init_lora_weights in {CONFIG} is {value}, which changed the weights of the base, "
            "so that answers on the plain base would be wrong: convert it to plain LoRA with "
            "PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…)",
        )
    if variant:
        value = one_line(json.dumps(config[variant], ensure_ascii=False))
        raise AdapterError(
            zh=f"{CONFIG} 里的 {variant} 是 {value}，这里只算普通的 LoRA：关掉它重新训练；"
            "或在训练它的地方用 merge_and_unload() 合并成整个模型，再用 COOKBOOK_BASE_MODEL 选它",
            en=f"{variant} in {CONFIG} is {value}, and only plain LoRA is computed here: train "
            "again without it; or merge it into a whole model with merge_and_unload() where it was "
            "trained, and choose that with COOKBOOK_BASE_MODEL",
        )


def _check_targets(config: dict[str, Any]) -> None:
    targets = config.get("target_modules")
    listed = isinstance(targets, list) and all(isinstance(one, str) for one in targets)
    if not targets or not (listed or isinstance(targets, str)):
        raise _wrong(config, "target_modules")
    if adapter_settings.numbers(config) == []:
        raise _wrong(config, "layers_to_transform")
    excluded = config.get("exclude_modules")
    if isinstance(excluded, list) and not all(isinstance(one, str) for one in excluded):
        raise _wrong(config, "exclude_modules")


def _matching(pattern: str, names: list[str], setting: str) -> list[str]:
    """Return the names that a pattern out of a file matches.

    Raises:
        AdapterError: it is none, or takes too long.
    """
    # It needs none of the service: only a process that can be ended.
    from cookbook.service import trial

    given = json.dumps([pattern, names]).encode()
    try:
        done = trial.run("-I", "-c", _MATCH, seconds=_PATTERN_SECONDS, given=given)
        done.check_returncode()
        found: list[str] = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise AdapterError(
            zh=f"{CONFIG} 里的 {setting} 是一个不能用的正则表达式（{one_line(pattern)}）："
            "写成层名的列表",
            en=f"{setting} in {CONFIG} is a regular expression that cannot be used "
            f"({one_line(pattern)}): write a list of the layers' names",
        ) from error
    return found


def _damaged(reason: str) -> AdapterError:
    return AdapterError(
        zh=f"{CONFIG} 损坏，不是 JSON 对象（{reason}）：从训练它的地方重新复制",
        en=f"{CONFIG} is damaged and no JSON object ({reason}): copy it again from where the "
        "adapter was trained",
    )


def _wrong(config: dict[str, Any], name: str) -> AdapterError:
    value = one_line(json.dumps(config.get(name), ensure_ascii=False))[:80]
    return AdapterError(
        zh=f"{CONFIG} 里的 {name} 是 {value}，不能用：从训练它的地方重新复制",
        en=f"{name} in {CONFIG} is {value}, which cannot be used: copy it again from where the "
        "adapter was trained",
    )
