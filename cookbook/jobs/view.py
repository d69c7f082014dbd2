"""View a job as it is now: the job and its stored events, each fetched only once.

    view = jobs.view(client, job.id)      in Jupyter its state in a line, and its learning curve
    view.events, view.to_frame()          what it is made of

Everything shown is made from the stored events, so a second notebook or a restarted kernel sees the
same. A view does not change by itself: `jobs.watch` follows a job.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cookbook import fonts, html
from cookbook.client import synchronous
from cookbook.errors import JobNotFound
from cookbook.i18n import tr
from cookbook.job_states import TERMINAL, queued
from cookbook.jobs import plot
from cookbook.jobs.plot import LearningCurve
from cookbook.jobs.reason import reason
from cookbook.memory import MemoryPlan
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from openai import OpenAI
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

_BAR_CHARACTERS = 12
_NEWEST_EVENTS = 5  # as many are shown as text at once
_FIRST_PAGE, _LATER_PAGE = 1000, 20  # events: everything at first, afterwards what came meanwhile

_COLUMNS = (
    "step",
    "total_steps",
    "epoch",
    "train_loss",
    "valid_loss",
    "learning_rate",
    "tokens_per_second",
)
_FIGURES = {
    "train_loss": "train_loss {:.3f}",
    "valid_loss": "valid_loss {:.3f}",
    "tokens_per_second": "{:,.0f} tokens/s",
}


@dataclass
class JobView:
    """A job and its events.

    Attributes:
        job: the job as the service last gave it.
        events: all its events, the oldest first.
        new: how many of the last events were not shown before.
    """

    job: "FineTuningJob"
    events: "list[FineTuningJobEvent]" = field(default_factory=list)
    new: int = 0

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The data of each training step, in the order of the events."""
        metrics = [event for event in self.events if event.type == "metrics"]
        return [_data(event) for event in metrics if event.data]

    def to_frame(self) -> "pd.DataFrame":
        """Return one training step a row, indexed by `step` in ascending order.

        Where a step came twice, after a job had gone on from a checkpoint, the later one counts.
        """
        import pandas as pd

        # Another service may send metrics of another form.
        steps = [data for data in self.steps if _has_step(data)]
        if not steps:
            return pd.DataFrame()
        frame = pd.DataFrame(steps)
        others = [name for name in frame if name not in _COLUMNS]
        frame = frame.reindex(columns=[*_COLUMNS, *others])
        return frame.drop_duplicates("step", keep="last").set_index("step").sort_index()

    @property
    def name(self) -> str:
        # The task name, which the client's types do not list.
        return getattr(self.job, "user_provided_suffix", None) or self.job.id

    @property
    def paused(self) -> bool:
        # Beyond OpenAI's API, so other services do not send it.
        return bool(getattr(self.job, "paused", False))

    @property
    def progress(self) -> tuple[int, int]:
        """Return (steps done, steps in all), zeros before the first step."""
        numbers = [data["step"] for data in self.steps if _has_step(data)]
        return max(numbers, default=0), self._newest("total_steps") or 0

    @property
    def headline(self) -> str:
        """State and newest figures, in the terms used everywhere."""
        # A paused job keeps its state: it is still running, or queued.
        paused = " (paused)" if self.paused else ""
        parts = [f"{self.job.status}{paused}"]
        step, total = self.progress
        if step:
            parts.append(f"step {step}/{total}")
            for name, pattern in _FIGURES.items():
                value = self._newest(name)
                if value is not None:
                    parts.append(pattern.format(value))
        return " · ".join(parts)

    @property
    def reason(self) -> str:
        """Return why it failed; empty for every other job."""
        return reason(self.job)

    @property
    def time_left(self) -> str:
        """The remaining time in words; empty where it is not known."""
        if self.job.status != "running" or self.paused:
            return ""
        newest = next(self._steps_backwards(), {})
        seconds = newest.get("seconds_left")
        if seconds is None or not math.isfinite(seconds):
            return ""
        # Up to a minute and a half, seconds are easier to read.
        if seconds < 90:
            return tr(f"还需约 {seconds:.0f} 秒", f"about {seconds:.0f} s left")
        minutes = seconds / 60
        return tr(f"还需约 {minutes:.0f} 分钟", f"about {minutes:.0f} min left")

    @property
    def place(self) -> str:
        """The place in the queue in words; empty where the job does not wait for its turn."""
        # Beyond OpenAI's API, so other services do not send it.
        ahead = getattr(self.job, "jobs_ahead", None)
        return queued(ahead) if isinstance(ahead, int) and ahead > 0 else ""

    @property
    def memory(self) -> str:
        """The memory plan of a job that has not ended, in a line; empty where there is none."""
        if self.job.status in TERMINAL:
            return ""
        # The newest: after a lack of memory it is a smaller one.
        for event in reversed(self.events):
            plan = MemoryPlan.of_dict(_data(event).get("memory"))
            if plan is not None:
                return str(plan)
        return ""

    @property
    def progress_bar(self) -> str:
        step, total = self.progress
        filled = round(_BAR_CHARACTERS * step / total) if total else 0
        return "█" * filled + "░" * (_BAR_CHARACTERS - filled)

    @property
    def summary(self) -> str:
        """The job in one line of text."""
        parts = (self.job.id, self.headline, self.place, self.time_left, self.reason)
        return " · ".join(part for part in parts if part)

    @property
    def curve(self) -> LearningCurve:
        """Return what `cookbook.jobs.plot` draws of it."""
        start = None
        finished = None
        checkpoints = []
        for event in self.events:
            data = _data(event)
            # The first event of the training reports the sizes, and the loss before the first step.
            if "adapter_parameters" in data:
                start = data["valid_loss"]
            # Messages with a step report that a model was kept; only the finished one is compared
            # with the base.
            if event.type == "message" and data.get("step"):
                if "update_norm" in data:
                    finished = data["step"]
                else:
                    checkpoints.append(data["step"])
        # A picture may have no font for the name, and none has control characters.
        label = self.name if fonts.drawable(self.name) else self.job.id
        return LearningCurve(label, self.to_frame(), start, checkpoints, finished)

    def figure(self) -> "Figure":
        """Return the learning curve as a matplotlib Figure."""
        return plot.figure([self.curve])

    def __repr__(self) -> str:
        first_new = len(self.events) - self.new
        new = self.events[first_new:]
        lines = [event.message for event in new[-_NEWEST_EVENTS:]]
        if not lines or self.job.status in TERMINAL:
            lines.append(self.summary)
        return printable("\n".join(lines))

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(StateLines([self]))
        if self.steps:
            display(plot.Picture([self.curve]))

    def _newest(self, name: str) -> Any:
        """Return the last value that a training step reported; None if none did."""
        for data in self._steps_backwards():
            if data.get(name) is not None:
                return data[name]
        return None

    def _steps_backwards(self) -> Iterator[dict[str, Any]]:
        """Yield `steps` from the last: what is newest needs no list of thousands."""
        for event in reversed(self.events):
            if event.type == "metrics" and event.data:
                yield _data(event)


