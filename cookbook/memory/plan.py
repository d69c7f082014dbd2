"""A memory plan and what it says to a reader."""

from dataclasses import dataclass, field
from typing import Any

from cookbook.i18n import Text, tr
from cookbook.machine import CUDA, GB, in_gb
from cookbook.memory.remedies import Remedies
from cookbook.memory.weights import BFLOAT16, FLOAT32, NF4, STORED_BFLOAT16

_WEIGHTS = {
    FLOAT32: ("float32", "float32"),
    BFLOAT16: ("bfloat16", "bfloat16"),
    STORED_BFLOAT16: ("bfloat16 存、float32 算", "bfloat16, computed in float32"),
    NF4: ("4 bit（NF4）", "4 bit (NF4)"),
}


# The fields without which there is no plan to show.
_KINDS: dict[str, type] = {
    "needed": int,
    "free": int,
    "device": str,
    "weights": str,
    "micro_tokens": int,
    "micro_batch": int,
    "checkpointed": int,
    "layers": int,
    "loss_chunk": int,
}

# Those that plans of earlier versions do not have.
_LATER: dict[str, tuple[type, Any]] = {"workers": (int, 1), "sharded": (bool, False)}


@dataclass(frozen=True, repr=False)
class MemoryPlan:
    """How a training is made to fit.

    Attributes:
        needed: bytes at the peak, of the process on a CPU, of the card on a GPU; of each worker.
        free: bytes that were free when it was made, for each worker.
        device: "cpu" or "cuda".
        weights: type of the base's weights: `FLOAT32`, `BFLOAT16`, `STORED_BFLOAT16` or `NF4`.
        micro_tokens: tokens, padding included, that go through the model at once; a row that is
            longer goes alone.
        micro_batch: rows of the longest kind that fit into that.
        checkpointed: layers whose activations are computed again instead of kept.
        layers: layers of the base.
        loss_chunk: trained tokens whose logits are held at a time.
        level: 0, or how often it was made smaller after it had not fitted.
        total: bytes that would be free if nothing else ran; 0 where that is not known.
        remedy: what would fit; None where the plan does.
        workers: how many share each batch.
        sharded: whether each of them keeps a part of the base's layers alone.
    """

    needed: int
    free: int = field(compare=False)
    device: str
    weights: str
    micro_tokens: int
    micro_batch: int
    checkpointed: int
    layers: int
    loss_chunk: int
    level: int = 0
    total: int = field(default=0, compare=False)
    remedy: Remedies | None = field(default=None, compare=False)
    workers: int = 1
    sharded: bool = False

    @classmethod
    def of_dict(cls, values: Any) -> "MemoryPlan | None":
        """Return the plan whose figures an event has; None where they are another service's."""
        if not isinstance(values, dict):
            return None
        known: dict[str, Any] = {name: values.get(name) for name in _KINDS}
        kinds = dict(_KINDS)
        for name, (kind, usual) in _LATER.items():
            known[name] = values.get(name, usual)
            kinds[name] = kind
        # Exactly: True is an int to Python.
        if any(type(known[name]) is not kind for name, kind in kinds.items()):
            return None
        return cls(**known) if known["weights"] in _WEIGHTS else None

    @property
    def fits(self) -> bool:
        return self.needed <= self.free

    @property
    def fits_when_idle(self) -> bool:
        """Return whether it would fit if nothing else ran on the machine."""
        return self.needed <= max(self.free, self.total)

    def remedies(self) -> list[str]:
        """Return what would fit, a sentence each; none where the plan fits."""
        return [str(remedy) for remedy in self._remedies()]

    def _remedies(self) -> list[Text]:
        if self.fits or self.remedy is None:
            return []
        return self.remedy.sentences()

    @property
    def is_limited(self) -> bool:
        """Return whether it is the reader's own limit that it does not fit into."""
        return not self.fits and self.remedy is not None and self.remedy.limit is not None

    @property
    def _free_is_limit(self) -> bool:
        return self.is_limited and self.free == self.total

    @property
    def _is_never_enough(self) -> bool:
        """Return whether other programs are not to blame, which what is free does not show."""
        return self.free < self.total < self.needed

    def beside(self, given: int) -> tuple[str, str]:
        """Return what is needed and `given` bytes, so that it shows which of them is more."""
        needed, there = in_gb(self.needed), in_gb(given)
        if needed == there and given < self.needed:
            return f"{self.needed / GB:.3f} GB", f"{given / GB:.3f} GB"
        return needed, there

    @property
    def refusal(self) -> str:
        """Return why it does not fit, and what would."""
        return str(self.refused())

    def refused(self, base: str = "") -> Text:
        """Return the same, to be stored; `base` is named where it is given."""
        named_zh, named_en = (f" {base} ", f" {base}") if base else ("", "")
        helps_zh = "；".join(remedy.zh for remedy in self._remedies())
        helps_en = "; ".join(remedy.en for remedy in self._remedies())
        return Text(
            f"内存不够：训练{named_zh}{self.zh}。办法：{helps_zh}",
            f"not enough memory: training{named_en} {self.en}. What helps: {helps_en}",
        )

    def __str__(self) -> str:
        return tr(self.zh, self.en)

    def __repr__(self) -> str:
        return f"MemoryPlan({str(self)!r})"

    @property
    def zh(self) -> str:
        """The plan in one line of Chinese."""
        needed, free = self.beside(self.free)
        place = "显存" if self.device == CUDA else ""
        if self.workers > 1:
            place = f"用 {self.workers} 个 worker，每个{place}"
        if not self.fits:
            if self._free_is_limit:
                return f"{place}约需 {needed}，COOKBOOK_MEMORY 只许用 {free}，放不下"
            in_all = f"（一共 {in_gb(self.total)}）" if self._is_never_enough else ""
            return f"{place}约需 {needed}，只空闲 {free}{in_all}，放不下"
        rows = f"每次 {self.micro_batch} 条（micro-batch）"
        again = "重算激活（checkpointing）"
        if self.checkpointed == 0:
            again = f"不{again}"
        elif self.checkpointed < self.layers:
            again = f"{self.checkpointed}/{self.layers} 层{again}"
        loss = f"loss 每次算 {self.loss_chunk} 个 token"
        weights = f"权重 {_WEIGHTS[self.weights][0]}"
        if self.sharded:
            weights += "，分片存放"
        return f"{place}约需 {needed}，空闲 {free}：{rows}，{again}，{loss}，{weights}"

    @property
    def en(self) -> str:
        """The plan in one line of English."""
        needed, free = self.beside(self.free)
        place = " on the GPU" if self.device == CUDA else ""
        if self.workers > 1:
            kind = "GPUs" if self.device == CUDA else "workers"
            place = f" on each of {self.workers} {kind}"
        if not self.fits:
            if self._free_is_limit:
                return f"needs about {needed}{place}, but COOKBOOK_MEMORY allows only {free}"
            in_all = f" of {in_gb(self.total)}" if self._is_never_enough else ""
            return f"needs about {needed}, but only {free}{in_all} are free{place}"
        rows = f"micro-batches of {self.micro_batch}"
        again = "checkpointing on"
        if self.checkpointed == 0:
            again = "checkpointing off"
        elif self.checkpointed < self.layers:
            again = f"checkpointing on in {self.checkpointed} of {self.layers} layers"
        loss = f"loss in chunks of {self.loss_chunk} tokens"
        weights = f"weights in {_WEIGHTS[self.weights][1]}"
        if self.sharded:
            weights += ", sharded"
        return f"needs about {needed} of {free} free{place}: {rows}, {again}, {loss}, {weights}"
