"""Say what the leader needs to know once the room listens, add who is new, and open the page.

Keys are added here, after the port is ours: one that is taken costs nobody a key.
"""

import os
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

from cookbook.address import is_loopback
from cookbook.clock import clock
from cookbook.i18n import tr
from cookbook.room import roster, slips
from cookbook.room.names import Name
from cookbook.service import prefix
from cookbook.service.listening import Listening
from cookbook.service.store import Store


def welcome(
    store: Store, listening: Listening, wanted: list[Name], out: Path, *, opens_page: bool
) -> None:
    """Add who is not there yet, and say all that the leader needs to know."""
    addresses = listening.addresses()
    address = addresses[0] if addresses else listening.local_url.removesuffix("/v1")
    _note_address(store, listening)
    before = len(store.people())
    keys = roster.add_missing(store, wanted)
    written = roster.write_slips(store, keys, address, out) if keys else None
    print(tr(f"课堂已启动：{address}", f"the room is open: {address}"))
    _print_people(before, len(keys))
    roster.print_changed(wanted)
    roster.print_returning(store, keys)
    if written:
        roster.print_written(written)
    print(
        tr(
            "每位学员要写的两行（密钥在各自的密钥条上）：",
            "the two lines that each person needs (the key is on their slip):",
        )
    )
    for line in slips.lines(address):
        print(f"  {line}")
    for warning in _warnings(listening, addresses):
        print(warning)
    _print_closing(store)
    _print_page(listening, opens_page)
    print(tr("按 Ctrl-C 停止", "press Ctrl-C to stop"), flush=True)


def _note_address(store: Store, listening: Listening) -> None:
    named = next(iter(listening.named), None)
    has_tls = listening.tls is not None
    roster.note_address(store, host=listening.host, port=listening.port, tls=has_tls, named=named)


def _print_people(before: int, added: int) -> None:
    if not before and not added:
        print(
            tr(
                "课堂里还没有人：在另一个终端运行 python -m cookbook room add 名字…",
                "nobody is in the room yet: run python -m cookbook room add NAME… "
                "in another terminal",
            )
        )
    elif before:
        print(
            tr(
                f"学员 {before + added} 人：新增 {added}，原有 {before} 人的密钥不变",
                f"{roster.counted(before + added)}: {added} new, "
                f"the other {before} keep their keys",
            )
        )
    else:
        print(tr(f"学员 {added} 人", roster.counted(added)))


def _warnings(listening: Listening, addresses: list[str]) -> list[str]:
    """Return what the leader should know about the network."""
    found = []
    if not addresses:
        found.append(
            tr(
                "注意：这台电脑没有网络，学员连不上；连上网络后，组织者页面会显示地址",
                "note: this machine has no network, so nobody can reach it; once it has one, the "
                "leader's page shows the address",
            )
        )
    elif len(addresses) > 1:
        others = ", ".join(addresses[1:])
        found.append(tr(f"连不上时换一个地址试试：{others}", f"other addresses to try: {others}"))
    if listening.tls and not listening.named:
        found.append(
            tr(
                "注意：证书里没有主机名，学员的程序会拒绝这些地址："
                "用 --address https://主机名:端口 指明",
                "note: the certificate names no host, so clients will refuse these addresses: "
                "give the right one with --address https://HOST:PORT",
            )
        )
    if _is_readable_by_others(listening):
        found.append(
            tr(
                "注意：没有 TLS，同一网络里的人能读到密钥和内容。教室自己的网络可以，互联网上不行："
                "那里用 --certificate，或放在反向代理后面（docs/room.zh-CN.md）",
                "note: without TLS, whoever is on the same network can read keys and texts. That "
                "is fine in a class's own network and not on the internet: use --certificate "
                "there, or a reverse proxy (docs/room.md)",
            )
        )
    return found


def _is_readable_by_others(listening: Listening) -> bool:
    """Return whether requests cross the network as they are."""
    address = listening.address or ""
    if listening.tls or address.startswith("https://"):
        return False
    return not is_loopback(listening.host)


def _print_closing(store: Store) -> None:
    when = clock(store.closes_at())
    if when:
        print(
            tr(
                f"{when} 结束（组织者页面可以延长）",
                f"closes at {when} (the leader's page can extend it)",
            )
        )


# The leader's page


def _print_page(listening: Listening, opens: bool) -> None:
    if path := prefix.of_hub():
        # What is printed here goes into the hub's log.
        print(
            tr(
                f"组织者页面：JupyterHub 的地址加 {path}/，密钥在数据目录的 identity.json 里",
                f"the leader's page is {path}/ of the hub; its key is in identity.json of the "
                "data folder",
            )
        )
        return
    # What follows # stays in the browser: it is in no request and in no log.
    page = listening.local_url.removesuffix("v1")
    link = f"{page}#key={listening.api_key}"
    if opens and has_display() and open_page(link):
        print(tr(f"组织者页面已在浏览器打开：{page}", f"the leader's page is open: {page}"))
        return
    if opens:
        print(tr("这里无法打开浏览器。", "No browser could be opened here."), end=" ")
    print(
        tr(
            f"组织者页面（链接里有组织者的密钥，不要给别人）：{link}",
            f"the leader's page (its link has the leader's key, do not share it): {link}",
        )
    )


def has_display() -> bool:
    """Return whether a browser would show itself to whoever typed the command."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    # Without one, Python would start a browser of text in this very terminal.
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_page(link: str, opener: Callable[[str], bool] = webbrowser.open) -> bool:
    """Open a page in the browser; return whether there is one."""
    try:
        return opener(link)
    except (webbrowser.Error, OSError):
        return False
