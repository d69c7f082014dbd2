"""Say why a job failed, and in a room, whose matter it is: `reason(job)`."""

from typing import TYPE_CHECKING

from cookbook.i18n import tr

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob

_OF_THE_MACHINE = ("worker_died", "model_unavailable", "data_folder")
"""Codes of failures that only whoever runs the service can do something about."""


def reason(job: "FineTuningJob") -> str:
    """Return why a job failed, with what to do; empty for every other job."""
    if job.status != "failed" or job.error is None:
        return ""
    error = job.error
    text = error.message or error.code or ""
    # The owner of a job is a person only in a room; its disk and packages are not that person's.
    in_room = getattr(job, "organization_id", None) not in (None, "", "local")
    if in_room and error.code in _OF_THE_MACHINE:
        text += tr(
            "（这是课堂所在机器的问题：告诉组织者，处理好后再提交一次）",
            " (this concerns the room's machine: tell the leader, and create the job again "
            "once it is solved)",
        )
    return text