def _has_step(data: dict[str, Any]) -> bool:
    return isinstance(data.get("step"), int)


def _data(event: "FineTuningJobEvent") -> dict[str, Any]:
    return event.data if isinstance(event.data, dict) else {}


_LINES = """
<div class="cookbook-states" style="line-height:1.7">
{% for view, colour in lines %}
<div><span style="color:{{ colour }};letter-spacing:-1px">{{ view.progress_bar }}</span>
{% if view.name != view.job.id %}
<b>{{ view.name }}</b>
{% endif %}
<span style="color:{{ grey }}">{{ view.job.id }}</span>
{{ view.headline }}
{%- for text in (view.place, view.time_left) if text %} · {{ text }}{% endfor %}
{% if view.memory %}
<br><small style="color:{{ grey }}">{{ view.memory }}</small>
{% endif %}
{% if view.reason %}
<br><span style="color:{{ error }}">✘ {{ view.reason }}</span>
{%- endif %}
</div>
{% endfor %}
{% if note %}
<div style="color:{{ note_colour }}">{{ note }}</div>
{% endif %}
{% if hint %}
<div style="color:{{ grey }}"><small>{{ hint }}</small></div>
{% endif %}
</div>
"""


@dataclass
class StateLines:
    """A line for each job in the colour of its curve, and below them a note about the watching.

    `hint` is shown on pages alone: what to do where they are not updated any more.
    """

    views: Sequence[JobView]
    note: str = ""
    hint: str = ""

    def _repr_html_(self) -> str:
        colours = plot.colours(len(self.views))
        return html.template(_LINES).render(
            lines=list(zip(self.views, colours, strict=True)),
            note=self.note,
            hint=self.hint,
            note_colour=html.WARNING,
            grey=html.GREY,
            error=html.ERROR,
        )

    def __repr__(self) -> str:
        lines = [repr(view) for view in self.views]
        if self.note:
            lines.append(printable(self.note))
        return "\n".join(lines)


def view(client: "OpenAI", job_id: str) -> JobView:
    """Return the job as it is now, with all its events.

    Raises:
        ArgumentError: `client` is asynchronous, or no client.
        JobNotFound: the service knows no such job.
    """
    return refresh(synchronous(client), job_id)


def refresh(client: "OpenAI", job_id: str, known: JobView | None = None) -> JobView:
    """Return the job as it is now. Only the events that came after those of `known` are fetched.

    Raises:
        JobNotFound: the service knows no such job.
    """
    import openai

    events = known.events if known else []
    seen = {event.id for event in events}
    new = []
    page = _LATER_PAGE if events else _FIRST_PAGE
    try:
        # The job first: if it has ended, its last event is among those read next.
        job = client.fine_tuning.jobs.retrieve(job_id)
        # Newest first; the client fetches further pages by itself.
        for event in client.fine_tuning.jobs.list_events(job_id, limit=page):
            if event.id in seen:
                break
            new.append(event)
    except openai.NotFoundError as error:
        # A proxy may have answered, or a platform without this route.
        if error.code != "job_not_found":
            raise
        raise JobNotFound(
            zh=f"没有任务 {job_id}：用 client.fine_tuning.jobs.list() 看看有哪些",
            en=f"no job {job_id}: client.fine_tuning.jobs.list() shows those there are",
        ) from error
    new.reverse()
    return JobView(job, events + new, new=len(new))
