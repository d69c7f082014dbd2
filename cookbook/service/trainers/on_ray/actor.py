"""The process of one worker on a node: a door to `work.py` there.

Ray sends this class to the node by value, so it runs where this package is missing, old or new, and
can say so. Therefore nothing but the standard library is imported before the versions are known.
"""

import os
import sys
from importlib import metadata
from typing import Any


class Actor:
    """One worker. Only `call` needs the package, of the same version as the caller's."""

    def __init__(self, threads: int) -> None:
        # Read when torch is loaded, which it is not yet.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._work: Any = None

    @staticmethod
    def versions(packages: list[str]) -> dict[str, str]:
        """Return the versions of Python and of these packages; "" of one that is not installed."""
        found = {"python": ".".join(map(str, sys.version_info[:3]))}
        for name in packages:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = ""
        return found

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a method of `Work`; return what it returns, or the `Failure` that it ended in."""
        from cookbook.service.trainers.on_ray import failure, work

        try:
            if self._work is None:
                self._work = work.Work()
            return getattr(self._work, name)(*arguments)
        except Exception as error:
            return failure.of(error)


def machine() -> dict[str, Any]:
    """Return what machine this node is, as `machine.Machine.to_dict` has it."""
    from cookbook import machine

    # Ray hides the GPUs from whoever has asked for none.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    return machine.here().to_dict()
