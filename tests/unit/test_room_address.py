"""The address that is printed first is the one that a class can most likely reach."""

import pytest

from cookbook.room import address
from cookbook.room.address import own_addresses

CARDS = [
    ("lo", "127.0.0.1"),
    ("docker0", "172.17.0.1"),
    ("tailscale0", "100.100.1.1"),
    ("eth1", "9.9.9.9"),
    ("wlan0", "192.168.1.20"),
    ("wlan0", "fe80::1%wlan0"),
    ("wlan0", "fd00::20"),
    ("eth2", "169.254.3.3"),
]


@pytest.fixture(autouse=True)
def cards(monkeypatch):
    monkeypatch.setattr(address, "_cards", lambda: CARDS)


def test_physical_comes_before_virtual_and_private_before_public():
    assert own_addresses(8765, tls=False) == [
        "http://192.168.1.20:8765",
        "http://9.9.9.9:8765",
        "http://172.17.0.1:8765",
        "http://100.100.1.1:8765",
    ]


def test_a_service_on_ipv6_has_those_addresses_alone():
    assert own_addresses(8765, tls=True, host="::") == ["https://[fd00::20]:8765"]


def test_a_service_on_one_address_has_that_one():
    assert own_addresses(1, tls=False, host="192.168.1.20") == ["http://192.168.1.20:1"]


def test_another_network_shows_at_the_next_call(monkeypatch):
    own_addresses(8765, tls=False)
    monkeypatch.setattr(address, "_cards", lambda: [("wlan0", "10.0.0.7")])
    assert own_addresses(8765, tls=False) == ["http://10.0.0.7:8765"]


def test_a_machine_without_a_network_has_no_address(monkeypatch):
    monkeypatch.setattr(address, "_cards", lambda: [("lo", "127.0.0.1")])
    assert own_addresses(8765, tls=False) == []


def test_the_cards_of_this_machine_are_read(monkeypatch):
    monkeypatch.undo()
    assert "127.0.0.1" in [text for _, text in address._cards()]
