"""Take over the result of an equal training instead of training the same once more.

Thirty people who run the same notebook ask for the same training. Which jobs are equal is in
fingerprint.py, which of them trains in `turns.followers`: the one whose turn comes first.

Promises: the job has everything that a training of its own would have left: each step's figures,
each checkpoint, its own names, cards and records. Its log says openly that nothing was trained, and
names no other person, job or model. Folders share their files through hard links where the disk has
them; either can be deleted and leaves the other whole. A crash leaves nothing half: a folder is
moved into place whole, and all that the store learns is one transaction.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import Timeout

from cookbook import disk, environment
from cookbook.adapter_settings import CONFIG, WEIGHTS
from cookbook.bases import find
from cookbook.errors import DiskFull, ServiceError
from cookbook.i18n import Text, tr
from cookbook.paths import Home
from cookbook.service import events
from cookbook.service.events import Checkpoint, Finished
from cookbook.service.fingerprint import is_as_asked
from cookbook.service.model_card import model_card
from cookbook.service.recovery import is_whole
from cookbook.service.store import Job, Store, TunedModel
from cookbook.service.store.training import model_of
from cookbook.service.store.twins import TWIN, Trained
from cookbook.service.turns import HOUR, followers, in_turn, may_run
from cookbook.service.worker import job_lock, publish, remove_leftovers

VARIABLE = "COOKBOOK_REUSE"

_log = logging.getLogger("cookbook")


def enabled(requested: bool | None) -> bool:
    """Return whether equal trainings are one.

    Where nobody has chosen (None), `COOKBOOK_REUSE=1` asks for it; `COOKBOOK_REUSE=0` always
    forbids it.
    """
    setting = environment.value_of(VARIABLE, os.environ)
    return setting == "1" if requested is None else requested and setting != "0"


# Results


@dataclass(frozen=True)
class _Result:
    """What a finished job leaves behind, whole: the events of its adapters, the oldest first."""

    trained: Trained
    adapters: list[Checkpoint | Finished]


class Twins:
    """Takes over results for the supervisor, from whose thread alone it is called.

    Args:
        on_full: called with a job for whose copies the disk has no room.
    """

    def __init__(self, store: Store, home: Home, on_full: Callable[[Job], None]):
        self._store = store
        self._home = home
        self._on_full = on_full
        self._unusable: set[str] = set()  # finished jobs whose result is not whole
        self._alone: set[str] = set()  # jobs for which nothing could be copied
        self._noted: set[str] = set()  # jobs whose log says that they wait for an equal one

    def set_aside(self, jobs: list[Job], training: Collection[str]) -> list[Job]:
        """Take over what is there already; return the jobs that wait for no equal one.

        Args:
            jobs: those that are queued or running.
            training: ids of those that train at present.
        """
        finished = self._store.finished_fingerprints()
        left = []
        for job in jobs:
            waits = may_run(job) and job.id not in training
            try:
                done = waits and job.fingerprint in finished and self.take_over(job)
            except DiskFull:
                self._on_full(job)
                return []
            if not done:
                left.append(job)
        following = self._followers(left, training)
        self._note_waiting(following)
        return [job for job in left if job.id not in following]

    def take_over(self, job: Job) -> bool:
        """Let a waiting job end as an equal one did, with its result; return whether it has.

        Raises:
            DiskFull: there is no room for it; nothing has changed.
        """
        if job.fingerprint is None or job.id in self._alone:
            return False
        found = self._result_for(job.fingerprint) or self._store.diverged_twin(job.fingerprint)
        # What it was asked to learn from may have changed since.
        if found is None or not is_as_asked(self._store, job):
            return False
        # A process that outlived its service may be about to train it.
        with contextlib.suppress(Timeout), job_lock(self._home, job.id):
            done = self._copy(job, found) if isinstance(found, _Result) else self._fail(job, found)
            if done:
                # An interrupted one had a folder.
                remove_leftovers(self._home, job.id)
                text = tr("%s 直接用了相同任务的结果", "%s took over the result of an equal job")
                _log.info(text, job.id)
                return True
        return False

    def _followers(self, jobs: list[Job], training: Collection[str]) -> Collection[str]:
        """Return the jobs that wait for an equal one, by their ids."""
        fingerprints = [job.fingerprint for job in jobs if job.fingerprint]
        # Mostly none are equal, and the order need not be asked for.
        if len(set(fingerprints)) == len(fingerprints):
            return []
        order = in_turn(jobs, training, self._store.turns(time.time() - HOUR))
        order = [job for job in order if job.id not in self._alone]
        return followers(order, [job for job in jobs if job.id in training])

    def _note_waiting(self, job_ids: Collection[str]) -> None:
        """Note in the logs of these jobs that each waits for an equal one."""
        self._noted &= set(job_ids)
        for job_id in set(job_ids) - self._noted:
            self._store.note_waiting(job_id, TWIN, _waiting_text(), level="info")
            self._noted.add(job_id)

    def _result_for(self, fingerprint: str) -> _Result | None:
        """Return the newest result of this fingerprint that is whole."""
        for twin in self._store.finished_twins(fingerprint):
            if twin.id not in self._unusable:
                result = self._result_of(twin)
                if result:
                    return result
                self._unusable.add(twin.id)
        return None

    def _result_of(self, twin: Job) -> _Result | None:
        """Return what a finished job left behind; None if anything of it is gone or damaged."""
        started, end = self._store.started_event(twin.id), self._store.finished_event(twin.id)
        if started is None or end is None or end.data is None:
            return None
        last_step = end.data["step"]
        models = {model.step: model for model in self._store.models(twin.id)}
        if models.keys() != self._store.checkpoint_steps(twin.id) | {last_step}:
            return None
        adapters: list[Checkpoint | Finished] = []
        for step, model in sorted(models.items()):
            folder = self._home.model_folder(model.folder)
            if not _is_usable(folder):
                return None
            if step == last_step:
                adapters.append(Finished(folder=folder, **end.data))
            else:
                adapters.append(Checkpoint(step=step, epoch=0, folder=folder, **model.metrics))
        return _Result(Trained(twin, started, end), adapters)

    def _copy(self, job: Job, result: _Result) -> bool:
        """Put the adapters into folders of the job's own, and write everything down."""
        made: list[Path] = []
        done = False
        try:
            twin = result.trained.job
            models = [self._publish(job, twin, event, made) for event in result.adapters]
            finished = events.message(result.adapters[-1], job.model)
            done = self._store.take_over(job, result.trained, models, _taken_over_text(), finished)
        except (OSError, DiskFull, ServiceError) as error:
            if disk.is_full(error):
                raise DiskFull(zh="磁盘满了", en="the disk is full") from error
            # Such as a model that is being deleted just now: then the job trains.
            self._alone.add(job.id)
            _log.warning("%s: nothing could be taken over: %s", job.id, error)
        finally:
            if not done:
                for folder in made:
                    shutil.rmtree(folder, ignore_errors=True)
        return done

    def _fail(self, job: Job, twin: Job) -> bool:
        """Let a job fail as an equal one did, whose training has diverged."""
        started = self._store.started_event(twin.id)
        if started is None:
            return False
        return self._store.take_over_failure(job, twin, started, _diverged_text())

    def _publish(
        self, job: Job, twin: Job, event: Checkpoint | Finished, made: list[Path]
    ) -> TunedModel:
        card = model_card(self._store, job, find(job.base), event, trained_by=twin.id)
        target = self._home.model_folder(f"{job.id}-step_{event.step}")
        if not target.exists():
            made += [target, target.with_name(target.name + ".part")]
        folder = publish(self._home, job, event, card, link)
        return model_of(job, replace(event, folder=folder))


