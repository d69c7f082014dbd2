"""Watch jobs until they end: lines of state and one picture, redrawn in place.

Promises: only new events are fetched; nothing is redrawn where nothing changed; the picture is
redrawn at most once a second, and so seldom that watching takes no more than a twentieth of the
kernel's time, however it is drawn (`tests/bench/watch_redraw.py` measures it); time is measured by
the monotonic clock alone. Watching never changes a job: not even an interrupt cancels it. What is
shown is made by `view` and `plot`; `fast/picture.py` draws the same picture quickly.
"""

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol, overload

from cookbook import fast
from cookbook.client import synchronous
from cookbook.errors import JobNotFound, ServiceError
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.job_states import TERMINAL
from cookbook.jobs.fast.picture import RedrawnPicture
from cookbook.jobs.plot import Picture
from cookbook.jobs.view import JobView, StateLines, refresh
from cookbook.terminal import printable

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.fine_tuning import FineTuningJob

PATIENCE = 60.0
"""Seconds without an answer of the service after which watching ends."""

ANSWER_SECONDS = 10.0
"""Seconds to wait for one answer."""

SHORTEST_PAUSE = 0.1
"""Seconds between two requests, however few `every` asks for."""

DRAWING_SHARE = 0.02
"""Share of the time for drawing; what is left of the twentieth is for requests and lines."""

SHORTEST_REDRAW = 1.0
"""Seconds between two pictures at least, however fast they are drawn."""


@overload
def watch(
    client: "OpenAI", job_id: str, *, every: float = ..., patience: float = ...
) -> "FineTuningJob": ...


@overload
def watch(
    client: "OpenAI",
    job_id: list[str] | tuple[str, ...],
    *,
    every: float = ...,
    patience: float = ...,
) -> "list[FineTuningJob]": ...


def watch(
    client: "OpenAI",
    job_id: str | list[str] | tuple[str, ...],
    *,
    every: float = 1.0,
    patience: float = PATIENCE,
) -> "FineTuningJob | list[FineTuningJob]":
    """Show a job, or several at once, until all have ended; return the job, or the list of jobs.

    Interrupting the cell only stops the watching: the jobs go on, and `watch` can be called again,
    also from another notebook. A service that does not answer for a while is waited for; the last
    picture remains.

    Args:
        job_id: one id, or a list of them.
        every: seconds between two requests, at least.
        patience: seconds without an answer after which watching ends with a sentence.

    Raises:
        ArgumentError: `client` is asynchronous, or no client.
        JobNotFound: the service knows no such job.
        ServiceError: the service does not answer at the first request.
    """
    # Retries are this module's own work, so that the reader sees that it waits.
    client = synchronous(client).with_options(timeout=ANSWER_SECONDS, max_retries=0)
    ids = [job_id] if isinstance(job_id, str) else list(job_id)
    # An id that is given twice is watched once.
    views = {one: _first(client, one) for one in dict.fromkeys(ids)}
    screen = _screen()
    try:
        pause = max(every, SHORTEST_PAUSE)
        note = _follow(client, views, screen, pause, patience)
    except KeyboardInterrupt:
        note = tr(
            "已停止观看，任务仍在进行；再运行这一格接着看",
            "no longer watching; the jobs go on, run this cell again to see them",
        )
    screen.show(list(views.values()), note, last=True)
    jobs = [views[one].job for one in ids]
    return jobs[0] if isinstance(job_id, str) else jobs


_Views = dict[str, JobView]  # by job id


class _Screen(Protocol):
    def show(self, views: list[JobView], note: str, *, last: bool = False) -> None:
        """Show what has changed; `last` is set when nothing will follow."""


def _first(client: "OpenAI", job_id: str) -> JobView:
    import openai

    try:
        return refresh(client, job_id)
    except openai.APIError as error:
        reason = explain(error)
        # Without the client's own traceback, which is long and says less.
        raise ServiceError(zh=reason, en=reason) from None


def _follow(client: "OpenAI", views: _Views, screen: _Screen, pause: float, patience: float) -> str:
    """Keep views and screen up to date until all jobs have ended; return the note to end with."""
    import openai

    gone: dict[str, str] = {}
    waiting = ""
    answered = time.monotonic()
    while True:
        notes = list(gone.values())
        if waiting:
            notes.append(waiting)
        screen.show(list(views.values()), "\n".join(notes))
        going_on = _going_on(views, gone)
        if not going_on:
            return "\n".join(gone.values())
        time.sleep(pause)
        waiting = ""
        try:
            for job_id in going_on:
                views[job_id] = refresh(client, job_id, views[job_id])
                answered = time.monotonic()
        except JobNotFound:
            # That is an answer, too; the other jobs are asked for again in the next round.
            answered = time.monotonic()
            gone[job_id] = tr(
                f"任务 {job_id} 不在服务里了，图停在最后看到的样子",
                f"the job {job_id} is gone; the picture is the last seen",
            )
        except openai.APIError as error:
            seconds = time.monotonic() - answered
            if not _may_pass(error) or seconds > patience:
                return _given_up(error, seconds)
            waiting = tr(
                f"服务没有应答，已等 {seconds:.0f} 秒；图是最后看到的样子",
                f"no answer for {seconds:.0f} s; the picture is the last seen",
            )


