"""View a room as its caller sees it: `room.view(client)`.

Shown are the caller's own jobs with their places in the queue, the models they can use, how much of
each limit is used, and what the leader says. The view does not change by itself: run it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cookbook import html
from cookbook.client import synchronous
from cookbook.clock import clock
from cookbook.duration import duration
from cookbook.errors import ArgumentError, ServiceError
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.machine import MB
from cookbook.siliconcloud import is_siliconcloud
from cookbook.terminal import printable

if TYPE_CHECKING:
    from openai import OpenAI

Row = dict[str, Any]

ANSWER_SECONDS = 15.0

_TEMPLATE = """
<div class="cookbook-room"><b>{{ room.name }}</b> · {{ tr("基础模型", "base model") }}
<code>{{ room.base_model }}</code>
{%- if closes %} · {{ tr("开到", "open until") }} {{ closes }}{% endif %}
{% if room.message %}
<div>{{ tr("组织者说：", "the leader says: ") }}{{ room.message }}</div>
{% endif %}
{% if used %}
<div style="color:{{ grey }}">{{ tr("用量", "used") }} {{ used }}</div>
{% endif %}
{% if jobs %}
<table><thead><tr>
{% for name in heads %}
<th scope="col" style="text-align:left">{{ name }}</th>
{% endfor %}
</tr></thead><tbody>
{% for cells in jobs %}
<tr>
{% for cell in cells %}
<td style="text-align:left">{{ cell }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody></table>
{% endif %}
{% if shared %}
<div>{{ tr("分享的模型", "shared models") }}</div>
<ul>
{% for model in shared %}
<li><code>{{ model["id"] }}</code> {{ model["owner"] }}</li>
{% endfor %}
</ul>
{% endif %}
</div>
"""


@dataclass(frozen=True)
class RoomView:
    """What a person sees of a room.

    Attributes:
        name: the person whose key it is.
        closes_at: seconds since 1970; None where it does not close.
        limits: `jobs`, `bytes` and `chats`, each with `used` and `limit`; empty for the leader.
        jobs: rows with id, task, status, jobs_ahead, step, train_loss …; unfinished ones first, in
            the order of the queue.
        models: rows with id, owner and shared: one's own, and those that are shared.
    """

    name: str
    base_model: str
    closes_at: float | None = None
    message: str | None = None
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    jobs: list[Row] = field(default_factory=list)
    models: list[Row] = field(default_factory=list)

    @property
    def used(self) -> str:
        """How much of each limit is used, in a line; empty where there are none."""
        if not self.limits:
            return ""
        jobs, kept, chats = (self.limits[name] for name in ("jobs", "bytes", "chats"))
        files = f"{kept['used'] / MB:.1f}/{kept['limit'] / MB:.0f} MB"
        return tr(
            f"未结束的任务 {jobs['used']}/{jobs['limit']} · 文件 {files} · "
            f"正在生成的回答 {chats['used']}/{chats['limit']}",
            f"unfinished jobs {jobs['used']}/{jobs['limit']} · files {files} · "
            f"answers in progress {chats['used']}/{chats['limit']}",
        )

    def __repr__(self) -> str:
        parts = [self.name, self.base_model]
        closes = clock(self.closes_at)
        if closes:
            parts.append(tr(f"开到 {closes}", f"open until {closes}"))
        lines = [" · ".join(parts)]
        if self.message:
            lines.append(tr(f"组织者说：{self.message}", f"the leader says: {self.message}"))
        if self.used:
            lines.append(self.used)
        for job in self.jobs:
            lines.append(" · ".join(filter(None, _cells(job))))
        return printable("\n".join(lines))

    def _repr_html_(self) -> str:
        heads = (tr("任务", "job"), tr("状态", "status"), tr("进度", "progress"), "train_loss")
        return html.template(_TEMPLATE).render(
            room=self,
            closes=clock(self.closes_at),
            used=self.used,
            heads=(*heads, tr("还需", "time left")),
            jobs=[_cells(job) for job in self.jobs],
            shared=[model for model in self.models if model.get("shared")],
            grey=html.GREY,
        )


def view(client: "OpenAI") -> RoomView:
    """Return the room as it is now, as the client's key sees it.

    Raises:
        ArgumentError: `client` is asynchronous, no client, or one of SiliconCloud.
        ServiceError: the room does not answer, or is closed; or it is another service.
    """
    import openai

    client = in_room(client)
    try:
        data: Any = client.get("/room", cast_to=object)
    except openai.APIError as error:
        raise refused(error) from None
    if not isinstance(data, dict) or data.get("object") != "room":
        raise _not_a_room()
    message = data.get("message") or {}
    return RoomView(
        name=str(data["name"]),
        base_model=str(data["base_model"]),
        closes_at=data.get("closes_at"),
        message=message.get("text"),
        limits=data.get("limits") or {},
        jobs=data.get("jobs") or [],
        models=data.get("models") or [],
    )


def in_room(client: "OpenAI") -> "OpenAI":
    """Return the client, if a room may be behind it, with patience for one answer.

    Raises:
        ArgumentError: it is asynchronous, no client, or one of SiliconCloud.
    """
    client = synchronous(client)
    if is_siliconcloud(client):
        raise ArgumentError(
            zh="SiliconCloud 不是课堂：client 要用 connect() 给出的课堂地址和密钥来建",
            en="SiliconCloud is not a room: make the client with the address and key of a room, "
            "as connect() gives them",
        )
    return client.with_options(timeout=ANSWER_SECONDS)


def refused(error: Exception) -> ServiceError:
    """Return the sentence for a request that the room refused or did not answer."""
    import openai

    # A service of another kind has no such route, and says so in words of its own.
    if isinstance(error, openai.NotFoundError) and error.code is None:
        return _not_a_room()
    reason = explain(error)
    return ServiceError(zh=reason, en=reason)


def _not_a_room() -> ServiceError:
    return ServiceError(
        zh="这个服务不是课堂，或版本太旧：用 connect() 给出的地址和密钥建 client",
        en="this service is not a room, or of an older version: make the client with the address "
        "and key that connect() gives",
    )


def _cells(job: Row) -> list[str]:
    """Return a job in the words of a table's row; what is not known is empty."""
    status = str(job.get("status"))
    if job.get("paused"):
        status += " (paused)"
    ahead = job.get("jobs_ahead")
    if ahead is not None:
        place = tr(f"前面 {ahead} 个", f"{ahead} ahead") if ahead else tr("下一个", "next")
        status += f" · {place}"
    if job.get("taken_over"):
        status += tr(" · 与已训练的相同", " · same as one already trained")
    if error := job.get("error"):
        status += f" · {error.get('message')}"
    progress = f"{job['step']}/{job.get('total_steps')}" if job.get("step") else ""
    loss, left = job.get("train_loss"), job.get("seconds_left")
    return [
        str(job.get("task") or job.get("id")),
        status,
        progress,
        "" if loss is None else f"{loss:.3f}",
        "" if left is None else duration(left),
    ]
