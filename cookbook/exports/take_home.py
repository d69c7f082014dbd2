"""Take a tuned model out of a service, as a folder that other programs can run.

    export("my-task", "my-model")                       the adapter, as PEFT has it
    export("my-task", "my-model", "merged")             safetensors, merged into its base
    export("my-task", "my-model", "gguf", type="q8_0")  one file for llama.cpp and LM Studio
    export("my-task", "my-model", "ollama")             the same with a Modelfile

Promises: the folder is there whole or not at all, whatever fails; nothing that is there already is
touched; no training row, key or path of this machine gets into it, except that a Modelfile has the
system prompt that all training rows share. The model and its base are only read. Each folder has a
model card, README.md, in the reader's language.
"""

import contextlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from cookbook import causes, disk, paths
from cookbook.connected import Connection
from cookbook.errors import ArgumentError, CookbookError, ModelError
from cookbook.exports import gguf_file, source
from cookbook.exports.calls import Call, commands
from cookbook.exports.forms import Writing, full
from cookbook.exports.source import Source
from cookbook.hubs import room
from cookbook.i18n import tr
from cookbook.paths import Home
from cookbook.terminal import printable

FORMS = ("peft", "merged", "gguf", "ollama")


@dataclass(frozen=True)
class Exported:
    """A model that was taken home.

    Attributes:
        folder: where it is; of an archive, the .zip file.
        files: names of its files.
        bytes: of all of them.
        commands: how other programs run it.
        notes: what the reader should know.
    """

    model: str
    form: str
    folder: Path
    files: tuple[str, ...]
    bytes: int
    commands: tuple[Call, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        size = room.size(self.bytes) if self.bytes >= 2**20 else f"{self.bytes / 1024:.0f} KB"
        lines = [f"✔ {self.model}", f"  {self.folder}: {self.form}, {size}"]
        lines.append(f"  {', '.join(self.files)}")
        lines += [f"  {note}" for note in self.notes]
        for call in self.commands:
            lines.append(f"{call.program}:")
            lines += [f"  {line}" for line in call.text.splitlines()]
        return printable("\n".join(lines))


def export(
    model: str,
    folder: str | Path,
    form: str = "peft",
    *,
    type: str = "f16",
    home: str | Path | None = None,
    zip: bool = False,
    service: Connection | None = None,
    progress: bool = True,
) -> Exported:
    """Write a tuned model into a new folder.

    Args:
        model: its name, or a task's name that one finished model has.
        folder: where it goes; it must not exist yet.
        form: "peft", "merged", "gguf" or "ollama".
        type: of a GGUF's matrices, "f16" or "q8_0".
        home: the data folder that has it; by default the room of `COOKBOOK_SERVICE`, and the usual
            data folder where no room is named.
        zip: whether to write one archive, `<folder>.zip`, instead.
        service: what `connect()` returned, for a model of another service.
        progress: whether a terminal shows a bar.

    Raises:
        ArgumentError: an unknown form, a folder that exists, or no such model.
        ModelError: the adapter is damaged, of another base, or of a kind that cannot be written so.
        BaseAway: the base that it is merged into is not on this machine.
        DiskFull: there is no room; nothing is left behind.
        ServiceError: the service does not answer.
    """
    _check(form, type)
    target = _target(folder, zip)
    if form in ("gguf", "ollama"):
        gguf_file.check_installed()
    with _source(model, home, service) as found, _new(target) as part:
        job = Writing(found, form, type, part, progress)
        notes = job.run()
        files = tuple(sorted(path.name for path in part.iterdir()))
        size = disk.used(part)
        # Writing takes minutes, and somebody else may have used the name meanwhile.
        _check_free(target)
        if zip:
            _archive(part, target)
            size = target.stat().st_size
        else:
            disk.settle(part, target)
    shown = replace(job.files, folder=os.path.expanduser(folder))
    calls = () if zip else tuple(commands(found.facts, job.base, form, shown))
    if zip:
        notes.append(tr("先解压，再按里面的 README.md 使用", "unzip it, then see its README.md"))
    return Exported(found.facts.model, form, target, files, size, calls, tuple(notes))


def _check(form: str, kind: str) -> None:
    if form not in FORMS:
        raise ArgumentError(
            zh=f"没有格式 {form!r:.40}，可选 {'、'.join(FORMS)}",
            en=f"unknown form {form!r:.40}: choose {', '.join(FORMS)}",
        )
    if kind not in gguf_file.TYPES:
        raise ArgumentError(
            zh=f"没有类型 {kind!r:.40}，可选 {'、'.join(gguf_file.TYPES)}",
            en=f"unknown type {kind!r:.40}: choose {', '.join(gguf_file.TYPES)}",
        )
    if kind != gguf_file.TYPES[0] and form not in ("gguf", "ollama"):
        raise ArgumentError(
            zh=f"{kind} 是 GGUF 的权重类型，{form} 用不上：去掉 --type，或用 --as gguf、ollama",
            en=f"{kind} is a type of a GGUF's weights and means nothing for {form}: leave out "
            "--type, or choose --as gguf or ollama",
        )


def _target(folder: str | Path, zip: bool) -> Path:
    """Return where the export goes."""
    target = Path(os.path.abspath(os.path.expanduser(folder)))
    if zip and target.suffix.lower() != ".zip":
        target = target.with_name(target.name + ".zip")
    _check_free(target)
    # A name that is too long, or a folder that may not be looked into, is met when it is made.
    if not os.path.isdir(target.parent):
        raise ArgumentError(
            zh=f"没有文件夹 {target.parent}：先建好它，或换一个地方",
            en=f"there is no folder {target.parent}: make it first, or choose another place",
        )
    return target


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise ArgumentError(
            zh=f"{target} 已经存在，不会覆盖：换一个名字，或先移走它",
            en=f"{target} exists already and is not overwritten: choose another name, or move it "
            "away first",
        )


@contextlib.contextmanager
def _source(model: str, home: str | Path | None, service: Connection | None) -> Iterator[Source]:
    connection = service
    if connection is None and home is None:
        from cookbook.room import invitation

        invited = invitation.find()
        if invited is not None:
            from cookbook.room import joined

            connection = joined.join(invited)
    if connection is None:
        with source.in_data_folder(Home(Path(home or paths.home()).expanduser()), model) as found:
            yield found
    else:
        with source.in_service(connection, model) as found:
            yield found


@contextlib.contextmanager
def _new(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` to write into, which is gone afterwards in every case.

    Raises:
        ArgumentError: nothing can be written there.
        DiskFull: the disk became full meanwhile.
        ModelError: something there cannot be read or written.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    _make(part, target)
    try:
        yield part
    except CookbookError:
        raise
    except Exception as error:
        if disk.is_full(error):
            shutil.rmtree(part, ignore_errors=True)
            raise full(target, 0) from error
        cause = causes.known(error)
        if cause is None:
            raise
        raise ModelError(
            zh=f"没有导出到 {target}：{cause.zh}",
            en=f"nothing was exported to {target}: {cause.en}",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _make(part: Path, target: Path) -> None:
    try:
        part.mkdir()
    except OSError as error:
        if disk.is_full(error):
            raise full(target, 0) from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ArgumentError(
            zh=f"{target.parent} 里建不了 {target.name}（{reason}）：换一个地方或名字",
            en=f"{target.name} cannot be made in {target.parent} ({reason}): choose another place "
            "or name",
        ) from error


def _archive(folder: Path, target: Path) -> None:
    """Write the files of a folder as one archive, whole or not."""
    part = target.with_name(folder.name + ".zip")
    try:
        # Weights hardly become smaller.
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
            for path in sorted(folder.iterdir()):
                file.write(path, path.name)
        disk.settle(part, target)
    finally:
        part.unlink(missing_ok=True)
