"""Check the base that `COOKBOOK_BASE_MODEL` names, before a service or a reader waits for it.

Needs neither torch nor network.
"""

from pathlib import Path

from cookbook import bases
from cookbook.service.engine import base_files


def check() -> None:
    """Raise what keeps the chosen base from being loaded now.

    Raises:
        BaseAway: it must be downloaded first; the sentence has the command.
        ModelError: it is not a chat model, or its files are not whole.
        ArgumentError: the setting is neither a folder nor the name of a model.
    """
    if bases.chosen() is None:
        return
    fault = bases.fault_of_chosen()
    if fault is not None:
        raise fault
    base = bases.installed()[0]
    base_files.check(base, Path(base.source))
