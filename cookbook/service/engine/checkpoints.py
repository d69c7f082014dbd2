"""Write and read what training leaves on the disk: adapters for others, and a state to resume from.

    step_<N>/             a standard PEFT adapter folder, with the tokenizer
    state.safetensors     adapter, optimizer and progress after a step; the newest alone

Both are safetensors, never pickle, written beside their place and then moved, so each is complete
or absent. A state that a disk damaged later is recognized by its checksum.
"""

import json
import math
import shutil
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import AdamW

from cookbook import disk
from cookbook.adapter_settings import CARD, CONFIG
from cookbook.bases import Base
from cookbook.errors import StateDamaged
from cookbook.service.engine.working_folder import DAMAGED, STATE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW remembers of each weight."""


@dataclass
class Progress:
    """How far a job has come. All counts include what earlier processes of the job did.

    The losses are those of the last step. `epoch_ended` tells that an epoch ended with it, of which
    the caller has no adapter yet.
    """

    step: int = 0
    tokens_seen: int = 0
    tokens_trained: int = 0
    train_loss: float = math.nan
    valid_loss: float | None = None
    epoch_ended: bool = False


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
    (part / CARD).unlink(missing_ok=True)
    # Name the base as others know it.
    path = part / CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base.reference
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    disk.settle(part, folder)
    return folder


def save_state(
    model: Any, optimizer: AdamW, progress: Progress, folder: Path, training: str
) -> None:
    """Write all that the next step depends on, beside the seed: adapter, optimizer, progress.

    `training` tells this training from every other: only the same one goes on from the state.
    """
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
        "losses": json.dumps([progress.train_loss, progress.valid_loss]),
        "epoch_ended": json.dumps(progress.epoch_ended),
        "checksum": str(_checksum(tensors)),
        "training": training,
    }
    metadata["seal"] = _seal(metadata)
    path = folder / STATE
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=metadata)
    disk.settle(part, path)


def restore(
    model: Any, optimizer: AdamW, folder: Path, total_steps: int, training: str
) -> Progress:
    """Put adapter and optimizer back as they were saved, and return how far the job has come.

    Without a saved state they stay as they are, and the progress is zero.

    Raises:
        StateDamaged: the state cannot be used; adapter and optimizer are as they were.
    """
    path = folder / STATE
    if not path.exists():
        return Progress()
    # Everything is read and checked before anything is changed.
    tensors, progress = _read_state(path, training)
    adapter = get_peft_model_state_dict(model)
    _check_shapes(tensors, adapter, _weights(optimizer))
    if progress.step > total_steps:
        raise _of_another_training()
    set_peft_model_state_dict(model, {name: tensors[f"adapter.{name}"] for name in adapter})
    for i, weight in enumerate(_weights(optimizer)):
        # Empty before the first step; a weight's entry is made when it is asked for.
        state = optimizer.state[weight]
        for moment in MOMENTS:
            saved = tensors[f"optimizer.{i}.{moment}"]
            state[moment] = saved.to(weight.device)
    return progress


def optimizer_state(optimizer: AdamW) -> list[list[Tensor]]:
    """Return what AdamW remembers: of each kind in `MOMENTS` that of all weights.

    Before the first step they are made, as zeros.
    """
    weights = _weights(optimizer)
    for weight in weights:
        state = optimizer.state[weight]
        if not state:
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
            state["step"] = torch.zeros((), device=weight.device)
    return [[optimizer.state[weight][moment] for weight in weights] for moment in MOMENTS]


def set_state_aside(folder: Path) -> None:
    """Rename a state that cannot be read, so that the next process does not meet it again."""
    (folder / STATE).replace(folder / DAMAGED)


def _read_state(path: Path, training: str) -> tuple[dict[str, Tensor], Progress]:
    """Return the tensors and the progress of a saved state.

    Raises:
        StateDamaged: it is cut off, its content has changed since it was written, or another
            training wrote it.
    """
    # Opened by name, a pipe would wait for ever, and a link may lead anywhere.
    if path.is_symlink() or not path.is_file():
        raise StateDamaged(zh="不是普通文件", en="it is not a regular file")
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        train_loss, valid_loss = json.loads(metadata.get("losses", "[NaN, null]"))
        progress = Progress(
            step=int(metadata["step"]),
            tokens_seen=int(metadata["seen"]),
            tokens_trained=int(metadata["trained_tokens"]),
            train_loss=train_loss,
            valid_loss=valid_loss,
            epoch_ended=json.loads(metadata.get("epoch_ended", "false")),
        )
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise StateDamaged(zh="文件损坏", en="the file is damaged") from error
    if not _is_intact(tensors, metadata) or not _is_possible(progress):
        raise StateDamaged(zh="内容损坏", en="its content is damaged")
    if metadata.get("training") not in (None, training):
        raise _of_another_training()
    return tensors, progress


def _is_intact(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bool:
    """Return whether tensors and metadata are what was written, as far as that can be told."""
    if not tensors or not are_finite(tensors.values()):
        return False
    # The first releases wrote no checksum, and those after them none of the metadata.
    checksum = metadata.get("checksum")
    sealed = "training" not in metadata or metadata.get("seal") == _seal(metadata)
    return sealed and checksum in (None, str(_checksum(tensors)))


def _is_possible(progress: Progress) -> bool:
    """Return whether these figures can be those of a training: they come from a file."""
    counts = (progress.step, progress.tokens_seen, progress.tokens_trained)
    losses = (progress.train_loss, progress.valid_loss or 0.0)
    return (
        min(counts) > 0
        and all(isinstance(loss, float | int) for loss in losses)
        and isinstance(progress.epoch_ended, bool)
    )


def _check_shapes(
    tensors: dict[str, Tensor], adapter: dict[str, Tensor], weights: list[Tensor]
) -> None:
    """Raise StateDamaged where the state is not one of this adapter and its optimizer."""
    expected = {f"adapter.{name}": weight.shape for name, weight in adapter.items()}
    for i, weight in enumerate(weights):
        shapes = (weight.shape, weight.shape, torch.Size())
        for moment, shape in zip(MOMENTS, shapes, strict=True):
            expected[f"optimizer.{i}.{moment}"] = shape
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise _of_another_training()


def _of_another_training() -> StateDamaged:
    return StateDamaged(zh="它属于另一次训练", en="it belongs to another training")


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether every value of these tensors is a finite number."""
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def _seal(metadata: dict[str, str]) -> str:
    """Return the checksum of the metadata, the tensors' checksum among them."""
    content = sorted(item for item in metadata.items() if item[0] != "seal")
    return str(zlib.crc32(json.dumps(content).encode()))


def _checksum(tensors: dict[str, Tensor]) -> int:
    checksum = 0
    for _, tensor in sorted(tensors.items()):
        content = tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()
        checksum = zlib.crc32(content.data, checksum)
    return checksum


def _weights(optimizer: AdamW) -> list[Tensor]:
    """Return the weights in the optimizer's own order, which a new process has again."""
    return optimizer.param_groups[0]["params"]