def _going_on(views: _Views, gone: Collection[str]) -> list[str]:
    """Return the jobs that have neither ended nor vanished."""
    going_on = []
    for job_id, view in views.items():
        if view.job.status not in TERMINAL and job_id not in gone:
            going_on.append(job_id)
    return going_on


def _may_pass(error: Exception) -> bool:
    """Return whether it may be over in a moment: no connection, too many requests, HTTP 5xx."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return error.status_code == 429 or error.status_code >= 500
    return isinstance(error, openai.APIConnectionError)


def _given_up(error: Exception, seconds: float) -> str:
    return explain(error) + tr(
        f"（等了 {seconds:.0f} 秒，不再跟踪；任务不受影响，稍后再运行这一格）",
        f" (waited {seconds:.0f} s, no longer watching; the jobs are not affected, "
        "then run this cell again)",
    )


def _screen() -> _Screen:
    try:
        from IPython import get_ipython
    except ImportError:
        return _Terminal()
    # A terminal's IPython has no kernel, and no outputs that could be redrawn.
    return _Notebook() if hasattr(get_ipython(), "kernel") else _Terminal()


def _reload_hint() -> str:
    return tr(
        "刷新过网页以后，这里不再变化：按 ■ 中断内核，再运行这一格接着看（任务不受影响）",
        "after a reload of the page this stays as it is: interrupt the kernel (■) and run this "
        "cell again to go on watching (the job is not affected)",
    )


class _Notebook:
    """Two outputs of the cell, updated in place: lines when they change, the picture when due."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}
        self._lines = ""
        self._picture = RedrawnPicture() if fast.enabled() else Picture()
        self._drawn: list[int] = []  # events of each job in the last picture
        self._due = 0.0

    def show(self, views: list[JobView], note: str, *, last: bool = False) -> None:
        # The page may be reloaded at any time, and nothing that is shown later reaches it.
        hint = "" if last else _reload_hint()
        self._show_lines(StateLines(views, note, hint))
        # Before the first step there is nothing to draw.
        trained = any(view.steps for view in views)
        due = last or time.monotonic() >= self._due
        if trained and due:
            self._show_picture(views)
        for view in views:
            view.new = 0

    def _show_lines(self, lines: StateLines) -> None:
        text = lines._repr_html_()
        if text != self._lines:
            self._put("lines", lines)
            self._lines = text

    def _show_picture(self, views: list[JobView]) -> None:
        event_counts = [len(view.events) for view in views]
        if event_counts == self._drawn:
            return
        # Processor time: a busy machine must not make the pictures rarer still.
        started = time.process_time()
        self._picture.curves = [view.curve for view in views]
        self._put("picture", self._picture)
        cost = time.process_time() - started
        if not self._drawn:
            cost = 0.0  # the first one loads matplotlib, which says nothing about the next
        self._drawn = event_counts
        self._due = time.monotonic() + max(SHORTEST_REDRAW, cost / DRAWING_SHARE)

    def _put(self, name: str, output: object) -> None:
        from IPython.display import display

        if name in self._handles:
            self._handles[name].update(output)
        else:
            self._handles[name] = display(output, display_id=True)


class _Terminal:
    """New events, and at the end the state of each job, as lines of text."""

    def __init__(self) -> None:
        self._statuses: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._note = ""

    def show(self, views: list[JobView], note: str, *, last: bool = False) -> None:
        for view in views:
            # A job can change its state without an event that was not seen before.
            changed = self._statuses.get(view.job.id) != view.job.status
            moved = view.place != self._places.get(view.job.id, "")
            if view.new or changed:
                print(view)
            elif moved and view.place:
                # A place changes without an event.
                print(printable(view.summary))
            self._statuses[view.job.id] = view.job.status
            self._places[view.job.id] = view.place
            view.new = 0
        # The note of a wait changes each second; its first version is enough.
        if note and note != self._note and (last or not self._note):
            print(printable(note))
        self._note = note
