"""Write and read what training leaves on the disk: adapters for others, and a state to resume from.

    step_<N>/             a standard PEFT adapter folder, with the tokenizer
    state.safetensors     adapter, optimizer and progress after a step; the newest alone

Both are safetensors, never pickle, written beside their place and then moved, so each is complete
or absent.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import AdamW

from cookbook import disk
from cookbook.bases import Base

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STATE = "state.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW remembers of each weight."""


@dataclass
class Progress:
    """How far a job has come. All counts include what earlier processes of the job did."""

    step: int = 0
    tokens_seen: int = 0
    tokens_trained: int = 0


def save_adapter(
    model: Any, tokenizer: "PreTrainedTokenizerBase", base: Base, folder: Path
) -> Path:
    """Write the adapter as PEFT does and return its folder; whoever moves it adds a model card."""
    part = folder.with_name(folder.name + ".part")
    # A process that died may have left a part of it.
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    # PEFT's own card is a form to fill in, with the base's folder on this machine.
    (part / "README.md").unlink(missing_ok=True)
    # Name the base as others know it.
    path = part / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base.reference
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    disk.settle(part, folder)
    return folder


def save_state(model: Any, optimizer: AdamW, progress: Progress, folder: Path) -> None:
    """Write all that the next step depends on, beside the seed: adapter, optimizer, progress."""
    tensors: dict[str, Tensor] = {}
    for name, weight in get_peft_model_state_dict(model).items():
        tensors[f"adapter.{name}"] = weight.contiguous()
    for i, weight in enumerate(_weights(optimizer)):
        state = optimizer.state[weight]
        for moment in MOMENTS:
            tensors[f"optimizer.{i}.{moment}"] = state[moment]
    # Text alone fits into the header of safetensors.
    metadata = {
        "step": str(progress.step),
        "seen": str(progress.tokens_seen),
        "trained_tokens": str(progress.tokens_trained),
    }
    path = folder / STATE
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=metadata)
    disk.settle(part, path)


def restore(model: Any, optimizer: AdamW, folder: Path) -> Progress:
    """Put adapter and optimizer back as they were saved, and return how far the job has come.

    Without a saved state they stay as they are, and the progress is zero.
    """
    path = folder / STATE
    if not path.exists():
        return Progress()
    tensors = load_file(path)
    adapter = {}
    for name, tensor in tensors.items():
        if name.startswith("adapter."):
            adapter[name.removeprefix("adapter.")] = tensor
    set_peft_model_state_dict(model, adapter)
    for i, weight in enumerate(_weights(optimizer)):
        # Empty before the first step; a weight's entry is made when it is asked for.
        state = optimizer.state[weight]
        for moment in MOMENTS:
            saved = tensors[f"optimizer.{i}.{moment}"]
            state[moment] = saved.to(weight.device)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    return Progress(
        step=int(metadata["step"]),
        tokens_seen=int(metadata["seen"]),
        tokens_trained=int(metadata["trained_tokens"]),
    )


def _weights(optimizer: AdamW) -> list[Tensor]:
    """Return the weights in the optimizer's own order, which a new process has again."""
    return optimizer.param_groups[0]["params"]
