"""A job as it stands: the job and its stored events, fetched page by page and only once.

Everything shown is made from the stored events, so a second notebook or a restarted kernel sees the same.
"""

import math
from dataclasses import dataclass, field

from cookbook.errors import JobNotFound
from cookbook.i18n import tr

ENDED = ("succeeded", "failed", "cancelled")
_BAR = 12  # characters of a progress bar
_TOLD = 5  # events told at once as text, the newest
_FIRST, _LATER = 1000, 20  # events a page: everything at first, afterwards what came meanwhile


@dataclass
class JobView:
    """A job and its events, oldest first; in Jupyter its state in a line and its learning curve."""

    job: object
    events: list = field(default_factory=list)
    new: int = 0  # how many of the last events were not shown before

    @property
    def steps(self) -> list[dict]:
        """The data of each training step, in the order it was told."""
        return [e.data for e in self.events if e.type == "metrics" and e.data]

    def to_frame(self):
        """One training step a row, indexed by `step` in ascending order; a step told twice counts as told last."""
        import pandas as pd

        steps = [s for s in self.steps if isinstance(s.get("step"), int)]
        if not steps:
            return pd.DataFrame()
        columns = [
            "step",
            "total_steps",
            "epoch",
            "train_loss",
            "valid_loss",
            "learning_rate",
            "tokens_per_second",
        ]
        frame = pd.DataFrame(steps)
        frame = frame.reindex(columns=[*columns, *(c for c in frame if c not in columns)])
        return frame.drop_duplicates("step", keep="last").set_index("step").sort_index()

    @property
    def name(self) -> str:
        return self.job.user_provided_suffix or self.job.id

    @property
    def paused(self) -> bool:
        return bool(getattr(self.job, "paused", False))

    @property
    def progress(self) -> tuple[int, int]:
        """(steps done, steps in all), zeros before the first."""
        steps = [s["step"] for s in self.steps if isinstance(s.get("step"), int)]
        total = next(
            (e.data["total_steps"] for e in reversed(self.events) if _has(e, "total_steps")), 0
        )
        return max(steps, default=0), total

    @property
    def headline(self) -> str:
        """State and newest figures, in the terms used everywhere."""
        parts = [self.job.status + (" (paused)" if self.paused else "")]
        step, total = self.progress
        if step:
            parts.append(f"step {step}/{total}")
            for name, form in (
                ("train_loss", "train_loss {:.3f}"),
                ("valid_loss", "valid_loss {:.3f}"),
                ("tokens_per_second", "{:,.0f} tokens/s"),
            ):
                newest = next((e.data[name] for e in reversed(self.events) if _has(e, name)), None)
                parts += [form.format(newest)] if newest is not None else []
        return " · ".join(parts)

    @property
    def reason(self) -> str:
        """Why it failed; empty for every other job."""
        error = getattr(self.job, "error", None)
        return (error.message or error.code or "") if self.job.status == "failed" and error else ""

    @property
    def left(self) -> str:
        """The remaining time in words; empty where it is not known."""
        seconds = self.steps[-1].get("seconds_left") if self.steps else None
        if (
            self.job.status != "running"
            or self.paused
            or seconds is None
            or not math.isfinite(seconds)
        ):
            return ""
        if seconds < 90:
            return tr(f"还需约 {seconds:.0f} 秒", f"about {seconds:.0f} s left")
        return tr(f"还需约 {seconds / 60:.0f} 分钟", f"about {seconds / 60:.0f} min left")

    @property
    def bar(self) -> str:
        step, total = self.progress
        filled = round(_BAR * step / total) if total else 0
        return "█" * filled + "░" * (_BAR - filled)

    @property
    def summary(self) -> str:
        return " · ".join(filter(None, [self.job.id, self.headline, self.left, self.reason]))

    def __repr__(self) -> str:
        fresh = [e.message for e in self.events[len(self.events) - self.new :][-_TOLD:]]
        return "\n".join([*fresh, self.summary] if self.job.status in ENDED or not fresh else fresh)

    def figure(self):
        """The learning curve as a matplotlib Figure."""
        from cookbook.jobs.plot import figure

        return figure([self])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        from cookbook.jobs.plot import Curves, States

        display(States([self]))
        if self.steps:
            display(Curves([self]))


def _has(event, name: str) -> bool:
    return event.type == "metrics" and bool(event.data) and event.data.get(name) is not None


def view(client, job_id: str) -> JobView:
    """The job as it stands.

    Raises:
        JobNotFound: the service knows no such job.
    """
    return refresh(client, job_id)


def refresh(client, job_id: str, known: JobView | None = None) -> JobView:
    """The job now. Of its events only those that came after the `known` ones are fetched.

    Raises:
        JobNotFound: the service knows no such job.
    """
    import openai

    events = known.events if known else []
    seen = {e.id for e in events}
    fresh = []
    try:
        # The job first: if it has ended, its last event is among those read next.
        job = client.fine_tuning.jobs.retrieve(job_id)
        # Newest first; further pages come by themselves, by `after` the last event of the page before.
        for event in client.fine_tuning.jobs.list_events(
            job_id, limit=_LATER if events else _FIRST
        ):
            if event.id in seen:
                break
            fresh.append(event)
    except openai.NotFoundError as error:
        raise JobNotFound(
            zh=f"没有任务 {job_id}：用 client.fine_tuning.jobs.list() 看看有哪些",
            en=f"there is no job {job_id}: see client.fine_tuning.jobs.list()",
        ) from error
    return JobView(job, events + fresh[::-1], new=len(fresh))
