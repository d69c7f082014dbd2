"""Tell from its config.json whether a base is of a kind that is trained here: a plain decoder.

    check_kind(name, config)      raise ModelError with what it is, and what to choose instead
    check_sound(name, config)     raise ModelError where it is damaged: sizes that cannot be

The config.json may be a file's, or one that a hub or transformers has read.
"""

import re
from typing import Any

from cookbook import shapes
from cookbook.errors import ModelError

SUPPORTED = ("Qwen2.5", "Qwen3", "Llama", "Mistral")

# How the name of a converted or quantized model ends.
_FORMAT = re.compile(r"-(GGUF|GPTQ|AWQ|FP8|bnb|MLX|\d{1,2}-?bit|Int\d)[\w-]{0,60}$", re.IGNORECASE)


def check_kind(name: str, config: dict[str, Any]) -> None:
    """Refuse a kind of model that is not trained here.

    Args:
        config: its config.json.

    Raises:
        ModelError: it is quantized, or not a plain decoder.
    """
    refuse_quantized(name, config)
    kind = _unusable_kind(config)
    if kind:
        raise unusable(name, *kind)


def check_sound(name: str, config: dict[str, Any]) -> None:
    """Refuse a config.json with a size that cannot be one, or with sizes that do not agree.

    Args:
        config: empty where the file holds no JSON object.

    Raises:
        ModelError: naming the entry.
    """
    kind = config.get("model_type")
    found = shapes.fault(config)
    if not isinstance(kind, str) or not kind:
        found = f"model_type = {kind!r:.40}"
    if found is None:
        return
    raise ModelError(
        zh=f"基础模型 {name} 的 config.json 损坏，不能用（{found}）：重新下载这个文件，"
        "或换一个模型",
        en=f"the config.json of the base model {name} is damaged and cannot be used ({found}): "
        "download it again, or choose another model",
    )


def refuse_quantized(name: str, config: dict[str, Any]) -> None:
    """Refuse a base whose weights are quantized already.

    Raises:
        ModelError: naming the original, which can be trained on.
    """
    quantization = config.get("quantization_config")
    if not quantization:
        return
    told = quantization.get("quant_method") if isinstance(quantization, dict) else None
    method = str(told or "?").upper()
    plain = original(name)
    instead_zh, instead_en = "没有量化的原版", "the original, which is not quantized"
    if plain != name:
        instead_zh, instead_en = f" {plain}", plain
    raise ModelError(
        zh=f"基础模型 {name} 已经量化过（{method}），不能在它上面训练：换成{instead_zh}，"
        "显存不够时服务会自己用 4 bit 加载",
        en=f"the base model {name} is quantized ({method}) and cannot be trained on: choose "
        f"{instead_en}; where a GPU's memory is short, the service itself loads it in 4 bit",
    )


def original(name: str) -> str:
    """Return the name of the model that a converted or quantized one was probably made from."""
    return _FORMAT.sub("", name)


def unusable(name: str, zh: str, en: str) -> ModelError:
    """Return the error for a kind of model that is not trained here; `zh` and `en` name it."""
    return ModelError(
        zh=f"基础模型 {name} 是{zh}，这里不能微调：换成 {'、'.join(SUPPORTED)} 这样的"
        "纯文本对话模型（Instruct 版）",
        en=f"the base model {name} is {en}, which cannot be tuned here: choose a text-only "
        f"chat model such as {', '.join(SUPPORTED)} (an Instruct version)",
    )


def _unusable_kind(config: dict[str, Any]) -> tuple[str, str] | None:
    """Return what a model is instead of a plain decoder, zh and en; None where it is one."""
    if config.get("is_encoder_decoder"):
        return "编码器-解码器模型", "an encoder-decoder"
    if "vision_config" in config or "audio_config" in config:
        return "多模态模型（图像或声音）", "a model of images or sound"
    built = config.get("architectures")
    if isinstance(built, list) and built and not any(map(_generates, built)):
        kind = built[0]
        return f"不生成文本的模型（{kind}）", f"a model that does not generate text ({kind})"
    if shapes.is_mixture(config):
        return "混合专家模型（MoE）", "a mixture of experts"
    layer_types = {str(kind) for kind in config.get("layer_types") or ()}
    if not all(kind.endswith("_attention") for kind in layer_types - {"linear_attention"}):
        return "含有非注意力层的模型", "a model with layers other than attention"
    if "linear_attention" in layer_types:
        return "含线性注意力的模型", "a model with linear attention"
    # The loss takes the head's output as it is; these models change it afterwards.
    changed = ("final_logit_softcapping", "logits_scaling", "logit_scale")
    if any(config.get(name) not in (None, 1, 1.0) for name in changed):
        return "对 logits 另有缩放的模型", "a model that scales its logits"
    return None


def _generates(architecture: Any) -> bool:
    return str(architecture).endswith(("ForCausalLM", "LMHeadModel"))
