"""Two buttons for notebooks, each of which does what one line of Python does.

    start = jobs.StartButton(client, **request); start
        jobs.find(client, **request) or client.fine_tuning.jobs.create(**request)
    jobs.CancelButton(client, job.id)
        client.fine_tuning.jobs.cancel(job.id)

Their CSS classes, `cookbook-start` and `cookbook-cancel`, do not change. A click takes effect when
the running cell has ended. On a page without widgets a button is shown that cannot be pressed.
"""

from typing import TYPE_CHECKING, Any

from cookbook import html
from cookbook.client import synchronous
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.job_states import TERMINAL
from cookbook.jobs.find import find

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.fine_tuning import FineTuningJob

_STILL_BUTTON = "<button disabled>{{ label }}</button>"


def button_bundle(widget: Any, label: str) -> html.Bundle:
    """Return what Jupyter needs to show the widget; elsewhere, a button that cannot be pressed."""
    still = html.template(_STILL_BUTTON).render(label=label)
    return html.widget_bundle(widget, text=f"[ {label} ]", html=still)


class _Button(html.Displayed):
    """A button with a sentence beside it. However often it is clicked, it does its work once."""

    def __init__(self, label: str, style: str, css_class: str) -> None:
        import ipywidgets as w

        self.button = w.Button(description=label, button_style=style)
        self.button.add_class(css_class)
        self.message = w.HTML(layout=w.Layout(margin="0 0 0 1em"))
        self.widget = w.HBox([self.button, self.message])
        self.button.on_click(self._click)

    def _click(self, _: object) -> None:
        import openai

        if self.button.disabled:
            return
        # Before the request, so that a second click meanwhile does nothing.
        self.button.disabled = True
        try:
            self._show(self._act(), html.TEXT)
        except openai.APIError as error:
            self._show(explain(error), html.ERROR)
            # The next click may succeed: the reader can do what the message says.
            self.button.disabled = False

    def _show(self, text: str, colour: str) -> None:
        self.message.value = html.coloured(text, colour)

    def _act(self) -> str:
        """Do the work; return the sentence that reports it."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> html.Bundle:
        return button_bundle(self.widget, self.button.description)


class StartButton(_Button):
    """Start the job of `request`, unless one that does the same is there already.

    `request` is what `fine_tuning.jobs.create` takes. `job` is None until the button is clicked.
    """

    def __init__(self, client: "OpenAI", **request: Any) -> None:
        super().__init__(tr("开始微调", "Start fine-tuning"), "primary", "cookbook-start")
        self._client = synchronous(client)
        self._request = request
        self.job: FineTuningJob | None = None

    def _act(self) -> str:
        # The first thing a reader does with a button is to click it again.
        same = find(self._client, **self._request)
        if same:
            self.job = same
            return tr(
                f"已有相同的任务 {same.id}（{same.status}），不再训练一遍",
                f"{same.id} ({same.status}) does the same: nothing to train",
            )
        job = self._client.fine_tuning.jobs.create(**self._request)
        self.job = job
        return tr(f"已启动 {job.id}", f"started {job.id}")


class CancelButton(_Button):
    """Cancel one job, unless it has ended."""

    def __init__(self, client: "OpenAI", job_id: str) -> None:
        super().__init__(tr("取消", "Cancel"), "danger", "cookbook-cancel")
        self._client = synchronous(client)
        self._job_id = job_id

    def _act(self) -> str:
        # The service refuses to cancel a job that has ended; here that is no error.
        job = self._client.fine_tuning.jobs.retrieve(self._job_id)
        if job.status in TERMINAL:
            return tr(
                f"任务已经结束（{job.status}），不用取消",
                f"the job has already ended ({job.status})",
            )
        job = self._client.fine_tuning.jobs.cancel(self._job_id)
        return tr(f"{job.id} 已取消", f"{job.id} was cancelled")
