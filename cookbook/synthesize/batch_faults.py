"""What is said where a batch was refused, is out of reach, or ended without an answer."""

from pathlib import Path
from typing import Any

from cookbook.errors import ArgumentError, ServiceError
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.quoted import one_line
from cookbook.siliconcloud import BATCH_BALANCE
from cookbook.synthesize.remembered import Batch
from cookbook.synthesize.results import NotFetched, Results

_BALANCE = 30001  # SiliconCloud's code for a balance that is too low


def refused(error: Exception) -> ServiceError:
    """Return the error for an upload, or a batch, that the service did not take."""
    reason = explain(error)
    body = getattr(error, "body", None)
    if isinstance(body, dict) and body.get("code") == _BALANCE:
        reason += tr("；", "; ") + tr(*BATCH_BALANCE)
    return ServiceError(zh=f"批量任务没有建成：{reason}", en=f"the batch was not started: {reason}")


def lost_sight(batch: Batch, error: Exception, remembered: Path, *, passes: bool) -> ServiceError:
    """Return the error for a batch that the service does not answer for.

    Args:
        remembered: the file that names the batch.
        passes: the service is away, rather than that it knows no such batch or file.
    """
    reason = str(error) if isinstance(error, NotFetched) else explain(error)
    zh = f"问不到批量任务 {batch.id}（建在 {batch.host}）：{reason}。"
    en = f"cannot look at batch {batch.id} (started on {batch.host}): {reason}. "
    if passes:
        return ServiceError(
            zh=zh + "任务本身不受影响：过一会儿再运行这一格",
            en=en + "The batch itself goes on: run this cell again later",
        )
    return ServiceError(
        zh=zh + "先核对 key 和地址是不是建任务时的；任务或结果若已经不在了"
        f"（平台保留 30 天），删掉 {remembered} 再运行，会重新问",
        en=en + "Check that key and address are those that it was started with; if the batch or "
        f"its results are gone (the platform keeps them for 30 days), delete {remembered} and run "
        "again: its requests are then sent again",
    )


def not_listed(file: str, remembered: Path) -> ServiceError:
    """Return the error for a batch that may have begun, where the service does not list any.

    Args:
        file: the id of its input file.
        remembered: the file that names the batch, with the id null.
    """
    return ServiceError(
        zh=f"有一个批量任务（输入文件 {file}）不知道建成没有，服务又没有列出批量任务："
        f"到控制台查看。建成了，把 {remembered} 里它的 id 由 null 改成控制台里的；"
        "没有建成，删掉这个文件，再运行",
        en=f"it is not known whether a batch (input file {file}) was started, and the service does "
        f"not list its batches: look at the console. If it was, write its id into {remembered} in "
        "place of null; if not, delete that file. Then run again",
    )


def unanswered(found: Any, status: str, said: Results) -> str:
    """Return why a request of a batch that has ended has no answer and no error of its own."""
    if status == "completed":
        unread = ""
        if said.unknown_lines:
            unread = tr(
                f"（另有 {said.unknown_lines} 行看不懂）",
                f" ({said.unknown_lines} lines could not be read)",
            )
        return tr(
            f"批量任务 {found.id} 做完了，结果里却没有这一条{unread}：再运行会重新问",
            f"batch {found.id} is complete, but has no line for this one{unread}: run again to ask "
            "for it",
        )
    words = {
        "expired": tr("过期了", "expired"),
        "cancelled": tr("被取消了", "was cancelled"),
        "failed": tr("失败了", "failed"),
    }
    why = reasons(found)
    return tr(
        f"批量任务 {found.id} {words[status]}，没有问到这一条{why}：再运行会重新问",
        f"batch {found.id} {words[status]} before this one was answered{why}: run again to ask "
        "for it",
    )


def reasons(found: Any) -> str:
    """Return what a batch says of itself, in parentheses; nothing where it says nothing.

    That is a list of texts, or OpenAI's list of errors. The embedded service says there what a
    batch waits for.
    """
    errors = getattr(found, "errors", None)
    errors = getattr(errors, "data", errors)
    if not isinstance(errors, list) or not errors:
        return ""
    said = [str(getattr(error, "message", error)) for error in errors[:3]]
    return tr("（", " (") + one_line("; ".join(said)) + tr("）", ")")


def no_id(answer: Any) -> ServiceError:
    """Return the error for an answer that names neither a file nor a batch."""
    shown = one_line(str(answer))
    return ServiceError(
        zh=f"服务的应答里没有 id，批量任务没有建成：{shown}",
        en=f"the service's answer has no id, so no batch was started: {shown}",
    )


def under_way(batch: Batch, drafts: int) -> ArgumentError:
    """Return the error for drafts that are asked for at once while a batch is writing them."""
    return ArgumentError(
        zh=f"其中 {drafts} 条已经在批量任务 {batch.id} 里，现在再问要付两次钱："
        "用 batch=True 运行，取它的结果；不想等了，就先取消它（在控制台，或用 "
        "client.batches.cancel），再用 batch=True 运行一次",
        en=f"{drafts} of these are in batch {batch.id} already, and would be paid twice: run with "
        "batch=True to collect its answers. To stop waiting, cancel it (in the console, or with "
        "client.batches.cancel), then run with batch=True once",
    )
