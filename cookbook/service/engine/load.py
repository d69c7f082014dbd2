"""Load a base model: its tokenizer, then its weights, or one sentence why that is impossible.

    tokenizer = tokenizer_of(base)              quick; refuses what cannot be used
    model, tokenizer = load(base)               as chat needs it
    model, tokenizer = load(base, plan.weights) as a training's memory plan chose

Everything that can be known without the weights is checked before they are read: the files, the
kind of model, its chat template, memory. Code that comes with a model is never run, and weights are
read from safetensors alone, never from pickle. `cookbook/bases.py` knows which bases there are.

Importing this module is quick: the functions import torch and transformers themselves.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import base_files, causes
from cookbook.bases import Base
from cookbook.errors import BaseAway, CookbookError, ModelError
from cookbook.machine import CPU
from cookbook.memory import BFLOAT16, FLOAT32, NF4, weight_types
from cookbook.quoted import without_passwords
from cookbook.service.engine import device, four_bit, template
from cookbook.service.engine.weights import first_that_fits, sizes_of
from cookbook.shapes import Shape

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def tokenizer_of(base: Base) -> "PreTrainedTokenizerBase":
    """Return the tokenizer, with a pad token, of a base that has been checked.

    Raises:
        BaseAway: the hub is out of reach, or the folder cannot be read at present.
        ModelError: it is not a model that can be used here.
    """
    from transformers import AutoTokenizer

    config = _config(base)
    with _explain_failure(base):
        tokenizer = AutoTokenizer.from_pretrained(base.source, trust_remote_code=False)
    _check_template(base, tokenizer)
    _check_vocabulary(base, tokenizer, config.vocab_size)
    # What is padded is never read, so any token will do.
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def shape_of(base: Base) -> Shape:
    """Return the base's sizes, from its card or its config.json."""
    if base.shape is not None:
        return base.shape
    shape = Shape.of(_config(base).to_dict())
    if shape is None:
        raise base_files.unusable(base.id, "结构不同的模型", "a model that is built in another way")
    return shape


