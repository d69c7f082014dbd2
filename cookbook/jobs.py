"""Follow fine-tuning jobs; and, for a platform without an API for them, the sheet to type from.

    job = jobs.watch(client, job.id)              live chart of a running job; a finished one is drawn once
    jobs.console_sheet("zhishuo", rows_file, hp)  what to type into SiliconCloud's form, field by field
    jobs.identifier("ft:LoRA/…")                  the parts of a fine-tuned model's name, or what is wrong with it

Everything is drawn from the job's stored events, so a second notebook or a restarted kernel sees the same.
"""

import dataclasses
import html
import re
import time
from dataclasses import dataclass, field

from cookbook.errors import IdentifierError, JobNotFound, say
from cookbook.params import Hyperparameters

ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class JobView:
    """A job and its events, oldest first: a picture in Jupyter, lines of text in a terminal."""

    job: object
    events: list = field(default_factory=list)
    note: str = ""
    new: int = 0  # how many of the last events were not shown before

    @property
    def steps(self) -> list[dict]:
        return [e.data for e in self.events if e.type == "metrics"]

    def to_frame(self):
        """One training step a row, indexed by `step`."""
        import pandas as pd

        return pd.DataFrame(self.steps).set_index("step") if self.steps else pd.DataFrame()

    @property
    def headline(self) -> str:
        """State and newest figures, in the terms used everywhere."""
        parts = [self.job.status + (" (paused)" if getattr(self.job, "paused", False) else "")]
        if self.steps:
            last = self.steps[-1]
            losses = [s["valid_loss"] for s in self.steps if s["valid_loss"] is not None]
            parts += [f"step {last['step']}/{last['total_steps']}", f"train_loss {last['train_loss']:.3f}"]
            parts += [f"valid_loss {losses[-1]:.3f}"] if losses else []
            parts += [f"{last['tokens_per_second']:,.0f} tokens/s"]
        return " · ".join(parts)

    @property
    def summary(self) -> str:
        text = f"{self.job.id} · {self.headline}"
        if self.job.status == "running" and self.steps:
            seconds = self.steps[-1]["seconds_left"]
            text += say(f" · 还需约 {seconds:.0f} 秒", f" · about {seconds:.0f} s left")
        if self.job.status == "failed" and self.job.error:
            text += f" · {self.job.error.message}"
        return text + self.note

    def __repr__(self) -> str:
        fresh = [e.message for e in self.events[len(self.events) - self.new :]]
        return "\n".join([*fresh, self.summary] if self.job.status in ENDED or not fresh else fresh)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        bundle = {"text/plain": repr(self)}
        if self.steps:
            from IPython.core.pylabtools import print_figure

            bundle["image/png"] = print_figure(self.figure(), dpi=80, base64=True)
        return bundle

    def figure(self):
        """The learning curve as a matplotlib Figure: losses by step, epochs marked, the rate below."""
        from matplotlib.figure import Figure

        frame = self.to_frame()
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        loss, rate = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
        loss.plot(frame.index, frame.train_loss, color="#9ecae1", linewidth=1, label="train_loss")
        smooth = frame.train_loss.ewm(span=10).mean()
        loss.plot(frame.index, smooth, color="#2171b5", linewidth=2, label="train_loss (smoothed)")
        valid = frame.valid_loss.astype(float).dropna()
        start = [
            e.data["valid_loss"]
            for e in self.events
            if e.type == "message" and e.data and "adapter_parameters" in e.data
        ]
        x, y = [0] * len(start) + list(valid.index), start + list(valid)
        loss.plot(x, y, "o-", color="#d94801", label="valid_loss")
        for step in valid.index:
            loss.axvline(step, color="#dddddd", linewidth=1, zorder=0)
        loss.set(ylabel="loss", xlim=(0, frame.total_steps.iloc[-1]))
        loss.legend(loc="upper right", frameon=False)
        loss.set_title(self.headline, fontsize=10)
        rate.plot(frame.index, frame.learning_rate, color="#41ab5d")
        rate.set(xlabel="step", ylabel="learning_rate")
        rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        for axes in (loss, rate):
            axes.spines[["top", "right"]].set_visible(False)
        return figure


def view(client, job_id: str) -> JobView:
    """The job as it stands.

    Raises:
        JobNotFound: the service knows no such job.
    """
    return _refresh(client, job_id, [])


