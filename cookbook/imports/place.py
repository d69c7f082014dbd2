"""Put an adapter into a data folder: its files whole or not at all, its record, its row.

    placed = place(source, adapter, home, name)

A folder of its own is written beside its place and moved there at the end; a service that runs
lists the model from then on. An adapter that is there already is not added again. Whatever fails,
nothing is left.
"""

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from cookbook import adapter_settings, data_folder, disk
from cookbook.adapter_settings import CARD, CONFIG, RECORD, WEIGHTS
from cookbook.errors import AdapterError, DiskFull
from cookbook.exports.facts import Facts
from cookbook.hubs import room
from cookbook.i18n import tr
from cookbook.imports import record
from cookbook.imports.adapter import Adapter
from cookbook.imports.source import Source
from cookbook.imports.weights import Digest, Header, read_header
from cookbook.params import TASK_NAME
from cookbook.paths import Home

if TYPE_CHECKING:
    from cookbook.service.store import Store, TunedModel

_PART_BYTES = 2**20


@dataclass(frozen=True)
class Placed:
    """The model's name, and whether it was there before."""

    model: str
    was_there: bool


def place(source: Source, adapter: Adapter, home: Home, name: str) -> Placed:
    """Add the adapter to the data folder's models.

    Args:
        name: the fourth part of the model's name; letters, digits, _ and -.

    Raises:
        AdapterError: its weights are not all numbers, or the file ends too early.
        DiskFull: there is no room; nothing is left.
        OSError: something else cannot be read or written.
        ServiceError: the data folder cannot be trusted.
    """
    # Only the command line and this need the service's own code, and none of it computes.
    from cookbook.service.store import Store

    data_folder.prepare(home)
    # The service makes it when its first model is ready.
    home.models.mkdir(exist_ok=True)
    with FileLock(home.import_lock) as lock:
        disk.check_lock(lock)
        _remove_leftovers(home)
        room_left = room.free(home.models) - room.RESERVE
        if adapter.header.size > room_left:
            raise _disk_full(home, adapter.header.size)
        try:
            return _add(source, adapter, home, name, Store(home.database))
        except OSError as error:
            if not disk.is_full(error):
                raise
            raise _disk_full(home, adapter.header.size) from error


def _add(source: Source, adapter: Adapter, home: Home, name: str, store: "Store") -> Placed:
    from cookbook.service.store import LOCAL, TunedModel, new_id

    letters = new_id("")
    target = home.model_folder(record.folder_name(letters))
    part = target.with_name(target.name + ".part")
    known = adapter.facts or Facts(model="", base="")
    known = replace(
        known,
        model=f"ft:LoRA/{adapter.base.id}:{LOCAL}:{name}:{letters}",
        base=adapter.base.id,
        title=name,
        # When it was trained, if it tells; never a time to come.
        created_at=min(known.created_at or int(time.time()), int(time.time())),
        rank=adapter.settings.rank,
        alpha=adapter.settings.alpha,
    )
    try:
        part.mkdir()
        digest = _write_weights(source, adapter, part / WEIGHTS)
        if there := _same(store, home, adapter, digest):
            return Placed(there, was_there=True)
        _write_rest(adapter, known, part, owner=LOCAL)
        disk.settle(part, target)
        model = TunedModel(
            number=0,
            id=known.model,
            job=record.NO_JOB,
            base=known.base,
            created_at=known.created_at or 0,
            step=known.step or 0,
            folder=target.name,
            metrics={"train_loss": known.train_loss, "valid_loss": known.valid_loss},
        )
        _add_row(store, model, target)
        return Placed(model.id, was_there=False)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _add_row(store: "Store", model: "TunedModel", folder: Path) -> None:
    """Add the model's row; without it the folder goes, too."""
    try:
        # A service that started just now may have found it in its folder already.
        store.add_found_model(model)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _remove_leftovers(home: Home) -> None:
    """Remove what an import has left that was killed; whoever holds the lock is the only one."""
    for part in home.models.glob("imported-*.part"):
        if record.FOLDER.fullmatch(part.name.removesuffix(".part")):
            shutil.rmtree(part, ignore_errors=True)


