"""Bring a model in that was trained elsewhere: a PEFT adapter, as a folder or a zip of one.

    found = import_model("colleague.zip")        python -m cookbook import colleague.zip
    found.model                                  its name, for `model=` of a chat

Base, shapes, types and numbers are checked before the model is there; no pickle is ever opened.
Taken are the settings, the weights (safetensors) and a README; the rest is named and stays where it
is. The service need not run: if it does, it lists the model at once.

    source      the folder or zip           settings    adapter_config.json
    weights     the file of weights         fit         which base it is for
    adapter     all of them together        place       into the data folder
    record      what is kept of it          arguments   the command
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from cookbook import causes, environment, paths
from cookbook.bases import Base, referred
from cookbook.errors import AdapterError, ArgumentError, CookbookError
from cookbook.i18n import tr
from cookbook.machine import MB
from cookbook.paths import Home
from cookbook.terminal import printable

__all__ = ["Imported", "import_model"]

_NAMED = 8  # names of what is left out that are shown


@dataclass(frozen=True)
class Imported:
    """A model that was brought in.

    Attributes:
        model: its name here.
        base: the base that answers with it.
        layers, of_layers: linear layers that the adapter is on, and that the base has.
        rank: of each of them.
        bytes: of its weights.
        was_there: the same adapter is a model already; nothing was added.
        told_base: the name of the base in the adapter's own settings.
        left_out: what its folder has that was not taken.
        unknown: settings that have a value and that nothing here knows.
        notes: what the reader must do before it answers, sentence by sentence.
    """

    model: str
    base: str
    layers: int
    of_layers: int
    rank: int
    bytes: int
    was_there: bool
    told_base: str
    left_out: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        head = tr("已导入", "imported")
        if self.was_there:
            head = tr("已经有了，没有再加一份", "already there, not added again")
        size = f"{self.bytes / MB:.1f} MB"
        lines = [
            f"{head}: {self.model}",
            tr(
                f"  基础模型 {self.base} · {self.layers}/{self.of_layers} 层 · "
                f"rank {self.rank} · {size}",
                f"  base {self.base} · {self.layers} of {self.of_layers} layers · "
                f"rank {self.rank} · {size}",
            ),
            *(f"  {line}" for line in self._remarks()),
        ]
        return printable("\n".join(lines))

    def _remarks(self) -> list[str]:
        found = []
        if self.told_base and self.told_base != self.base:
            found.append(
                tr(
                    f"它自己说的基础模型是 {self.told_base}；形状和 {self.base} 一致",
                    f"its own settings name the base {self.told_base}; the shapes are those of "
                    f"{self.base}",
                )
            )
        if self.left_out:
            found.append(tr("没有导入：", "not taken: ") + _listed(self.left_out))
        if self.unknown:
            found.append(
                tr(
                    f"不认识的设置 {_listed(self.unknown)}：先对比几个回答",
                    f"settings that are not known here: {_listed(self.unknown)}. Compare a few "
                    "answers first",
                )
            )
        return found + list(self.notes)


def import_model(
    source: str | Path,
    *,
    name: str | None = None,
    base: str | None = None,
    home: str | Path | None = None,
) -> Imported:
    """Add a PEFT adapter to the models of a data folder.

    Args:
        source: a PEFT folder, or a zip of one, such as `export --zip` writes.
        name: the task's name in the model's; by default what the adapter or its file is called.
        base: the installed base that it is for; by default the one that its settings name, or else
            the only one whose shapes fit.
        home: the data folder; by default `COOKBOOK_HOME` or `.cookbook`.

    Raises:
        AdapterError: it cannot be used here; the sentence says why and what to do.
        BaseAway: its base must be downloaded first.
        ArgumentError: `name` or `base` cannot be used.
        ServiceError: the data folder cannot be used at present.
        DiskFull: there is no room.
    """
    path = Path(source).expanduser()
    folder = Home(Path(home or paths.home()).expanduser().resolve())
    try:
        return _import(path, folder, name, base)
    except OSError as error:
        # Our own say what is wrong; the system's need a sentence.
        if isinstance(error, CookbookError):
            raise
        reason = causes.cause(error)
        raise AdapterError(
            zh=f"没有导入 {path.name}：{reason.zh}", en=f"{path.name} not imported: {reason.en}"
        ) from error


def _import(path: Path, home: Home, name: str | None, base: str | None) -> Imported:
    from cookbook.connection import refuse_other_version
    from cookbook.imports.adapter import read_adapter
    from cookbook.imports.fit import linear_layers
    from cookbook.imports.place import fitting_name, place
    from cookbook.imports.source import opened
    from cookbook.params import TASK_NAME

    if name is not None and not TASK_NAME.fullmatch(name):
        raise ArgumentError(
            zh=f"--name {name!r:.80}：1 到 64 个字母、数字、_ 或 -",
            en=f"--name {name!r:.80}: give 1 to 64 letters, digits, _ or -",
        )
    refuse_other_version(home.folder)
    with opened(path) as source:
        adapter = read_adapter(source, base)
        title = adapter.facts.name if adapter.facts else path.resolve().stem
        placed = place(source, adapter, home, name or fitting_name(title))
    return Imported(
        model=placed.model,
        base=adapter.base.id,
        layers=len(adapter.pairs),
        of_layers=len(linear_layers(adapter.base)),
        rank=adapter.settings.rank,
        bytes=adapter.header.size,
        was_there=placed.was_there,
        told_base=_told(adapter.settings.base, adapter.base),
        left_out=adapter.left_out,
        unknown=adapter.settings.unknown,
        notes=_notes(home, adapter.base.is_shipped),
    )


def _told(name: str, base: Base) -> str:
    """Return the base that the settings name, by its id where it is this one's folder."""
    return base.id if name == base.source else referred(name)


def _notes(home: Home, is_shipped: bool) -> tuple[str, ...]:
    """Return what to do where the reader's calls go elsewhere, or the service has other bases."""
    from cookbook.bases import chosen
    from cookbook.connection import running

    notes = []
    if _in_a_room():
        notes.append(
            tr(
                f"设了 COOKBOOK_SERVICE，提问会发到课堂；这个模型在本机的 {home.folder}，"
                "课堂里没有：由组织者在课堂的机器上导入",
                f"COOKBOOK_SERVICE is set, so questions go to a room, which does not have this "
                f"model: it is in {home.folder} on this machine. The leader imports it on the "
                "room's machine",
            )
        )
    address = running(home.folder)
    if is_shipped or address is None or address.get("base_setting") == chosen():
        return tuple(notes)
    setting = environment.value_of("COOKBOOK_BASE_MODEL", os.environ)
    notes.append(
        tr(
            f"正在运行的服务没有这个基础模型：stop，再用 COOKBOOK_BASE_MODEL={setting} 启动",
            f"the service that runs does not have this base: stop it and start it with "
            f"COOKBOOK_BASE_MODEL={setting}",
        )
    )
    return tuple(notes)


def _in_a_room() -> bool:
    from cookbook.room import invitation

    # What is wrong with an invitation matters to whoever connects.
    with contextlib.suppress(CookbookError):
        return invitation.find() is not None
    return False


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} … +{more}" if more > 0 else shown