def load(
    base: Base, weights: str | None = None, *, reserved: int = 0, shards: int = 1
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Return the model, in evaluation mode on its device, and its tokenizer with a pad token.

    Args:
        weights: type of the weights, one of `cookbook.memory`'s; None chooses the first that fits:
            bfloat16 if the model is large and the machine computes in it, else float32, else
            bfloat16 as storage, else, on a GPU, 4 bit.
        reserved: bytes of the free memory that others will take.
        shards: how many workers, of which this is one, keep a part of every layer each.

    Raises:
        BaseAway: the hub is out of reach, or the folder cannot be read at present.
        MemoryShort: other programs have the memory that it needs.
        ModelError: it is not a model that can be used here, or larger than this machine.
    """
    tokenizer = tokenizer_of(base)
    target = device.choose()
    skeleton = _skeleton(base)
    chosen = weights
    # Of a training the plan has counted everything.
    if chosen is None:
        chosen = _of_chat(base, skeleton, target, reserved)
    if chosen == NF4:
        four_bit.check(target)
    if shards == 1:
        return _read_weights(base, chosen, target), tokenizer
    from cookbook.service.engine.shards import shard

    model = _read_weights(base, chosen, CPU, dtype="auto")
    shard(model, chosen, target, shards)
    return model, tokenizer


def _config(base: Base) -> Any:
    """Return the configuration of a base whose files have been checked."""
    from transformers import AutoConfig

    if Path(base.source).is_dir():
        with _explain_failure(base):
            base_files.check_folder(base, Path(base.source))
        _check_kind(base)
    with _explain_failure(base):
        config = AutoConfig.from_pretrained(base.source, trust_remote_code=False)
    base_files.check_kind(base.id, config.to_dict())
    return config


def _check_kind(base: Base) -> None:
    """Raise ModelError where transformers does not know this type of model."""
    from transformers import CONFIG_MAPPING

    path = Path(base.source) / "config.json"
    with _explain_failure(base):
        config = json.loads(path.read_text(encoding="utf-8"))
    kind = config["model_type"]
    if kind in CONFIG_MAPPING:
        return
    # Such a model was made before transformers knew its type, or never came to be known.
    if config.get("auto_map"):
        raise base_files.unusable(
            base.id, f"要运行自带代码的模型（{kind}）", f"a model that needs its own code ({kind})"
        )
    raise ModelError(
        zh=f"已安装的 transformers 不认识基础模型 {base.id} 的类型 {kind}："
        "运行 pip install -U transformers 升级它，或换一个模型",
        en=f"the installed transformers does not know the type {kind} of the base model {base.id}: "
        "upgrade it with pip install -U transformers, or choose another model",
    )


def _skeleton(base: Base) -> Any:
    """Return the model without memory: it has sizes, so its weights can be counted first.

    Raises:
        ModelError: it has not the parts that training goes through.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = _config(base)
    with _explain_failure(base), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    body = getattr(model, "model", None)
    if getattr(model, "lm_head", None) is None or getattr(body, "layers", None) is None:
        raise base_files.unusable(
            base.id,
            f"{config.model_type}，结构不同",
            f"a {config.model_type}, built in another way",
        )
    return model


def _of_chat(base: Base, skeleton: Any, target: str, reserved: int) -> str:
    """Return the type of weights that chat takes for a base."""
    here = device.here()
    there = replace(here, device=target, free=max(0, here.free - reserved))
    types = weight_types(skeleton.num_parameters(), there)
    return first_that_fits(base, sizes_of(skeleton, types), there)


def _read_weights(base: Base, weights: str, target: str, dtype: str | None = None) -> Any:
    """Return the model with its weights, straight on its device.

    Args:
        dtype: "auto" leaves them as they are in the base's file, and on a CPU where they are.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from cookbook.service.engine import stored

    # A progress bar would end in the service's log.
    disable_progress_bar()
    in_bfloat16 = weights == BFLOAT16 or (weights == NF4 and device.here().bfloat16)
    computing = torch.bfloat16 if in_bfloat16 else torch.float32
    usual = torch.float32 if weights == FLOAT32 else torch.bfloat16
    with _explain_failure(base):
        model, found = AutoModelForCausalLM.from_pretrained(
            base.source,
            dtype=dtype or usual,
            # Without it the whole model would first be in the machine's memory.
            device_map={"": target},
            quantization_config=four_bit.settings(computing) if weights == NF4 else None,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    # transformers fills these with random numbers and goes on.
    if found["missing_keys"]:
        raise ModelError(
            zh=f"基础模型 {base.id} 的权重不全，缺 {min(found['missing_keys'])}："
            "重新下载，或检查 config.json 是不是另一个模型的",
            en=f"the weights of the base model {base.id} are not complete, "
            f"{min(found['missing_keys'])} is missing: download it again, or see whether its "
            "config.json is another model's",
        )
    if weights == NF4:
        four_bit.keep_layout(model)
    if weights != FLOAT32 and not in_bfloat16:
        stored.store(model)
    return model.eval()


def _check_vocabulary(base: Base, tokenizer: "PreTrainedTokenizerBase", size: int) -> None:
    """Raise ModelError where the tokenizer has tokens that the model does not know."""
    largest = max(tokenizer.get_vocab().values())
    if largest < size:
        return
    raise ModelError(
        zh=f"基础模型 {base.id} 的分词器和权重不是一套：token 编到 {largest}，模型只有 {size} 个。"
        "把同一个模型的全部文件重新下载到一个文件夹",
        en=f"tokenizer and weights of the base model {base.id} do not belong together: tokens are "
        f"numbered up to {largest}, the model has {size}. Download all files of one model again, "
        "into one folder",
    )


def _check_template(base: Base, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise ModelError where the base has no chat template, or one that does not end."""
    if not tokenizer.chat_template:
        raise ModelError(
            zh=f"基础模型 {base.id} 没有对话模板（chat template），请换用 Instruct 版本",
            en=f"the base model {base.id} has no chat template: choose an Instruct version",
        )
    from cookbook.base_files.template import check_syntax

    with _explain_failure(base):
        chosen = tokenizer.get_chat_template()
    check_syntax(base.id, chosen)
    template.probe(base.id, chosen)


@contextmanager
def _explain_failure(base: Base) -> Iterator[None]:
    """Turn what transformers raises while it reads a model into one sentence with its remedy."""
    try:
        yield
    except CookbookError:
        raise
    # Whatever a library raises here, the base cannot be loaded.
    except Exception as error:
        # The caller knows whether another attempt, with less, makes sense.
        if causes.is_lack_of_memory(error):
            raise
        cause = causes.known(error)
        if cause and cause.kind not in ("hub", "no_base"):
            kind = BaseAway if cause.passes else ModelError
            raise kind(
                zh=f"读不到基础模型 {base.id}：{cause.zh}",
                en=f"cannot load the base model {base.id}: {cause.en}",
            ) from error
        # The first line gives the reason; what follows are links and advice for other programs.
        text = (str(error) or type(error).__name__).replace(base.source, base.id).strip()
        reason = without_passwords(text.split("\n")[0])[:200]
        kind = BaseAway if _may_pass(base, error) else ModelError
        helps_zh = "重新下载它的全部文件，或检查 COOKBOOK_BASE_MODEL"
        helps_en = "Download all its files again, or check COOKBOOK_BASE_MODEL"
        if not Path(base.source).is_dir():
            helps_zh = (
                "检查 COOKBOOK_BASE_MODEL；连不上 hub 时设 HF_ENDPOINT 用镜像，"
                "或先下载再填本地文件夹"
            )
            helps_en = (
                "Check COOKBOOK_BASE_MODEL; if the hub is out of reach, set HF_ENDPOINT to a "
                "mirror or give a local folder"
            )
        raise kind(
            zh=f"读不到基础模型 {base.id}：{reason}。{helps_zh}",
            en=f"cannot load the base model {base.id}: {reason}. {helps_en}",
        ) from error


NOT_ON_THE_HUB = {"RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError"}
"""Errors of huggingface_hub that an answer of the hub leads to, not its absence."""


def _may_pass(base: Base, error: Exception) -> bool:
    """Return whether the same base may be read later: an absent hub may, a wrong file may not."""
    if isinstance(error, ValueError):
        return False
    if Path(base.source).is_dir():
        # What the system itself reports, such as a network drive, has a number.
        return getattr(error, "errno", None) is not None
    return not any(type(one).__name__ in NOT_ON_THE_HUB for one in causes.chain(error))