def link(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the disk has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _is_usable(folder: Path) -> bool:
    """Return whether a folder holds a whole adapter, and nothing but files of its own."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    # A link may lead anywhere.
    if any(path.is_symlink() or not path.is_file() for path in folder.iterdir()):
        return False
    return (folder / CONFIG).is_file() and is_whole(folder / WEIGHTS)


def _taken_over_text() -> Text:
    return Text(
        "与这里已经训练过的一个任务完全相同（数据、基础模型、参数、seed）：直接用它的结果，"
        "没有重新训练。想自己训练一遍，换一个 seed 再提交",
        "Same as a job already trained here (data, base model, parameters, seed): its result was "
        "taken over and nothing was trained again. To train it yourself, change the seed",
    )


def _diverged_text() -> Text:
    return Text(
        "与这里已经训练过的一个任务完全相同（数据、基础模型、参数、seed），那次训练发散了："
        "没有重新训练，结果一样",
        "Same as a job already trained here (data, base model, parameters, seed), which diverged: "
        "nothing was trained again, the end is the same",
    )


def _waiting_text() -> Text:
    return Text(
        "完全相同的训练（数据、基础模型、参数、seed）正在进行或排在前面：等它完成，"
        "直接用它的结果。想自己训练一遍，换一个 seed 再提交",
        "The same training (data, base model, parameters, seed) is under way or ahead in the "
        "queue: this job waits for its result. To train it yourself, change the seed",
    )
