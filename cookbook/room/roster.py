"""Add and remove people, give them other keys, and list them: in the store, whoever serves it.

The service asks the store whose a key is at each request, so that all of this works while the room
is open. A key is written on a slip and kept nowhere else: where slips cannot be written, nothing
has happened.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from wcwidth import wcswidth

from cookbook import __version__, connection, data_folder
from cookbook.duration import duration
from cookbook.errors import ArgumentError, PersonNotFound, ServiceError
from cookbook.i18n import tr
from cookbook.machine import MB
from cookbook.paths import Home
from cookbook.room import names, slips
from cookbook.room.address import own_addresses
from cookbook.room.arguments import PORT
from cookbook.room.names import MOST, SHOWN, Name
from cookbook.room.slips import Slip, Written
from cookbook.service.store import Person, Store
from cookbook.service.store.people import person_exists, person_not_found
from cookbook.terminal import printable

ADDRESS = "address"  # what the room is reached at, see `note_address`
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods")


def open_store(home: Home, *, make: bool = False) -> Store:
    """Return the store of a data folder; with `make`, there need be none yet.

    Raises:
        ServiceError: there is none, or a service of another version uses it.
    """
    if not make and not home.database.exists():
        raise ServiceError(
            zh=f"{home.folder} 里还没有课堂：先运行 python -m cookbook room，或用 --home 指定目录",
            en=f"there is no room in {home.folder} yet: run python -m cookbook room first, "
            "or give its folder with --home",
        )
    data_folder.prepare(home)
    address = connection.running(home.folder)
    # To open the store may change its tables, which the other knows as they are.
    if address is not None and address.get("version") != __version__:
        raise ServiceError(
            zh=f"运行中的服务是另一个版本（{address.get('version')}）："
            "先运行 python -m cookbook stop，再启动课堂",
            en=f"the running service is of another version ({address.get('version')}): "
            "run python -m cookbook stop, then start the room again",
        )
    return Store(home.database)


# The address that slips have


def note_address(store: Store, *, host: str, port: int, tls: bool, named: str | None) -> None:
    """Note where the room is reached, for slips that are written while it runs.

    `named` is an address that does not change with the network.
    """
    value = {"host": host, "port": port, "tls": tls, "named": named}
    store.set_room_value(ADDRESS, json.dumps(value))


def address_of(store: Store) -> str:
    """Return the address at which people reach the room, as far as this machine knows it."""
    noted: dict[str, Any] = {"host": "0.0.0.0", "port": PORT, "tls": False, "named": None}
    noted |= json.loads(store.room_value(ADDRESS) or "{}")
    if noted["named"]:
        return str(noted["named"])
    found = own_addresses(noted["port"], noted["tls"], noted["host"])
    return found[0] if found else f"http://127.0.0.1:{noted['port']}"


# What the commands do


def names_in(words: Sequence[str]) -> list[Name]:
    """Return the names that were typed, or those of the one file that was.

    Raises:
        ArgumentError: there are none, or one cannot be used.
        DataError: the file cannot be read as a list of names.
    """
    if not words:
        raise ArgumentError(
            zh="写上名字，或一个名单（.csv）", en="give names, or a list of names (.csv)"
        )
    path = Path(words[0]).expanduser()
    if len(words) == 1 and (path.suffix.lower() in _TABLES or path.is_file()):
        return names.tidied(names.read(path))
    return names.tidied(words)


def add_missing(store: Store, wanted: Sequence[Name]) -> dict[str, str]:
    """Add those that are not there yet; return their keys by name.

    Raises:
        ArgumentError: the room would have too many people.
    """
    there = _there(store)
    missing = [name.tidy for name in wanted if name.tidy.casefold() not in there]
    if len(there) + len(missing) > MOST:
        raise ArgumentError(
            zh=f"课堂里会有 {len(there) + len(missing)} 人，最多 {MOST} 人：先 room remove 一些人",
            en=f"the room would have {len(there) + len(missing)} people, at most {MOST} are "
            "allowed: run room remove first",
        )
    return {name: store.add_person(name) for name in missing}


def write_slips(store: Store, keys: dict[str, str], address: str, folder: Path) -> Written:
    """Write the slips of people who were just added; without slips, they are not there."""
    try:
        return _write(keys, address, folder)
    except BaseException:
        for name in keys:
            store.remove_person(name)
        raise


def add(home: Home, words: Sequence[str], out: Path) -> None:
    """Add people, with slips.

    Raises:
        CookbookError: nobody was added; the sentence says why.
    """
    wanted = names_in(words)
    store = open_store(home, make=True)
    slips.check(out)
    _refuse_known(store, wanted)
    keys = add_missing(store, wanted)
    written = write_slips(store, keys, address_of(store), out)
    print_changed(wanted)
    print(tr(f"新增 {len(keys)} 人", f"added {counted(len(keys))}"))
    print_returning(store, keys)
    print_written(written)


def renew(home: Home, words: Sequence[str], out: Path) -> None:
    """Give people other keys, with slips; their old ones are not valid any more."""
    wanted = names_in(words)
    store = open_store(home)
    slips.check(out)
    known = _known(store, wanted)
    # Where the slips cannot be written after all, the keys can be renewed once more.
    keys = {name: store.renew_key(name) for name in known}
    written = _write(keys, address_of(store), out)
    listed = ", ".join(known)
    print(tr(f"{listed}：已换密钥，旧的失效", f"{listed}: new keys; the old ones no longer work"))
    print_written(written)


def remove(home: Home, words: Sequence[str]) -> None:
    """Take people's keys away; what they made stays."""
    wanted = names_in(words)
    store = open_store(home)
    known = _known(store, wanted)
    for name in known:
        store.remove_person(name)
    listed = ", ".join(known)
    print(
        tr(
            f"{listed}：已移出，密钥失效；文件、任务和模型保留，组织者看得到",
            f"{listed}: removed, the keys no longer work; files, jobs and models are kept, and the "
            "leader sees them",
        )
    )


