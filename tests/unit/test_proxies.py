"""No proxy between this process and this machine, and one sentence for what breaks every client."""

import os
import sys
import urllib.request

import pytest
from openai import DefaultHttpxClient

from cookbook import connect, proxies
from cookbook.errors import ServiceError

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """An environment without proxies, as it was afterwards."""
    for name in (*NAMES, *map(str.upper, NAMES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        # Set first, so that what the test writes is undone.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(proxies, "_written", {})
    monkeypatch.setattr(proxies, "_found_good", set())


@pytest.fixture
def system(monkeypatch):
    """Settings of a system that keeps its proxies in a registry; the test fills them in."""
    found: dict[str, str] = {}
    monkeypatch.setattr(proxies, "_has_network_settings", lambda: True)
    monkeypatch.setattr(proxies, "_system_exceptions", lambda: [".company.example"])
    read_environment = urllib.request.getproxies_environment
    monkeypatch.setattr(urllib.request, "getproxies", lambda: read_environment() or dict(found))
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,::1,localhost"),
        ({"no_proxy": "localhost,127.*"}, "localhost,127.*,127.0.0.1,::1"),
        ({"NO_PROXY": "a.example"}, "a.example,127.0.0.1,::1,localhost"),
        ({"no_proxy": "", "NO_PROXY": "a.example"}, "127.0.0.1,::1,localhost"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_exceptions_are_added_to_those_that_are_there(monkeypatch, given, expected):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    proxies.bypass()
    proxies.bypass()
    assert urllib.request.getproxies()["no"] == expected


def test_both_spellings_keep_what_they_had(monkeypatch):
    monkeypatch.setenv("no_proxy", "a.example")
    monkeypatch.setenv("NO_PROXY", "b.example")
    proxies.bypass("10.1.2.3")
    assert os.environ["no_proxy"] == "a.example,10.1.2.3,127.0.0.1,::1,localhost"
    assert os.environ["NO_PROXY"] == "b.example,10.1.2.3,127.0.0.1,::1,localhost"


def test_proxies_of_the_system_stay_for_other_hosts(system):
    system |= {"http": "http://127.0.0.1:7890", "https": "http://127.0.0.1:7890"}
    proxies.bypass()
    # Read from the environment now, with exceptions that httpx heeds.
    assert os.environ["HTTPS_PROXY"] == "http://127.0.0.1:7890"
    exceptions = os.environ["NO_PROXY"].split(",")
    assert {".company.example", "127.0.0.1", "localhost"} <= set(exceptions)


def test_proxies_of_the_system_are_read_again_and_may_be_gone(system):
    system["http"] = "http://127.0.0.1:7890"
    proxies.bypass()
    system["http"] = "http://127.0.0.1:7891"
    proxies.bypass()
    assert os.environ["HTTP_PROXY"] == "http://127.0.0.1:7891"
    del system["http"]
    proxies.bypass()
    assert not os.environ.get("HTTP_PROXY")


def test_a_proxy_of_the_system_that_clients_cannot_use_does_not_stop_them(system):
    system |= {"http": "socks4://127.0.0.1:7890", "https": "socks4://127.0.0.1:7890"}
    proxies.bypass()
    DefaultHttpxClient().close()
    assert not os.environ.get("HTTP_PROXY")


def test_the_system_is_not_asked_where_the_environment_has_a_proxy(system, monkeypatch):
    system["http"] = "http://127.0.0.1:7890"
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    proxies.bypass()
    assert not os.environ.get("HTTP_PROXY")


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("all_proxy", "socks://127.0.0.1:7890", "http://127.0.0.1:7890"),
        ("ALL_PROXY", "socks5://127.0.0.1:7890", "pip install socksio"),
        ("https_proxy", "socks5h://127.0.0.1:7890", "pip install socksio"),
        ("http_proxy", "socks4://127.0.0.1:7890", "http://127.0.0.1:7890"),
        ("HTTP_PROXY", "http://127.0.0.1:port", "http://HOST:PORT"),
        ("http_proxy", "127.0.0.1:7890\n", "http://HOST:PORT"),
        ("SSL_CERT_FILE", "/nowhere/cert.pem", "/nowhere/cert.pem"),
        ("SSL_CERT_DIR", "/nowhere/certs", "/nowhere/certs"),
    ],
)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_stops_every_client_is_named_with_what_to_write(
    monkeypatch, name, value, remedy, language
):
    monkeypatch.setattr(proxies, "find_spec", lambda package: None)
    monkeypatch.setenv("COOKBOOK_LANG", language)
    monkeypatch.setenv("SILICONFLOW_API_KEY", "k")
    monkeypatch.setenv(name, value)
    with pytest.raises(ServiceError) as caught:
        connect("siliconcloud")
    text = str(caught.value)
    assert name in text and remedy in text and "\n" not in text


def test_socks_with_its_package_is_fine(monkeypatch):
    monkeypatch.setattr(proxies, "find_spec", lambda package: object())
    assert proxies._fault("socks5://127.0.0.1:7890") is None


def test_a_folder_of_certificates_matters_to_https_alone(monkeypatch):
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere/certs")
    proxies.check(https=False)


def test_what_only_the_library_refuses_is_named_too(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://300.1.1.1:1")
    with pytest.raises(ServiceError, match="http_proxy"):
        proxies.check(https=False)


def test_settings_that_were_found_good_are_not_tried_again(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:7890")
    proxies.check(https=False)
    monkeypatch.setattr(proxies, "_check_client", pytest.fail)
    proxies.check(https=False)


def test_a_file_without_certificates_is_named(monkeypatch, tmp_path):
    empty = tmp_path / "cert.pem"
    empty.write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(empty))
    with pytest.raises(ServiceError, match="SSL_CERT_FILE"):
        proxies.check(https=False)


@pytest.mark.parametrize(
    "url",
    [
        "socks://reader:secret@127.0.0.1:7890",
        "http://reader:x/secret@127.0.0.1:7890",
        "socks://reader:x@secret@127.0.0.1:7890",
        "reader:x/secret@127.0.0.1:7890",
    ],
)
def test_a_password_in_a_proxy_is_not_shown(monkeypatch, url):
    monkeypatch.setenv("all_proxy", url)
    with pytest.raises(ServiceError) as caught:
        proxies.check(https=False)
    assert "secret" not in str(caught.value) and "127.0.0.1:7890" in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="names of variables have no case there")
def test_an_empty_lower_case_variable_switches_its_proxy_off(monkeypatch):
    monkeypatch.setenv("all_proxy", "")
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:7890")
    proxies.check(https=False)


def test_a_file_of_keys_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "gone" / "keys"))
    with pytest.raises(ServiceError, match="SSLKEYLOGFILE"):
        proxies.check(https=False)
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    proxies.check(https=False)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [('"http://127.0.0.1:9"', "http://127.0.0.1:9 "), ("file:///x.pac", "http://HOST:PORT")],
)
def test_the_remedy_is_a_proxy_that_can_be_used(monkeypatch, value, remedy):
    monkeypatch.setenv("HTTP_PROXY", value)
    with pytest.raises(ServiceError) as caught:
        proxies.check(https=False)
    assert remedy in caught.value.en
