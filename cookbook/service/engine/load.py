"""Load a base model: its weights and its tokenizer, or one sentence why that is impossible.

A model without a chat template, or one that does not fit into memory, is refused before its
weights are read, and so is one whose template does not end. Code that comes with a model is never
run, and weights are read from safetensors alone, never from pickle. `cookbook/bases.py` knows which
bases there are.

Importing this module is quick: the functions import torch and transformers themselves.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import causes
from cookbook.bases import Base, Shape
from cookbook.errors import BaseAway, CookbookError, MemoryShort, ModelError
from cookbook.service.engine import template

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMALL = 100_000_000
"""Parameters below which float32 costs little and gives the same figures on every machine."""

WORK_SPACE = 1.25
"""Memory needed for each byte of weights: passes over them take about a quarter more."""

RUNTIME_BYTES = 2**29
"""Memory that torch and transformers take, whatever the model."""


def tokenizer_of(base: Base) -> "PreTrainedTokenizerBase":
    """Return the base's tokenizer with a pad token, before its weights are read.

    Raises:
        BaseAway: the hub is out of reach, or the folder cannot be read at present.
        ModelError: it has no chat template that can be used.
    """
    from transformers import AutoTokenizer

    with _explain_failure(base):
        tokenizer = AutoTokenizer.from_pretrained(base.source, trust_remote_code=False)
    _check_template(base, tokenizer)
    # What is padded is never read, so any token will do.
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def shape_of(base: Base) -> Shape:
    """Return the base's sizes, from its card or its config.json."""
    from transformers import AutoConfig

    if base.shape is not None:
        return base.shape
    with _explain_failure(base):
        config = AutoConfig.from_pretrained(base.source, trust_remote_code=False).to_dict()
    shape = Shape.of(config)
    if shape is None:
        raise ModelError(
            zh=f"{base.id} 不是普通的解码器模型，这里训练不了",
            en=f"{base.id} is not a plain decoder, it cannot be trained here",
        )
    return shape


def load(
    base: Base, weights: str | None = None
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Return the model, in evaluation mode on its device, and its tokenizer with a pad token.

    Args:
        weights: their type, as in a `MemoryPlan`. None: bfloat16 if the model is large and the
            machine computes in it, else float32.

    Raises:
        BaseAway: the hub is out of reach, or the folder cannot be read at present.
        MemoryShort: other programs have the memory that it needs.
        ModelError: it is not a model that can be used here, or larger than this machine.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    # A progress bar would end in the service's log.
    disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = tokenizer_of(base)
    with _explain_failure(base):
        config = AutoConfig.from_pretrained(base.source, trust_remote_code=False)
    # On the meta device a model has sizes but no memory, so its weights can be counted first.
    with torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(config).num_parameters()
    dtype = getattr(torch, weights) if weights else _dtype(parameters, device)
    _check_memory(base, parameters * dtype.itemsize, device)
    with _explain_failure(base):
        model: Any = AutoModelForCausalLM.from_pretrained(
            base.source, dtype=dtype, trust_remote_code=False, use_safetensors=True
        )
        model = model.to(device).eval()
    return model, tokenizer


def _check_template(base: Base, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise ModelError where the base has no chat template, or one that does not end."""
    if not tokenizer.chat_template:
        raise ModelError(
            zh=f"基础模型 {base.id} 没有对话模板（chat template），请换用 Instruct 版本",
            en=f"the base model {base.id} has no chat template: choose an Instruct version",
        )
    with _explain_failure(base):
        chosen = tokenizer.get_chat_template()
    template.probe(base.id, chosen)


def computes_in_bfloat16(device: str) -> bool:
    """Return whether matrix products in bfloat16 are faster on this machine than in float32."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_tile") or capabilities.get("avx512_bf16"))


@contextmanager
def _explain_failure(base: Base) -> Iterator[None]:
    """Turn what transformers raises while it reads a model into one sentence with its remedy."""
    try:
        yield
    except CookbookError:
        raise
    # Whatever a library raises here, the base cannot be loaded.
    except Exception as error:
        cause = causes.known(error)
        if cause and cause.kind not in ("hub", "no_base"):
            kind = ModelError
            if cause.passes:
                kind = MemoryShort if cause.kind == "memory" else BaseAway
            raise kind(
                zh=f"读不到基础模型 {base.id}：{cause.zh}",
                en=f"cannot load the base model {base.id}: {cause.en}",
            ) from error
        # The first line gives the reason; what follows are links and advice for other programs.
        text = (str(error) or type(error).__name__).replace(base.source, base.id).strip()
        reason = text.split("\n")[0][:200]
        kind = BaseAway if _may_pass(base, error) else ModelError
        raise kind(
            zh=f"读不到基础模型 {base.id}：{reason}。检查 COOKBOOK_BASE_MODEL；"
            "连不上 hub 时设 HF_ENDPOINT 用镜像，或先下载再填本地文件夹",
            en=f"cannot load the base model {base.id}: {reason}. Check COOKBOOK_BASE_MODEL; "
            "if the hub is out of reach, set HF_ENDPOINT to a mirror or give a local folder",
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


def _dtype(parameters: int, device: str) -> "torch.dtype":
    import torch

    if parameters > SMALL and computes_in_bfloat16(device):
        return torch.bfloat16
    return torch.float32


def _check_memory(base: Base, weight_bytes: int, device: str) -> None:
    """Refuse a model that cannot fit, before it is loaded.

    Raises:
        MemoryShort: naming the memory that is needed and the memory that is free.
        ModelError: it would not fit if all memory were free.
    """
    needed = WORK_SPACE * weight_bytes + RUNTIME_BYTES
    free, total = _memory(device)
    if needed <= free:
        return
    needed_gb = f"{needed / 2**30:.1f}"
    free_gb = f"{free / 2**30:.1f}"
    if needed > total:
        total_gb = f"{total / 2**30:.1f}"
        raise ModelError(
            zh=f"内存不够：{base.id} 约需 {needed_gb} GB，这台机器一共 {total_gb} GB。"
            "换小一些的模型",
            en=f"not enough memory: {base.id} needs about {needed_gb} GB, this machine has "
            f"{total_gb} GB. Choose a smaller model",
        )
    raise MemoryShort(
        zh=f"内存不够：{base.id} 约需 {needed_gb} GB，现在空闲 {free_gb} GB。"
        "换小一些的模型，或关掉别的程序",
        en=f"not enough memory: {base.id} needs about {needed_gb} GB, {free_gb} GB are free. "
        "Choose a smaller model or close other programs",
    )


def _memory(device: str) -> tuple[int, int]:
    """Return the free bytes and all bytes of the GPU, or of this machine."""
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()
    import psutil

    memory = psutil.virtual_memory()
    return memory.available, memory.total