def show(home: Home) -> None:
    """Print a table of everybody."""
    store = open_store(home)
    for line in table(store):
        print(line)


def _write(keys: dict[str, str], address: str, folder: Path) -> Written:
    return slips.write([Slip(name, address, key) for name, key in keys.items()], folder)


def _there(store: Store) -> dict[str, str]:
    """Return the names of everybody, by what they are whatever the case of their letters."""
    return {person.name.casefold(): person.name for person in store.people()}


def _refuse_known(store: Store, wanted: Sequence[Name]) -> None:
    there = _there(store)
    known = [there[name.tidy.casefold()] for name in wanted if name.tidy.casefold() in there]
    if known:
        raise person_exists(", ".join(known[:SHOWN]))


def _known(store: Store, wanted: Sequence[Name]) -> list[str]:
    """Return the names as the store has them.

    Raises:
        PersonNotFound: somebody is not there, with the names that are nearest.
    """
    there = _there(store)
    for name in wanted:
        if name.tidy.casefold() not in there:
            raise _nobody(name.tidy, list(there.values()))
    return [there[name.tidy.casefold()] for name in wanted]


def _nobody(name: str, there: list[str]) -> PersonNotFound:
    near = ", ".join(names.nearest(name, there))
    if near:
        return PersonNotFound(
            zh=f"没有 {name}。是不是 {near}？", en=f"there is no {name}. Did you mean {near}?"
        )
    return person_not_found(name)


# What is printed


def print_returning(store: Store, names: Iterable[str]) -> None:
    """Say which of the people who were just added have things from before, as after `remove`."""
    owners = store.models_kept().keys() | store.bytes_kept().keys()
    listed = ", ".join(name for name in names if name in owners)
    if listed:
        print(
            tr(
                f"{listed}：以前来过，同名的文件、任务和模型仍归他们；如果是另一个人，换一个名字",
                f"{listed}: here before; the files, jobs and models of that name are theirs again. "
                "For somebody else, choose another name",
            )
        )


def print_changed(wanted: Sequence[Name]) -> None:
    """Say openly which names are not used as they were written."""
    for name in wanted:
        if name.is_changed:
            print(f"  {printable(name.written)} → {name.tidy}")


def print_written(written: Written) -> None:
    """Say where the slips are."""
    print(tr("密钥条（打印后剪开）：", "slips, to print and cut: ") + printable(str(written.sheet)))
    print(tr("同样内容的表格：", "the same as a table: ") + printable(str(written.table)))


def counted(count: int) -> str:
    """Return a number of people in English."""
    return "1 person" if count == 1 else f"{count} people"


def table(store: Store) -> list[str]:
    """Return the lines of a table of everybody: what they did last, and what is theirs."""
    people = store.people()
    if not people:
        return [tr("课堂里还没有人：room add 名字", "nobody is in the room yet: room add NAME")]
    jobs = Counter(job.owner for job in store.unfinished())
    models, kept = store.models_kept(), store.bytes_kept()
    rows = [
        [
            tr("姓名", "name"),
            tr("最近", "last seen"),
            tr("笔记本", "notebook"),
            tr("任务", "jobs"),
            tr("模型", "models"),
            tr("文件", "files"),
        ]
    ]
    for person in people:
        name = person.name
        size = f"{kept.get(name, 0) / MB:.1f} MB"
        counts = [str(jobs[name]), str(models.get(name, 0)), size]
        rows.append([name, _seen(person), printable(person.notebook or "-"), *counts])
    return aligned(rows)


def _seen(person: Person) -> str:
    if person.seen_at is None:
        return tr("还没来", "never")
    ago = duration(max(0, time.time() - person.seen_at))
    return tr(f"{ago}前", f"{ago} ago")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, with columns below each other: 汉字 take two places."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _width(text: str) -> int:
    return max(0, wcswidth(text))
