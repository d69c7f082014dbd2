"""Find the base that a model is merged into, whole and checked, or just what it is called.

needed(facts)               -> Base, whose folder is there
named(facts, reference)     -> Base for a model card, even where its folder is away
"""

from pathlib import Path

from cookbook import base_files, bases
from cookbook.bases import LOCAL, Base
from cookbook.errors import BaseAway, CookbookError
from cookbook.exports.facts import Facts
from cookbook.hubs.names import pull_command


def needed(facts: Facts, reference: str) -> Base:
    """Return the base of a model.

    Args:
        reference: what the adapter's `base_model_name_or_path` says.

    Raises:
        BaseAway: it is not on this machine.
        ModelError: its files are not whole, or cannot be used.
    """
    base = _here(facts.base)
    if base is None:
        raise _away(facts.base, on_hub=_is_hub_name(reference))
    base_files.check_folder(base, Path(base.source))
    return base


def named(facts: Facts, reference: str) -> Base:
    """Return the card of a model's base; of one that is away, only its name is known."""
    base = _here(facts.base)
    if base is not None:
        return base
    # A name of a hub is its own source; another folder is nowhere.
    return Base(facts.base, source=facts.base if _is_hub_name(reference) else "")


def _here(base_id: str) -> Base | None:
    """Return the base with the folder of its weights; None where it is not on this machine."""
    for base in bases.installed():
        if base.id == base_id and not base.is_missing:
            return base
    # In a hub's cache there may be others than the one that is set.
    try:
        found = bases.downloaded(Base(base_id, source=base_id))
    except CookbookError:
        return None
    return found


def _is_hub_name(reference: str) -> bool:
    return not reference.startswith(LOCAL) and reference.count("/") == 1


def _away(base_id: str, *, on_hub: bool) -> BaseAway:
    if on_hub:
        command = pull_command(base_id)
        return BaseAway(
            zh=f"合并要用的基础模型 {base_id} 不在这台机器上：运行 {command}，或用 --as peft "
            "只带走适配器",
            en=f"the base model {base_id}, which the adapter is merged into, is not on this "
            f"machine: run {command}, or take the adapter alone with --as peft",
        )
    return BaseAway(
        zh=f"合并要用的基础模型 {base_id} 不在这台机器上：把 COOKBOOK_BASE_MODEL 设成它的文件夹，"
        "或用 --as peft 只带走适配器",
        en=f"the base model {base_id}, which the adapter is merged into, is not on this machine: "
        "set COOKBOOK_BASE_MODEL to its folder, or take the adapter alone with --as peft",
    )
