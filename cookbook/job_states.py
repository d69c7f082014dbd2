"""Name the states of a fine-tuning job, in OpenAI's words, and their order.

Helpers and service share this list. A paused job has no state of its own: it keeps the one it had.
"""

from typing import Literal

from cookbook.i18n import tr

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]

WAITING = ("validating_files", "queued")
UNFINISHED = (*WAITING, "running")
TERMINAL = ("succeeded", "failed", "cancelled")

# A job only moves to a state of a higher rank, so that one that has ended stays as it ended.
RANK = {
    "validating_files": 0,
    "queued": 1,
    "running": 2,
    "succeeded": 3,
    "failed": 3,
    "cancelled": 3,
}


def queued(ahead: int) -> str:
    """Return the sentence that tells a waiting job's place."""
    if ahead == 0:
        return tr("排队中", "Queued")
    jobs = "1 job" if ahead == 1 else f"{ahead} jobs"
    return tr(f"排队中，前面还有 {ahead} 个任务", f"Queued, {jobs} ahead")
