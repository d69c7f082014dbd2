"""Check the base that `COOKBOOK_BASE_MODEL` names, before a service or a reader waits for it.

Needs neither torch nor network.
"""

import os
from pathlib import Path

from cookbook import base_files, bases, causes, environment
from cookbook.errors import BaseAway, CookbookError
from cookbook.hubs import ready


def check() -> None:
    """Raise what keeps the chosen base from being loaded now.

    Raises:
        BaseAway: it must be downloaded first; the sentence has the command.
        ModelError: it is not a chat model, or its files are not whole.
        ArgumentError: the setting is neither a folder nor the name of a model.
    """
    if bases.chosen() is None:
        return
    setting = environment.value_of("COOKBOOK_BASE_MODEL", os.environ)
    fault = ready.fault(setting, bases.known_names())
    if fault is not None:
        raise fault
    base = bases.installed()[0]
    folder = Path(base.source)
    try:
        base_files.check_folder(base, folder)
        base_files.check_chat(folder, base.id)
    except CookbookError:
        raise
    except OSError as error:
        # A folder of somebody else, or a drive that is not connected.
        cause = causes.cause(error)
        raise BaseAway(
            zh=f"读不到基础模型 {base.id}：{cause.zh}",
            en=f"cannot load the base model {base.id}: {cause.en}",
        ) from error