def watch(client, job_id: str, *, every: float = 1.0):
    """Show a job until it ends, redrawn at most each `every` seconds; return the job, whatever its end.

    Interrupting the cell only stops the watching: the job goes on, and `watch` can be called again.

    Raises:
        JobNotFound: the service knows no such job.
    """
    from IPython.display import display

    shown = _refresh(client, job_id, [])
    handle = display(shown, display_id=True)
    try:
        while shown.job.status not in ENDED:
            time.sleep(every)
            before = (len(shown.events), shown.job.status)
            shown = _refresh(client, job_id, shown.events)
            if (len(shown.events), shown.job.status) != before:
                _update(handle, shown)
    except KeyboardInterrupt:
        shown.note = say(" · 已停止观看，任务仍在进行", " · no longer watching; the job goes on")
        _update(handle, shown)
    return shown.job


def _update(handle, shown: JobView) -> None:
    if handle is None:  # a plain Python program
        print(shown)
    else:
        handle.update(shown)


def _refresh(client, job_id: str, known: list) -> JobView:
    import openai

    try:
        job = client.fine_tuning.jobs.retrieve(job_id)
        seen = {e.id for e in known}
        fresh = []
        for event in client.fine_tuning.jobs.list_events(job_id, limit=100):  # newest first; pages follow by themselves
            if event.id in seen:
                break
            fresh.append(event)
    except openai.NotFoundError as error:
        raise JobNotFound(
            say(
                f"没有任务 {job_id}：用 client.fine_tuning.jobs.list() 看看有哪些",
                f"there is no job {job_id}: see client.fine_tuning.jobs.list()",
            )
        ) from error
    return JobView(job, known + fresh[::-1], new=len(fresh))


# SiliconCloud: fine-tuning jobs are created in the console, there is no public route for them.

CONSOLE = "https://cloud.siliconflow.cn/fine-tune"
CONSOLE_BASES = tuple(f"Qwen/Qwen2.5-{size}-Instruct" for size in ("7B", "14B", "32B", "72B"))
"""Base models of the platform's fine-tuning guide, as of November 2026; the live list is on the console."""


@dataclass(frozen=True)
class ConsoleSheet:
    """The console's form, field by field, in the form's order."""

    fields: dict[str, str]

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.fields.items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left">{html.escape(k)}</td><td style="text-align:left"><code>{html.escape(v)}</code></td></tr>'
            for k, v in self.fields.items()
        )
        link = f'<a href="{CONSOLE}" target="_blank">{CONSOLE}</a>'
        return f"<p>{say('在控制台填写', 'Type into the console')}: {link}</p><table><tbody>{rows}</tbody></table>"


def console_sheet(
    task_name: str,
    training_file: str,
    hp: Hyperparameters,
    *,
    base_model: str = CONSOLE_BASES[0],
    validation: float | str = 0.1,
) -> ConsoleSheet:
    """What to type into SiliconCloud's form: task, base, data, validation, the seven parameters.

    Args:
        validation: a share of the training set, or the name of a validation file.
    """
    share = validation if isinstance(validation, str) else f"{validation:.0%}"
    labels = dict(
        learning_rate="Learning Rate", n_epochs="Number of Epochs", batch_size="Batch Size", max_tokens="Max Tokens",
        lora_rank="LoRA Rank", lora_alpha="LoRA Alpha", lora_dropout="LoRA Dropout",
    )  # fmt: skip
    fields = {"任务名称": task_name, "基础模型": base_model, "训练数据": training_file, "验证数据": share}
    values = dataclasses.asdict(hp)
    return ConsoleSheet(fields | {label: f"{values[name]:.10g}" for name, label in labels.items()})


@dataclass(frozen=True)
class Identifier:
    """The parts of a fine-tuned model's name; `step` is the checkpoint's, None for the finished model."""

    base: str
    tenant: str
    task: str
    suffix: str
    step: int | None


def identifier(text: str) -> Identifier:
    """Take a name such as ``ft:LoRA/<base>:<tenant>:<task>:<20 letters>[-ckpt_step_<N>]`` apart.

    Raises:
        IdentifierError: saying which part is missing.
    """
    parts = text.strip().split(":", 4)
    if len(parts) != 5 or parts[0] != "ft" or not parts[1].startswith("LoRA/") or not all(parts):
        raise IdentifierError(
            say(
                f"{text!r} 不像微调模型的标识符：应当是 ft:LoRA/<基础模型>:<租户>:<任务名>:<20 个小写字母>，在控制台的模型微调页复制",
                f"{text!r} is no identifier of a fine-tuned model: it looks like ft:LoRA/<base>:<tenant>:<task>:<20 lowercase "
                "letters>; copy it from the console's fine-tuning page",
            )
        )
    found = re.fullmatch(r"(.+?)(?:-ckpt_step_(\d+))?", parts[4])
    step = int(found[2]) if found[2] else None
    return Identifier(parts[1].removeprefix("LoRA/"), parts[2], parts[3], found[1], step)
