"""Watch jobs until they end: lines of state and one picture, redrawn in place.

Promises: only events that came since are fetched; nothing is drawn where nothing changed; the picture is redrawn at
most once a second, and so seldom that drawing takes no more than a twentieth of the time; time is measured by the
monotonic clock alone. Watching never changes a job: not even an interrupt cancels it.
"""

import time

from cookbook.errors import JobNotFound, ServiceError
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.jobs.plot import Curves, States
from cookbook.jobs.view import ENDED, JobView, refresh

PATIENCE = 60.0
"""Seconds without an answer of the service after which watching ends."""
_SHARE = 0.02  # of the time, for drawing; the rest of the twentieth is for asking and for the lines
_TIMEOUT = 10.0  # seconds to wait for one answer


def watch(client, job_id, *, every: float = 1.0, patience: float = PATIENCE):
    """Show a job, or several at once, until all have ended; return the job, or the list of jobs, however they ended.

    Interrupting the cell only stops the watching: the jobs go on, and `watch` can be called again, also from another
    notebook. A service that does not answer for a while is waited for; the last picture stays.

    Args:
        job_id: one id, or a list of them.
        every: seconds between two looks, at least.
        patience: seconds without an answer after which watching ends with a sentence.

    Raises:
        JobNotFound: the service knows no such job.
        ServiceError: the service did not answer at all.
    """
    client = client.with_options(timeout=_TIMEOUT, max_retries=0)
    ids = [job_id] if isinstance(job_id, str) else list(job_id)
    views = {one: _first(client, one) for one in dict.fromkeys(ids)}
    screen, note = _screen(), ""
    try:
        note = _follow(client, views, screen, max(every, 0.1), patience)
    except KeyboardInterrupt:
        note = tr(
            "已停止观看，任务仍在进行；再运行这一格接着看",
            "no longer watching; the jobs go on, run this cell again to see them",
        )
    screen.show(list(views.values()), note, last=True)
    ended = [views[one].job for one in ids]
    return ended[0] if isinstance(job_id, str) else ended


def _first(client, job_id: str) -> JobView:
    import openai

    try:
        return refresh(client, job_id)
    except openai.APIError as error:
        raise ServiceError(explain(error), explain(error)) from None


def _follow(client, views: dict[str, JobView], screen, every: float, patience: float) -> str:
    """Keep `views` and the screen up to date until every job has ended; the remark to end with."""
    import openai

    gone: dict[str, str] = {}
    note = ""
    answered = time.monotonic()
    while True:
        screen.show(list(views.values()), "\n".join([*gone.values(), *([note] if note else [])]))
        watched = [i for i, view in views.items() if view.job.status not in ENDED and i not in gone]
        if not watched:
            return "\n".join(gone.values())
        time.sleep(every)
        note = ""
        try:
            for job_id in watched:
                views[job_id] = refresh(client, job_id, views[job_id])
                answered = time.monotonic()
        except JobNotFound:
            answered = time.monotonic()
            gone[job_id] = tr(
                f"任务 {job_id} 不在服务里了，图停在最后看到的样子",
                f"the job {job_id} is gone; the picture is the last seen",
            )
        except openai.APIError as error:
            waited = time.monotonic() - answered
            if not _passing(error) or waited > patience:
                return _given_up(error, waited)
            note = tr(
                f"服务没有应答，已等 {waited:.0f} 秒；图是最后看到的样子",
                f"no answer for {waited:.0f} s; the picture is the last seen",
            )


def _passing(error: Exception) -> bool:
    """Whether it may be over in a moment: no connection, too many requests, a fault of the service."""
    import openai

    status = getattr(error, "status_code", None)
    return isinstance(error, openai.APIConnectionError) or status == 429 or (status or 0) >= 500


def _given_up(error: Exception, waited: float) -> str:
    return explain(error) + tr(
        f"（等了 {waited:.0f} 秒，不再看了；任务不受影响。再运行 connect() 那一格，然后再运行这一格）",
        f" (waited {waited:.0f} s, no longer watching; the jobs are not affected. Run the cell with connect() again, then this one)",
    )


def _screen():
    try:
        from IPython import get_ipython

        in_notebook = hasattr(get_ipython(), "kernel")
    except ImportError:
        in_notebook = False
    return _Notebook() if in_notebook else _Terminal()


class _Notebook:
    """Two outputs of the cell, updated in place: the lines when they change, the picture when it is its turn."""

    def __init__(self):
        self._handles = {}
        self._said = None
        self._curves, self._drawn, self._due = Curves([]), None, 0.0

    def show(self, views: list[JobView], note: str, *, last: bool = False) -> None:
        states = States(views, note)
        if (said := states._repr_html_()) != self._said:
            self._put("states", states)
            self._said = said
        drawn = [(len(v.events), v.job.status) for v in views]
        if (
            any(v.steps for v in views)
            and drawn != self._drawn
            and (last or time.monotonic() >= self._due)
        ):
            started = time.process_time()
            self._curves.views = views
            self._put("curves", self._curves)
            # The first one loads matplotlib, and says nothing about the next.
            cost = time.process_time() - started if self._drawn else 0
            self._drawn, self._due = drawn, time.monotonic() + max(1.0, cost / _SHARE)
        for view in views:
            view.new = 0

    def _put(self, name: str, shown) -> None:
        from IPython.display import display

        if name in self._handles:
            self._handles[name].update(shown)
        else:
            self._handles[name] = display(shown, display_id=True)


class _Terminal:
    """New events, and at the end how each job stands, as lines of text."""

    def __init__(self):
        self._statuses = {}
        self._note = ""

    def show(self, views: list[JobView], note: str, *, last: bool = False) -> None:
        for view in views:
            if view.new or self._statuses.get(view.job.id) != view.job.status:
                print(view)
            self._statuses[view.job.id], view.new = view.job.status, 0
        if note and note != self._note and (last or not self._note):  # not every second of a wait
            print(note)
        self._note = note
