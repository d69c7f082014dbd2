"""Two buttons for notebooks: start a job, cancel one. Each does what one line of Python does, and nothing more.

    start = jobs.StartButton(client, **request); start       jobs.find(…) or client.fine_tuning.jobs.create(…)
    jobs.CancelButton(client, job.id)                        client.fine_tuning.jobs.cancel(…)

Their CSS classes, `cookbook-start` and `cookbook-cancel`, are stable. A click is heard when the running cell has ended.
"""

import html

from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.jobs.find import find
from cookbook.jobs.view import ENDED


class _Button:
    """A button with a sentence beside it. A click does its work once, however fast it is repeated."""

    def __init__(self, label: str, style: str, css_class: str):
        import ipywidgets as w

        self.button = w.Button(description=label, button_style=style)
        self.button.add_class(css_class)
        self.message = w.HTML()
        self.widget = w.HBox([self.button, self.message])
        self.button.on_click(self._click)

    def _click(self, _) -> None:
        import openai

        if self.button.disabled:
            return
        self.button.disabled = True
        try:
            self._say(self._act())
        except openai.APIError as error:
            self._say(explain(error), failed=True)
            self.button.disabled = False  # what stood in the way may be gone at the next click

    def _act(self) -> str:
        """Do the work; the sentence that tells of it."""
        raise NotImplementedError

    def _say(self, text: str, *, failed: bool = False) -> None:
        colour = "#c0392b" if failed else "#444"
        self.message.value = (
            f'<span style="color:{colour};margin-left:1em">{html.escape(text)}</span>'
        )

    def _repr_mimebundle_(self, **options):
        return with_stand_in(self.widget, self.button.description, options)


def with_stand_in(widget, label: str, options: dict) -> dict:
    """What Jupyter is given to show the widget, and for pages without widgets a button that cannot be pressed."""
    bundle = widget._repr_mimebundle_(**options)
    return bundle | {
        "text/plain": f"[ {label} ]",
        "text/html": f"<button disabled>{html.escape(label)}</button>",
    }


class StartButton(_Button):
    """Starts the job of `request`, the arguments of `fine_tuning.jobs.create`; `job` is None until it is clicked."""

    def __init__(self, client, **request):
        super().__init__(tr("开始微调", "Start fine-tuning"), "primary", "cookbook-start")
        self._client, self._request = client, request
        self.job = None

    def _act(self) -> str:
        same = find(self._client, **self._request)
        self.job = same or self._client.fine_tuning.jobs.create(**self._request)
        if same:
            return tr(
                f"已有相同的任务 {same.id}（{same.status}），不再训练一遍",
                f"{same.id} ({same.status}) does the same: nothing to train",
            )
        return tr(f"已启动 {self.job.id}", f"started {self.job.id}")


class CancelButton(_Button):
    """Cancels one job, unless it has ended."""

    def __init__(self, client, job_id: str):
        super().__init__(tr("取消", "Cancel"), "danger", "cookbook-cancel")
        self._client, self._job_id = client, job_id

    def _act(self) -> str:
        job = self._client.fine_tuning.jobs.retrieve(self._job_id)
        if job.status in ENDED:
            return tr(
                f"任务已经结束（{job.status}），不用取消",
                f"the job has ended already ({job.status})",
            )
        job = self._client.fine_tuning.jobs.cancel(self._job_id)
        return tr(f"{job.id} 已取消", f"{job.id} was cancelled")
