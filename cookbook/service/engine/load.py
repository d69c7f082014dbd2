"""Load a base model: weights, tokenizer, and a clear sentence where that is not possible.

Which bases there are is known by `cookbook/bases.py`. Only `load` needs torch, and imports it itself.
"""

from contextlib import contextmanager

from cookbook.bases import Base
from cookbook.errors import ModelError

SMALL = 100_000_000  # parameters; below, float32 costs little and gives the same figures on every machine


def load(base: Base):
    """The model in evaluation mode and its tokenizer, which has a pad token.

    The weights are bfloat16 where the processor or GPU computes in it and the model is large; float32 otherwise.

    Raises:
        ModelError: the folder or hub cannot be read, memory will not do, or there is no chat template.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Code that comes with a model is never run, and weights are read from safetensors alone, never from pickle.
    with _reading(base):
        tokenizer = AutoTokenizer.from_pretrained(base.source, trust_remote_code=False)
        config = AutoConfig.from_pretrained(base.source, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise ModelError(
            zh=f"基础模型 {base.id} 没有对话模板（chat template），请换用 Instruct 版本",
            en=f"the base model {base.id} has no chat template: choose an Instruct version",
        )
    with torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(config).num_parameters()
    dtype = torch.bfloat16 if parameters > SMALL and computes_in_bfloat16(device) else torch.float32
    _check_memory(base, parameters * dtype.itemsize, device)
    with _reading(base):
        model = AutoModelForCausalLM.from_pretrained(
            base.source, dtype=dtype, trust_remote_code=False, use_safetensors=True
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device).eval(), tokenizer


@contextmanager
def _reading(base: Base):
    """What stands in the way of reading a model, in one sentence with its remedy."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = str(error).replace(base.source, base.id).strip().split("\n")[0][:200]
        raise ModelError(
            zh=f"读不到基础模型 {base.id}：{reason}。检查 COOKBOOK_BASE_MODEL；连不上 hub 时设 HF_ENDPOINT 用镜像，"
            "或先下载再填本地文件夹",
            en=f"cannot load the base model {base.id}: {reason}. Check COOKBOOK_BASE_MODEL; if the hub is out of "
            "reach, set HF_ENDPOINT to a mirror or give a local folder",
        ) from error


def computes_in_bfloat16(device: str) -> bool:
    """Whether matrix products in bfloat16 are faster here than in float32."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_tile") or capabilities.get("avx512_bf16"))


def _check_memory(base: Base, weights: int, device: str) -> None:
    """Refuse before loading what cannot fit. `weights` are bytes; work on them takes about a quarter more.

    Raises:
        ModelError: naming the memory needed and present.
    """
    if device == "cuda":
        import torch

        free = torch.cuda.mem_get_info()[0]
    else:
        import psutil

        free = psutil.virtual_memory().available
    needed = 1.25 * weights + 2**29
    if needed > free:
        raise ModelError(
            zh=f"内存不够：{base.id} 约需 {needed / 2**30:.1f} GB，现在空闲 {free / 2**30:.1f} GB。换小一些的模型，或关掉别的程序",
            en=f"not enough memory: {base.id} needs about {needed / 2**30:.1f} GB, {free / 2**30:.1f} GB are free. Choose a "
            "smaller model or close other programs",
        )
