"""Tell a lack of memory from other ends of a training process, and say what follows from it.

    watch = MemoryWatch(process.pid)      when a process begins; `watch.look()` now and then
    ran_out(code, cause, watch, job)      when it has ended
    retried(job, code, watch)             what its log says, and
    failed(job, watch)                    where the smaller plan has not fitted either
    check_fits(job, plan)                 before it begins: raises, or not

A process that raises the error itself says so by its exit code. One that the system kills, exit -9,
says nothing: that it was for memory shows in the kernel's own counts, or in that the plan took much
of what was free. A kill without such a sign stays an unexplained end.
"""

from typing import Any

import psutil

from cookbook import bases, memory
from cookbook.causes import Cause
from cookbook.errors import MemoryShort, OutOfMemory
from cookbook.i18n import Text
from cookbook.known_causes import MEMORY
from cookbook.machine import Machine, in_gb, kernel_kills
from cookbook.machine.device import CPU
from cookbook.memory import BFLOAT16, NF4, MemoryPlan
from cookbook.service.exit_codes import Exit
from cookbook.service.store import Job
from cookbook.shapes import published

CODE = "out_of_memory"
"""The code of a job that failed for memory, in its log and over HTTP."""

SMALLER_SHARE = 0.8
"""Share of what a job's plan was to take that a smaller base may take by its own."""

LARGE_SHARE = 0.4
"""Share of the free memory above which a training may well have used up the rest with others."""

# By signal 9, as `subprocess` and as a shell report it.
KILLED = (-9, 137)


class MemoryWatch:
    """What can be seen from outside of a training process and its memory.

    Attributes:
        peak: the most bytes that it was seen to have; 0 if it was never looked at.
    """

    def __init__(self, pid: int):
        self._pid = pid
        self._kills = kernel_kills.counts()
        self.peak = self.now = 0

    def look(self) -> None:
        """Read how much memory it has at present."""
        try:
            self.now = psutil.Process(self._pid).memory_info().rss
        except psutil.Error:
            return
        self.peak = max(self.peak, self.now)

    @property
    def kernel_killed(self) -> bool:
        """Return whether the kernel has killed some process for memory since this one began."""
        return kernel_kills.rose(self._kills)


def ran_out(code: int, cause: Cause, watch: MemoryWatch | None, job: Job) -> bool:
    """Return whether a training process ended for lack of memory.

    Args:
        cause: what its exit code and its last lines say.
    """
    if code == Exit.OUT_OF_MEMORY:
        return True
    if code in KILLED:
        # With a cluster the plan is that of another machine: a smaller one would not help here.
        if job.place is not None:
            return False
        # Its cause is a guess.
        return bool(watch and watch.kernel_killed) or takes_much(job.memory_plan)
    return cause.kind == MEMORY.kind


def takes_much(plan: dict[str, Any] | None) -> bool:
    """Return whether a plan takes a large share of the machine's memory that was free."""
    # A GPU that is full kills no process.
    if not plan or plan["device"] != CPU:
        return False
    return plan["needed"] >= LARGE_SHARE * plan["free"]


def check_fits(job: Job, plan: MemoryPlan) -> None:
    """Refuse a plan that does not fit, before the base's weights are read.

    Raises:
        MemoryShort: other programs have the memory at present.
        OutOfMemory: it would not fit if all memory were free.
    """
    if plan.fits:
        return
    why = plan.refused(job.base)
    kind = MemoryShort if plan.fits_when_idle else OutOfMemory
    raise kind(zh=why.zh, en=why.en)


def retried(job: Job, code: int, watch: MemoryWatch | None) -> tuple[Text, dict[str, Any]]:
    """Return the event of a job that goes on with a smaller plan: message and data."""
    how_zh, how_en = "训练时申请不到更多", "the training could not get more"
    if code in KILLED:
        how_zh, how_en = "训练进程被系统结束", "the system ended the training process"
    memory_zh, memory_en = _memory(job)
    figures_zh, figures_en = _figures(job, watch)
    message = Text(
        f"{memory_zh}不够：{how_zh}{figures_zh}。换一个更小的内存方案，从上一个检查点继续",
        f"Out of {memory_en}: {how_en}{figures_en}. Going on from the last checkpoint with a "
        "smaller memory plan",
    )
    plan = job.memory_plan or {}
    data = {
        "code": CODE,
        "needed": plan.get("needed"),
        "free": plan.get("free"),
        "used": watch.peak if watch and watch.peak else None,
        "level": job.memory_level + 1,
    }
    return message, data


