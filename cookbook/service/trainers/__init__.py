"""Where jobs are trained: on this machine, or on a Ray cluster.

    trainer = trainers.chosen()          as `--trainer` or `COOKBOOK_TRAINER` says
    trainer.prepare()                    load what takes seconds, before the job is known
    trainer.train(base, …)               the events of one job, wherever it is trained
    trainer.fault()                      what keeps every job from being trained at present

Each job has a process of its own on the service's machine (`worker.py`), whatever the trainer: it
reads the rows, records the events and moves the adapters into place. The trainer alone knows where
the steps are taken.

    here.py        in the job's process itself
    on_ray/        on the nodes of a Ray cluster; the job's process drives them
    settings.py    what the command line and the environment say
"""

from cookbook.service.trainers.settings import RAY, TrainerSettings
from cookbook.service.trainers.trainer import Trainer


def chosen(settings: TrainerSettings | None = None) -> Trainer:
    """Return the trainer of these settings; without them, of those in the environment.

    Raises:
        ArgumentError: a setting in the environment is wrong.
    """
    settings = settings or TrainerSettings.of_environment()
    if settings.name == RAY:
        from cookbook.service.trainers.on_ray.trainer import OnRay

        return OnRay(settings)
    from cookbook.service.trainers.here import Here

    return Here()


__all__ = ["Trainer", "TrainerSettings", "chosen"]
