"""The exit codes of a training process, by which the supervisor knows how its job goes on."""

import enum


class Exit(enum.IntEnum):
    """How the training process ends; other codes are a crash.

    The numbers that name a reason are those of errno and sysexits.h with the same meaning.
    """

    DONE = 0  # the job has ended or is paused
    NOTHING_TO_DO = 3  # another process has the job, or it must not run at present
    NO_MEMORY = 12  # others have it at present
    NO_ROOM = 28  # on the disk
    OTHER_VERSION = 65  # the package was upgraded since the service started
    NO_BASE = 69
    OUT_OF_MEMORY = 71  # while it trained, by a plan that should have fitted
    STOPPED = 75  # by SIGTERM, with the state saved
    NO_CLUSTER = 101  # it is away, or has no place for the job at present
    WORKER_LOST = 104  # a node or process of a cluster has gone while it trained

    @property
    def waiting_for(self) -> str:
        """The name of the reason in the job's log, such as "no_base"."""
        return self.name.lower()