def failed(job: Job, watch: MemoryWatch | None) -> Text:
    """Return why a job failed that has run out of memory with its smaller plan, too."""
    memory_zh, memory_en = _memory(job)
    figures_zh, figures_en = _figures(job, watch)
    helps = remedies(job)
    return Text(
        f"{memory_zh}不够，换了更小的方案也不行{figures_zh}。{helps.zh}",
        f"Out of {memory_en}, with a smaller plan, too{figures_en}. {helps.en}",
    )


def unloaded(names: list[str]) -> Text:
    """Return what a job's log says where chat gave up bases for it."""
    zh, en = "、".join(names), ", ".join(names)
    return Text(
        f"给训练腾内存：聊天暂时卸下了 {zh}，下次提问时再加载",
        f"Memory for the training: chat has unloaded {en}, and loads it again at the next question",
    )


def remedies(job: Job) -> Text:
    """Return what helps a job whose plans have fitted by their figures alone."""
    plan = job.memory_plan or {}
    max_tokens = job.hyperparameters.get("max_tokens", 0)
    longest = min(max_tokens, plan.get("longest") or max_tokens)
    shorter = longest // 2
    smaller = _smaller_base(job, longest)
    base_zh = f"换小一些的基础模型，例如 {smaller}" if smaller else f"换比 {job.base} 小的基础模型"
    base_en = f"such as {smaller}" if smaller else f"than {job.base}"
    had = in_gb(plan["free"]) if plan else None
    more_zh = f"（空闲内存多于 {had}）" if had else ""
    more_en = f" (more than {had} free)" if had else ""
    return Text(
        f"办法：把 max_tokens 改小，例如 {shorter}（最长的一条现在读 {longest} 个 token）；"
        f"{base_zh}；换大一些的机器{more_zh}，或在显卡上用 4 bit 的基础模型",
        f"What helps: a shorter max_tokens, say {shorter} (the longest row has {longest} tokens "
        f"now); a smaller base {base_en}; a bigger machine{more_en}, or a GPU with the base in "
        "4 bit",
    )


def _smaller_base(job: Job, longest: int) -> str | None:
    """Return a published base that would fit where the job did not; None where none is known."""
    plan, hp = job.memory_plan, job.hyperparameters
    # A base in a folder has no published name, but sizes.
    known = [base.shape for base in bases.installed() if base.id == job.base]
    shape = known[0] if known else published(job.base)
    # Neither is whole in a job that another version has kept.
    if shape is None or not plan or not {"max_tokens", "batch_size", "lora_rank"} <= hp.keys():
        return None
    # The job had fitted by its figures, too, and took more.
    room = round(SMALLER_SHARE * min(plan["free"], plan["needed"]))
    weights = plan.get("weights")
    there = Machine(
        plan["device"], room, room, bfloat16=weights == BFLOAT16, four_bit=weights == NF4
    )
    return memory.smaller_base(shape, [longest] * hp["batch_size"], hp, there)


def _figures(job: Job, watch: MemoryWatch | None) -> tuple[str, str]:
    """Return what was planned and what was seen, as the rest of a sentence, zh and en."""
    zh, en = "", ""
    on_gpu = _is_on_gpu(job)
    if job.memory_plan:
        needed, free = in_gb(job.memory_plan["needed"]), in_gb(job.memory_plan["free"])
        zh += f"，方案约需 {needed}，开始时空闲 {free}"
        en += f"; the plan needed about {needed} of {free} free"
    # Of a training on the GPU this would be the least part, of one on a cluster none.
    if watch and watch.peak and not on_gpu and job.place is None:
        zh += f"，最后看到它用了 {in_gb(watch.peak)}"
        en += f", the process was seen with {in_gb(watch.peak)}"
    return zh, en


def _is_on_gpu(job: Job) -> bool:
    return job.memory_plan is not None and job.memory_plan["device"] != CPU


def _memory(job: Job) -> tuple[str, str]:
    """Return what a training has too little of, zh and en."""
    return ("显存", "GPU memory") if _is_on_gpu(job) else ("内存", "memory")
