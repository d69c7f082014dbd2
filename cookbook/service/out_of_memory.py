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

from cookbook import causes, machine
from cookbook.causes import Cause
from cookbook.errors import MemoryShort, OutOfMemory
from cookbook.i18n import tr
from cookbook.known_causes import MEMORY
from cookbook.memory import MemoryPlan
from cookbook.service import kernel_kills
from cookbook.service.exit_codes import Exit
from cookbook.service.store import Job

CODE = "out_of_memory"
"""The code of a job that failed for memory, in its log and over HTTP."""

LARGE_SHARE = 0.4
"""Share of the free memory above which a training may well have used up the rest with others."""

# By signal 9, as `subprocess` and as a shell report it.
KILLED = (-9, 137)
GB = 2**30


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
        # Its cause is a guess.
        return bool(watch and watch.kernel_killed) or takes_much(job.memory_plan)
    return cause.kind == MEMORY.kind


def takes_much(plan: dict[str, Any] | None) -> bool:
    """Return whether a plan takes a large share of the memory that was free."""
    if not plan:
        return False
    return plan["needed"] >= LARGE_SHARE * plan["free"]


def is_lack(error: BaseException) -> bool:
    """Return whether Python, torch or the GPU could not get more memory."""
    cause = causes.known(error)
    return cause is not None and cause.kind == MEMORY.kind


def check_fits(job: Job, plan: MemoryPlan) -> None:
    """Refuse a plan that does not fit, before the base's weights are read.

    Raises:
        MemoryShort: other programs have the memory at present.
        OutOfMemory: it would not fit if all memory were free.
    """
    if plan.fits:
        return
    needed, total = plan.needed, machine.here().total
    if needed <= total:
        raise MemoryShort(
            zh=f"内存不够：训练 {job.base} 约需 {gb(needed)}，现在空闲 {gb(plan.free)}。"
            "关掉别的程序，或换更小的 max_tokens 或基础模型",
            en=f"not enough memory: training {job.base} needs about {gb(needed)}, "
            f"{gb(plan.free)} are free. Close other programs, or choose a smaller max_tokens or "
            "base model",
        )
    zh, en = remedies(job.base, job.hyperparameters)
    raise OutOfMemory(
        zh=f"内存不够：训练 {job.base} 约需 {gb(needed)}，这台机器一共 {gb(total)}。{zh}",
        en=f"not enough memory: training {job.base} needs about {gb(needed)}, this machine has "
        f"{gb(total)}. {en}",
    )


def retried(job: Job, code: int, watch: MemoryWatch | None) -> tuple[str, dict[str, Any]]:
    """Return the event of a job that goes on with a smaller plan: message and data."""
    how_zh, how_en = "训练时分配不到内存", "the training could not get more memory"
    if code in KILLED:
        how_zh, how_en = "训练进程被系统结束", "the system ended the training process"
    figures_zh, figures_en = _figures(job, watch)
    message = tr(
        f"内存不够：{how_zh}{figures_zh}。换一个更小的内存方案，从上一个检查点继续",
        f"Out of memory: {how_en}{figures_en}. Going on from the last checkpoint with a smaller "
        "memory plan",
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


def failed(job: Job, watch: MemoryWatch | None) -> str:
    """Return why a job failed that has run out of memory with its smaller plan, too."""
    figures_zh, figures_en = _figures(job, watch)
    remedies_zh, remedies_en = remedies(job.base, job.hyperparameters)
    return tr(
        f"内存不够，换了更小的方案也不行{figures_zh}。{remedies_zh}",
        f"Out of memory, with a smaller plan, too{figures_en}. {remedies_en}",
    )


def remedies(base: str, hp: dict[str, Any]) -> tuple[str, str]:
    """Return what helps where a training does not fit, zh and en."""
    given = hp.get("max_tokens", 0)
    zh, en = "改小 max_tokens", "a shorter max_tokens"
    if given > 1:
        zh = f"把 max_tokens 从 {given} 改小，例如 {given // 2}"
        en = f"a shorter max_tokens ({given} now, say {given // 2})"
    return (
        f"办法：{zh}；换比 {base} 小的基础模型；换内存更大的机器，"
        "或在有显卡的机器上用 4 bit 的基础模型",
        f"What helps: {en}; a smaller base than {base}; a machine with more memory, or one with a "
        "GPU and the base in 4 bit",
    )


def gb(size: int) -> str:
    """Return bytes as a reader sees them, "3.1 GB"."""
    return f"{size / GB:.1f} GB"


def _figures(job: Job, watch: MemoryWatch | None) -> tuple[str, str]:
    """Return what was planned and what was seen, as the rest of a sentence, zh and en."""
    zh, en = "", ""
    if job.memory_plan:
        needed, free = gb(job.memory_plan["needed"]), gb(job.memory_plan["free"])
        zh += f"，方案约需 {needed}，开始时空闲 {free}"
        en += f"; the plan needed about {needed} of {free} free"
    if watch and watch.peak:
        zh += f"，最后看到它用了 {gb(watch.peak)}"
        en += f", the process was seen with {gb(watch.peak)}"
    return zh, en
