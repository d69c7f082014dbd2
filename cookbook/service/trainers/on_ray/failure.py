"""An exception on its way from a node to the job's process.

    return failure.of(error)              there
    raise failure.error(node)             here: what the worker does with it is as if it were local

An error of ours comes back as it is. Of others only the text does: what pickle makes of an
exception of a library is not certain, and the library may not be loaded here.
"""

import logging
import traceback
from dataclasses import dataclass

from cookbook import causes, disk
from cookbook.errors import ClusterAway, CookbookError

_log = logging.getLogger("cookbook")


@dataclass(frozen=True)
class Failure:
    """What a worker ended in.

    Attributes:
        own: the error, where it is one of ours.
        text: the last line of the traceback.
        whole: the traceback.
        lacks_memory: whether the node had too little memory.
        lacks_room: whether its disk was full.
    """

    own: CookbookError | None
    text: str
    whole: str
    lacks_memory: bool
    lacks_room: bool

    def error(self, node: str) -> Exception:
        """Return the exception to raise here; the node's traceback goes to this process's log."""
        if self.lacks_room:
            return ClusterAway(
                zh=f"节点 {node} 的磁盘满了：在那里清出空间",
                en=f"the disk of node {node} is full: make room there",
            )
        if self.own is not None:
            return self.own
        _log.error("%s: %s", node, self.whole)
        return MemoryError(self.text) if self.lacks_memory else RuntimeError(self.text)


def of(error: Exception) -> Failure:
    """Return what is sent of an exception."""
    return Failure(
        own=error if isinstance(error, CookbookError) else None,
        text=traceback.format_exception_only(error)[-1].strip(),
        whole="".join(traceback.format_exception(error)),
        lacks_memory=causes.is_lack_of_memory(error),
        lacks_room=disk.is_full(error),
    )
