"""Find the GPU that a training here would use, without importing torch.

    gpu.first() -> Gpu | None

Torch is asked where it is loaded already: it knows best. Elsewhere `nvidia-smi`, which comes with
the driver, says what cards there are. A card counts only if the torch that is installed here was
built for it; a notebook's kernel does not load torch only to find that out.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cookbook import environment
from cookbook.machine import device

SECONDS = 10
"""To wait for nvidia-smi; with a driver that hangs it never answers."""

_QUERY = "index,uuid,name,memory.free,memory.total,compute_cap"

# The oldest cards that a build of torch has code for, by the version of CUDA that it was built for.
_OLDEST = {13: 7.5, 12: 5.0}
# From this generation (Ampere) on a card computes in bfloat16.
_BFLOAT16_FROM = 8.0


@dataclass(frozen=True)
class Gpu:
    """A card: bytes that are free on it, bytes in all, and what it is.

    `held` are the bytes that this very process holds there already.
    """

    name: str
    free: int
    total: int
    bfloat16: bool
    held: int = 0


@dataclass(frozen=True)
class Listed:
    """A card as nvidia-smi lists it."""

    index: str
    uuid: str
    name: str
    free: int
    total: int
    capability: float


def first() -> Gpu | None:
    """Return the card that torch calls "cuda" here; None where it would compute on the CPU.

    Raises:
        ModelError: `COOKBOOK_DEVICE` names no device.
    """
    if device.chosen() == device.CPU:
        return None
    if "torch" in sys.modules:
        return _of_torch()
    oldest = _oldest_supported()
    if oldest is None:
        return None
    cards = visible(listed(), os.environ)
    if not cards or cards[0].capability < oldest:
        return None
    card = cards[0]
    bfloat16 = card.capability >= _BFLOAT16_FROM
    return Gpu(card.name, card.free, card.total, bfloat16)


def _of_torch() -> Gpu | None:
    import torch

    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    targets = torch.cuda.get_arch_list()
    if not torch.version.hip and not has_code(10 * major + minor, targets):
        return None
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    # Older cards only imitate bfloat16, slowly.
    bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Gpu(name, free, total, bfloat16, held=torch.cuda.memory_reserved())


def has_code(capability: int, targets: Sequence[str]) -> bool:
    """Return whether a torch that was built for `targets` runs on a card.

    Args:
        capability: 86 of a card of compute capability 8.6.
        targets: such as "sm_80" or "compute_90", as `torch.cuda.get_arch_list` gives them.
    """
    # Of a build that does not say, nothing is known.
    return not targets or any(_runs_on(capability, target) for target in targets)


def _runs_on(capability: int, target: str) -> bool:
    number = target_number(target)
    # Compiled at its first use, for any later card.
    if target.startswith("compute"):
        return number <= capability
    # "sm_90a" has instructions of that very card.
    if target.endswith("a"):
        return number == capability
    same_generation = number // 10 == capability // 10
    return same_generation and number <= capability


def target_number(target: str) -> int:
    """Return 86 of "sm_86", 90 of "sm_90a"."""
    found = re.search(r"\d+", target)
    return int(found[0]) if found else 0


def _oldest_supported() -> float | None:
    """Return the oldest capability that the installed torch has code for; None without CUDA."""
    try:
        found = find_spec("torch")
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None:
        return None
    return built_for(Path(found.origin).with_name("version.py"))


def built_for(version: Path) -> float | None:
    """Return the same from torch's `version.py`, which says `cuda = '13.0'` or `cuda = None`."""
    try:
        text = version.read_text(encoding="utf-8")
    except OSError:
        return None
    built = re.search(r"^cuda\b.*=\s*['\"](\d+)\.", text, flags=re.M)
    if built is None:
        return None
    cuda = int(built[1])
    return _OLDEST.get(cuda, _OLDEST[12])


def listed() -> list[Listed]:
    """Return the cards that nvidia-smi lists; none where it is not there or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            check=True,
            env=environment.of_worker(),
            errors="replace",
            text=True,
            timeout=SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse(answer.stdout)


def parse(text: str) -> list[Listed]:
    """Return the cards of an answer of nvidia-smi; what has no figures is left out."""
    cards = []
    for fields in csv.reader(text.splitlines(), skipinitialspace=True):
        try:
            index, uuid, name, free, total, capability = fields
            # In MiB; a card that has failed has "[N/A]" there.
            sizes = int(free) << 20, int(total) << 20
            card = Listed(index, uuid, name, *sizes, float(capability))
        except ValueError:
            continue
        cards.append(card)
    return cards


def visible(cards: list[Listed], environment: Mapping[str, str]) -> list[Listed]:
    """Return the cards that CUDA shows this process, in its order."""
    # CUDA counts the fastest first unless it is told to go by slots, as nvidia-smi does.
    if environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        cards = sorted(cards, key=lambda card: -card.capability)
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return cards
    shown = []
    for name in chosen.split(","):
        found = _named(cards, name.strip())
        # CUDA, too, stops at the first name that it does not know, such as -1.
        if found is None:
            break
        shown.append(found)
    return shown


def _named(cards: list[Listed], name: str) -> Listed | None:
    """Return the card with this number, or whose identifier begins so."""
    if name.isdecimal():
        number = int(name)
        return cards[number] if number < len(cards) else None
    if not name:
        return None
    # An identifier may be cut short as long as it names one card.
    matching = [card for card in cards if card.uuid.startswith(name)]
    return matching[0] if len(matching) == 1 else None
