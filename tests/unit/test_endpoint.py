"""Where a hub is: its own address or a mirror's, without the mirror's password."""

import pytest

from cookbook.errors import ArgumentError, BaseAway
from cookbook.hubs import web
from cookbook.hubs.huggingface import HuggingFace
from cookbook.hubs.modelscope import ModelScope
from cookbook.quoted import without_passwords


@pytest.mark.parametrize(
    "given, address, credentials",
    [
        ("https://me:p%40ss@mirror.cn:8443/hf/", "https://mirror.cn:8443/hf", ("me", "p@ss")),
        ("me:p@ss@mirror.cn", "https://mirror.cn", ("me", "p@ss")),
        ("https://token@mirror.cn", "https://mirror.cn", ("token", "")),
        ('"http://127.0.0.1:80"', "http://127.0.0.1:80", None),
        (" ", "https://huggingface.co", None),
    ],
)
def test_a_password_is_kept_apart_from_the_address(given, address, credentials, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", given)
    found = HuggingFace().endpoint
    assert (found.address, found.credentials) == (address, credentials)
    assert "p@" not in repr(found)


@pytest.mark.parametrize(
    "given",
    [
        "https://me:s3cret/x@mirror.cn",
        "https://me:12/s3cret@mirror.cn",
        "https://me:s3cret#1@mirror.cn",
        "https://me:s3 cret@mirror.cn",
        "https://me:s3cret@mirror.cn:port",
        "ftp://me:s3cret@mirror.cn",
        "https://me:s3cret@",
        "https://[s3cret",
    ],
)
def test_what_is_not_an_address_is_refused_without_repeating_it(given, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", given)
    with pytest.raises(ArgumentError, match="MODELSCOPE_ENDPOINT") as error:
        web.connect(ModelScope())
    assert "s3" not in str(error.value)


def test_the_older_name_of_the_variable_counts_where_the_newer_is_not_set(monkeypatch):
    monkeypatch.setenv("MODELSCOPE_DOMAIN", "mirror.cn")
    monkeypatch.delenv("MODELSCOPE_ENDPOINT", raising=False)
    assert ModelScope().page("a/b") == "https://mirror.cn/models/a/b"


@pytest.mark.parametrize("proxy", ["http://u:s3/x@h:1", "socks9://u:s3@h", "http://u:s3@h:s3"])
def test_a_proxys_password_is_not_in_the_sentence_about_it(proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(BaseAway, match="HTTPS_PROXY") as error:
        web.connect(HuggingFace())
    assert "s3" not in str(error.value)


def test_a_librarys_text_loses_the_passwords_in_it():
    text = "GET https://me:p@ss@h/a failed, see https://h/b@c"
    assert without_passwords(text) == "GET https://h/a failed, see https://h/b@c"
