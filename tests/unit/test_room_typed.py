"""Addresses and keys as people type and paste them: put right, or refused in a sentence."""

import pytest

from cookbook.errors import ArgumentError, KeyMissing
from cookbook.room import typed
from cookbook.service.store import people

KEY = "room-abcd-efgh-jkmn-pqrs"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://192.168.1.5:8765", "http://192.168.1.5:8765/v1"),
        ("192.168.1.5:8765/", "http://192.168.1.5:8765/v1"),
        (" http：／／192．168．1．5：8765/v1/ ", "http://192.168.1.5:8765/v1"),
        ("“http://192.168.1.5:8765”。", "http://192.168.1.5:8765/v1"),
        ("192.168。1.5：8765，", "http://192.168.1.5:8765/v1"),
        ("http://192.168.1.5: 8765\u200b", "http://192.168.1.5:8765/v1"),
        ("HTTP//Class-PC.local:8765", "http://class-pc.local:8765/v1"),
        ("http;//10.0.0.1:8765", "http://10.0.0.1:8765/v1"),
        ("http:\\\\10.0.0.1:8765", "http://10.0.0.1:8765/v1"),
        ("COOKBOOK_SERVICE=http://10.0.0.1:8765", "http://10.0.0.1:8765/v1"),
        ("https://class.example.org/room", "https://class.example.org/room/v1"),
        (
            "https://class.example.org:443/room/v1/room?notebook=x",
            "https://class.example.org/room/v1",
        ),
        ("localhost:8765", "http://localhost:8765/v1"),
        ("[2001:db8::5]:8765", "http://[2001:db8::5]:8765/v1"),
        ("2001:db8::5", "http://[2001:db8::5]/v1"),
        ("https://课堂.中国", "https://xn--cksr32j.xn--fiqs8s/v1"),
    ],
)
def test_an_address_is_put_right(text, expected):
    assert typed.is_address(text)
    assert typed.address(text) == expected
    # And what was put right stays as it is.
    assert typed.address(expected) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.0.0.0:8765", "监听"),
        ("192.168.1:8765", "不完整"),
        ("192.168.1.555", "不完整"),
        ("http://10.0.0.1:99999", "端口"),
        ("http://10.0.0.1:0", "端口"),
        ("http://[::1:8765", "括号"),
        ("ftp://10.0.0.1", "http://"),
        ("C:/Users/me", "http://"),
        ("http://10.0.0.1:8765 room-abcd-efgh-jkmn-pqrs", "只填地址"),
        ("http://me:secret@10.0.0.1", "密码"),
        ("http://me:x@secret@10.0.0.1", "密码"),
        ("http://me:x/secret@10.0.0.1", "端口"),
        ("http://me：secret＠10.0.0.1", "密码"),
        ("https://api.siliconflow.cn/v1", "siliconcloud"),
        ("http://", "主机名"),
        ("fe80::1%eth0", "%"),
    ],
)
def test_what_is_not_an_address_is_refused_without_a_secret(text, reason, monkeypatch):
    with pytest.raises(ArgumentError, match=reason) as caught:
        typed.address(text)
    for language in ("zh", "en"):
        monkeypatch.setenv("COOKBOOK_LANG", language)
        assert "secret" not in str(caught.value) and "efgh" not in str(caught.value)


@pytest.mark.parametrize("text", ["openai", "local", "siliconcloud", "课堂"])
def test_a_word_is_not_an_address(text):
    assert not typed.is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f" {KEY}\n",
        "ROOM abcd efgh jkmn pqrs",
        "Room—ABCD—efgh－jkmn–pqrs",
        "roomabcdefghjkmnpqrs",
        "room_abcd_efgh_jkmn_pqrs",
        f"COOKBOOK_KEY={KEY}",
        f"“{KEY}”",
        f"ｒｏｏｍ{KEY[4:]}\u200b",
    ],
)
def test_a_rooms_key_is_put_right(text):
    assert typed.key(text) == KEY


def test_every_key_that_a_room_makes_stays_as_it_is():
    for _ in range(50):
        made = people.new_key()
        assert typed.key(made) == made == typed.key(made.upper().replace("-", " "))


@pytest.mark.parametrize(
    "text", ["sk-AbC!", "<secret>", "room-2026", "Room-Leader,", '"x"', "ROOM"]
)
def test_any_other_key_is_sent_as_it_is(text):
    assert typed.key(f" {text} ") == text


def test_what_cannot_be_a_key_is_refused_and_not_shown():
    with pytest.raises(KeyMissing, match="密钥条") as caught:
        typed.key("我的密码 1")
    assert "密码 1" not in str(caught.value)


@pytest.mark.parametrize(
    ("sent", "hint"),
    [("room-abcd-efgh-jkmn", "12"), ("room-abcd-efgh-jkmn-pqr1", "1"), (KEY, ""), ("sk-x", "")],
)
def test_what_is_odd_about_a_refused_key_is_said(sent, hint):
    zh, en = typed.key_hint(sent)
    assert hint in zh and hint in en and bool(zh) == bool(hint)
