"""The base models of the embedded service: which there are, and how one is loaded.

The tiny base lies in `data/models/`; any other Qwen2.5-style checkpoint comes by folder or hub name through
`COOKBOOK_BASE_MODEL`. A base may carry a learning-rate scale: the guide's 0.0001 is meant for billions of parameters,
the tiny base needs seventeen times as much to learn the same in the same number of steps. The scale is applied inside,
and every plan and event shows the rate that is really used.

Only `load` needs torch, and imports it itself.
"""

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cookbook.errors import ModelError
from cookbook.paths import DATA

SMALL = 100_000_000  # parameters; below, float32 costs little and gives the same figures on every machine


@dataclass(frozen=True)
class Base:
    """A base model: its public name, where its weights are (a folder or a hub name), its learning-rate scale."""

    id: str
    source: str
    learning_rate_scale: float = 1.0


def bases() -> list[Base]:
    """The base to use first, then the others."""
    found = []
    if chosen := os.environ.get("COOKBOOK_BASE_MODEL"):
        folder = Path(chosen).expanduser()
        found.append(
            _in_folder(folder.resolve(), name=folder.name)
            if folder.is_dir()
            else Base(chosen, chosen)
        )
    return found + [
        _in_folder(card.parent) for card in sorted((DATA / "models").glob("*/cookbook.json"))
    ]


def find(base_id: str) -> Base:
    """The base of that name.

    Raises:
        ModelError: if it is gone, since `COOKBOOK_BASE_MODEL` changed.
    """
    for base in bases():
        if base.id == base_id:
            return base
    raise ModelError(
        zh=f"基础模型 {base_id} 不在了：把 COOKBOOK_BASE_MODEL 设回原来的值，再重启服务",
        en=f"the base model {base_id} is gone: set COOKBOOK_BASE_MODEL as it was and restart the service",
    )


def _in_folder(folder: Path, name: str | None = None) -> Base:
    """With what its cookbook.json says, as `data/models/make_tiny_base.py` writes one."""
    card = folder / "cookbook.json"
    facts = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    return Base(name or facts["id"], str(folder), facts.get("learning_rate_scale", 1.0))


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