def _write_weights(source: Source, adapter: Adapter, path: Path) -> str:
    """Copy the weights, and look at each of them; return their digest."""
    digest = Digest(adapter.header)
    with source.open(WEIGHTS) as file, path.open("xb") as copy:
        if read_header(file, source.size(WEIGHTS)) != adapter.header:
            raise AdapterError(
                zh=f"{WEIGHTS} 在导入时变了：等训练或复制结束，再导入",
                en=f"{WEIGHTS} has changed meanwhile: wait until it is written and import it again",
            )
        copy.write(adapter.header.content)
        for name, part in adapter.header.numbers(file):
            digest.update(name, part)
            copy.write(part)
    return digest.hex()


def _write_rest(adapter: Adapter, known: Facts, part: Path, *, owner: str) -> None:
    config = adapter.settings.as_stored(adapter.base, set(adapter.pairs))
    files = {
        CONFIG: json.dumps(config, indent=2),
        CARD: adapter.card or _card(adapter, known),
        RECORD: json.dumps(record.record(known, owner=owner), indent=2),
    }
    for name, text in files.items():
        (part / name).write_text(text, encoding="utf-8", newline="\n")


def _card(adapter: Adapter, known: Facts) -> str:
    """Return a card that says no more than is known."""
    layers, rank = len(adapter.pairs), adapter.settings.rank
    return tr(
        f"# `{known.title}`\n\n{known.base} 的 LoRA 适配器（PEFT 格式），在别处训练，"
        f"{known.date} 导入。{layers} 层，rank {rank}。用什么数据训练的，这里不知道。\n",
        f"# `{known.title}`\n\nA LoRA adapter for {known.base}, in PEFT's format, trained "
        f"elsewhere and imported on {known.date}. {layers} layers, rank {rank}. What it was "
        "trained on is not known here.\n",
    )


# The same adapter


def _same(store: "Store", home: Home, adapter: Adapter, digest: str) -> str | None:
    """Return the model that has these weights and this scale already."""
    for model in store.models():
        if model.base != adapter.base.id:
            continue
        folder = home.model_folder(model.folder)
        try:
            if _says_the_same(folder, adapter, digest):
                return model.id
        except (OSError, ValueError, RecursionError):
            # Of a model that is damaged, nothing can be said.
            continue
    return None


def _says_the_same(folder: Path, adapter: Adapter, digest: str) -> bool:
    config: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    own = adapter_settings.scale(adapter.settings.config)
    if not isinstance(config, dict) or adapter_settings.scale(config) != own:
        return False
    weights = folder / WEIGHTS
    with weights.open("rb") as file:
        header = read_header(file, weights.stat().st_size)
        found = Digest(header)
        # Most are of other layers, or of another rank: no need to read them.
        if _shapes(header) != _shapes(adapter.header):
            return False
        for name, part in header.numbers(file):
            found.update(name, part)
    return found.hex() == digest


def _shapes(header: Header) -> dict[str, Any]:
    return {name: (weight.dtype, weight.shape) for name, weight in header.weights.items()}


# Sentences


def fitting_name(text: str) -> str:
    """Return a text as a part of a model's name: letters, digits, _ and - of ASCII."""
    kept = "".join(TASK_NAME.findall(text.replace(".", "-").replace(" ", "-")))
    return kept.strip("-_")[:64] or "imported"


def _disk_full(home: Home, needed: int) -> DiskFull:
    size, free = room.size(needed), room.size(room.free(home.models))
    return DiskFull(
        zh=f"磁盘空间不够，没有导入：要 {size}，{home.models} 所在的磁盘只剩 {free}。腾出空间再试",
        en=f"the disk is too small, and nothing was imported: {size} are needed, and the disk of "
        f"{home.models} has {free} free. Make room and try again",
    )
