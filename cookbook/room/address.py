"""At which addresses the people of a room reach it.

    own_addresses(8765, tls=False)        ["http://192.168.1.20:8765"], the likeliest first

Read from the network cards at each call: a laptop that changes its network has other addresses a
moment later, and a service that listens on all of them goes on. Nothing is sent to find out.
"""

import ipaddress
import socket
from collections.abc import Iterable

from cookbook.address import in_url

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# How the network cards of containers, virtual machines and VPNs are named, in lower case
_VIRTUAL = (
    "docker",
    "br-",
    "bridge",
    "veth",
    "virbr",
    "vmnet",
    "vmware",
    "vbox",
    "virtualbox",
    "vethernet",
    "hyper-v",
    "lxc",
    "lxd",
    "cni",
    "flannel",
    "cali",
    "podman",
    "tun",
    "tap",
    "utun",
    "wg",
    "ppp",
    "zt",
    "tailscale",
    "awdl",
    "llw",
)
_EVERYWHERE = {"0.0.0.0": 4, "::": 6}  # addresses to listen on, with their version of IP


def own_addresses(port: int, tls: bool, host: str = "0.0.0.0") -> list[str]:
    """Return the addresses of a service that listens on `host`, the likeliest first.

    Empty where this machine has no network.
    """
    scheme = "https" if tls else "http"
    version = _EVERYWHERE.get(host)
    hosts = [host] if version is None else [str(each) for each in _reachable(_cards(), version)]
    return [f"{scheme}://{in_url(each)}:{port}" for each in hosts]


def _cards() -> list[tuple[str, str]]:
    """Return (name of the card, address) of every network card that is on."""
    import psutil

    states = psutil.net_if_stats()
    found = []
    for name, entries in psutil.net_if_addrs().items():
        is_on = name not in states or states[name].isup
        for entry in entries:
            if is_on and entry.family in (socket.AF_INET, socket.AF_INET6):
                found.append((name, entry.address))
    return found


def _reachable(cards: Iterable[tuple[str, str]], version: int) -> list[_Address]:
    """Return the addresses that others can reach: physical before virtual, private before public.

    An address of IPv6 that begins with fe80 is left out: it needs the name of a card beside it.
    """
    found = []
    for name, text in cards:
        # macOS and Windows write the card's name behind such an address.
        address = ipaddress.ip_address(text.partition("%")[0])
        if address.version != version or address.is_loopback or address.is_link_local:
            continue
        found.append((_is_virtual(name), not address.is_private, address))
    # Of equal ones the system's order stays.
    return [address for _, _, address in sorted(found, key=lambda each: each[:2])]


def _is_virtual(name: str) -> bool:
    return name.lower().startswith(_VIRTUAL)
