"""The leader's command: what is typed wrong, who gets a key, what is printed."""

import contextlib
import json
import math
import re
import time

import certificates
import pytest
from support import add_job

from cookbook.__main__ import main
from cookbook.errors import ArgumentError, ServiceError
from cookbook.paths import Home
from cookbook.room import command, names, roster, slips, welcome
from cookbook.service import certificate
from cookbook.service.listening import listen
from cookbook.service.publication import Endpoint
from cookbook.service.server import Settings
from cookbook.service.store import Store

KEY = re.compile(r"room-[a-z-]{19}")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def store(home):
    return Store(home.database)


@pytest.fixture
def room(home, capsys):
    """Call `python -m cookbook room` on a folder of its own; give (status, output, errors)."""

    def room(*words: str):
        status = main(["room", *words, "--home", str(home.folder)])
        return status, *capsys.readouterr()

    return room


@pytest.fixture
def listening():
    with contextlib.closing(listen("127.0.0.1", 0, last=None, api_key=None, is_room=True)) as found:
        yield found


def keys_in(folder) -> dict[str, str]:
    """Return the keys by name in the newest table of slips."""
    newest = max(folder.glob("slips-*.csv"), key=lambda path: path.stat().st_mtime_ns)
    lines = newest.read_text(encoding="utf-8-sig").splitlines()[1:]
    return {line.split(",")[0]: line.split(",")[2] for line in lines}


# What is typed wrong


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--people", "0"], "1 到 200 人"),
        (["--people", "-1"], "1 到 200 人"),
        (["--people", "1000"], "1 到 200 人"),
        (["--people", "3", "names.csv"], "只能用一个"),
        (["missing.csv"], "missing.csv：没有这个文件"),
        (["lst"], "没有命令 room lst"),
        (["list", "all"], "没有命令 room list all"),
        (["--people", "3", "--hours", "-1"], "--hours -1"),
        (["--people", "3", "--hours", "nan"], "--hours nan"),
        (["--people", "3", "--certificate-key", "k.pem"], "--certificate"),
        (["--people", "3", "--address", "example"], "不是地址"),
        (["--people", "3", "--address", "ftp://x"], "不是地址"),
        (["--people", "3", "--address", "http://["], "不是地址"),
        (["add"], "写上名字"),
        (["add", "a/b"], "不能有 /"),
        (["add", "x" * 41], "最多 40 个"),
        (["add", "local"], "组织者"),
        (["list"], "还没有课堂"),
        (["remove", "p01"], "还没有课堂"),
    ],
)
def test_what_is_typed_wrong_is_one_sentence_and_changes_nothing(room, home, words, why):
    status, out, errors = room(*words)
    assert status == 1 and why in errors and out == ""
    assert len(errors.splitlines()) == 1
    assert not home.database.exists()


def test_an_address_is_refused_without_its_password(room):
    _, _, errors = room("--people", "3", "--address", "https://me:x@secret@example.org")
    assert "不是地址" in errors and "secret" not in errors


def test_an_address_is_told_as_people_write_it():
    for typed in ("https://x.org/room", "https://x.org/room/", " https://x.org/room/v1/"):
        assert command._address(typed) == "https://x.org/room"


def test_a_room_closes_after_so_many_hours_or_never():
    assert abs(command._closes_at(2) - time.time() - 7200) < 5
    assert command._closes_at(0) is None
    with pytest.raises(ArgumentError):
        command._closes_at(math.inf)


def test_a_room_takes_over_equal_trainings_unless_told_not_to():
    from cookbook.__main__ import _parser

    def settings(*words) -> Settings:
        return command._settings(_parser().parse_args(["room", *words]), Home("x"))

    assert settings().reuse and not settings("--train-each").reuse


# People


def test_a_number_of_people_is_not_taken_for_names(room, home):
    status, _, err = room("add", "Li", "--people", "3")
    assert status == 1 and "room add 后面写名字" in err
    assert not home.database.exists()


def test_somebody_who_is_added_has_a_slip_with_their_key(room, home):
    status, out, _ = room("add", "Li Lei", "韩梅梅")
    assert status == 0 and "Li Lei → Li-Lei" in out and "新增 2 人" in out
    keys = keys_in(home.folder)
    assert list(keys) == ["Li-Lei", "韩梅梅"]
    assert Store(home.database).person(keys["韩梅梅"]).name == "韩梅梅"
    # Not on the screen, where a projector would show it.
    assert not KEY.search(out)


def test_people_are_added_from_a_list(room, home, tmp_path):
    (tmp_path / "a.csv").write_text("姓名,班\n李雷,1\n韩梅梅,2\n", encoding="utf-8")
    assert room("add", str(tmp_path / "a.csv"))[0] == 0
    assert sorted(keys_in(home.folder)) == ["李雷", "韩梅梅"]


def test_nobody_is_added_where_one_is_there_already(room, store):
    room("add", "p01")
    status, _, errors = room("add", "p02", "P01")
    assert status == 1 and "已经有 p01" in errors
    assert [person.name for person in store.people()] == ["p01"]


def test_another_key_ends_the_old_one(room, home, store):
    room("add", "p01")
    old = keys_in(home.folder)["p01"]
    status, out, _ = room("renew", "P01")
    new = keys_in(home.folder)["p01"]
    assert status == 0 and "旧的失效" in out
    assert store.person(old) is None and store.person(new).name == "p01"


def test_who_is_removed_has_no_key_and_leaves_their_work(room, home, store):
    room("add", "p01")
    store.of("p01").add_file("a.jsonl", "fine-tune", b"{}")
    status, out, _ = room("remove", "p01")
    assert status == 0 and "密钥失效；文件、任务和模型保留" in out
    assert store.person(keys_in(home.folder)["p01"]) is None
    assert [file.owner for file in store.files_page(None, 10)] == ["p01"]


def test_who_gets_a_name_that_was_there_before_gets_its_work_and_is_told(room, store):
    _, new, _ = room("add", "p01", "p02")
    store.of("p01").add_file("a.jsonl", "fine-tune", b"{}")
    room("remove", "p01", "p02")
    _, out, _ = room("add", "p01", "p02")
    assert "以前来过" not in new and "p01：以前来过" in out


@pytest.mark.parametrize("action", ["remove", "renew"])
def test_an_unknown_name_is_told_with_the_nearest_and_nothing_changes(room, store, action):
    room("add", "Li-Lei", "p01")
    status, _, errors = room(action, "p01", "Li-Le")
    assert status == 1 and "没有 Li-Le。是不是 Li-Lei？" in errors
    assert len(store.people()) == 2


def test_without_slips_nobody_is_added(room, store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    status, _, errors = room("add", "p01", "--out", str(tmp_path / "file" / "x"))
    assert status == 1 and "--out" in errors and store.people() == []

    def full(*_, **__):
        raise ServiceError(zh="满", en="full")

    monkeypatch.setattr(slips, "write", full)
    assert room("add", "p01")[0] == 1 and store.people() == []


def test_a_room_has_at_most_so_many_people(room, store):
    for number in range(names.MOST):
        store.add_person(f"n{number}")
    status, _, errors = room("add", "one-more")
    assert status == 1 and "最多 200 人" in errors


def test_the_list_shows_what_is_whose_in_columns(room, store):
    store.add_person("李雷")
    store.add_person("p01")
    mine = store.of("李雷")
    mine.add_file("a.jsonl", "fine-tune", b"x" * 2**20)
    add_job(mine)
    status, out, _ = room("list")
    header, *rows = out.splitlines()
    assert status == 0 and len(rows) == 2
    assert rows[1].split() == ["李雷", "还没来", "-", "1", "0", "1.0", "MB"]


def test_columns_are_below_each_other_whatever_the_script():
    assert roster.aligned([["名", "a"], ["p01", "b"]]) == ["名   a", "p01  b"]


# Opening


def open_room(store, listening, out, *written: str, opens_page=False) -> None:
    welcome.welcome(store, listening, names.tidied(written), out, opens_page=opens_page)


def test_the_next_morning_everybody_keeps_their_key(store, listening, tmp_path, capsys):
    open_room(store, listening, tmp_path, "p01", "p02")
    first = keys_in(tmp_path)
    capsys.readouterr()
    open_room(store, listening, tmp_path, "P01", "p02", "p03")
    out = capsys.readouterr().out
    assert "学员 3 人：新增 1，原有 2 人的密钥不变" in out
    assert list(keys_in(tmp_path)) == ["p03"]
    assert {store.person(key).name for key in first.values()} == {"p01", "p02"}


def test_who_comes_back_without_a_list_writes_no_slips(store, listening, tmp_path, capsys):
    store.add_person("p01")
    open_room(store, listening, tmp_path)
    assert "学员 1 人：新增 0" in capsys.readouterr().out
    assert list(tmp_path.glob("slips-*")) == []


def test_an_empty_room_says_how_people_come(store, listening, tmp_path, capsys):
    open_room(store, listening, tmp_path)
    assert "room add" in capsys.readouterr().out


def test_the_two_lines_are_printed_without_anybodys_key(store, listening, tmp_path, capsys):
    open_room(store, listening, tmp_path, "p01")
    out = capsys.readouterr().out
    assert f"COOKBOOK_SERVICE=http://127.0.0.1:{listening.port}" in out
    assert "COOKBOOK_KEY=room-xxxx-xxxx-xxxx-xxxx" in out
    assert keys_in(tmp_path)["p01"] not in out


def test_slips_that_are_written_later_have_the_rooms_address(store, listening, tmp_path):
    open_room(store, listening, tmp_path)
    assert roster.address_of(store) == f"http://127.0.0.1:{listening.port}"
    noted = {"host": "0.0.0.0", "port": 1, "tls": False, "named": "https://x.org/room"}
    store.set_room_value(roster.ADDRESS, json.dumps(noted))
    assert roster.address_of(store) == "https://x.org/room"


def test_the_leaders_link_is_printed_where_no_browser_opens(
    store, listening, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(welcome, "has_display", lambda: False)
    open_room(store, listening, tmp_path, opens_page=True)
    out = capsys.readouterr().out
    link = f"http://127.0.0.1:{listening.port}/#key={listening.api_key}"
    assert "无法打开浏览器" in out and link in out


def test_the_leaders_key_is_not_printed_where_the_browser_has_it(
    store, listening, tmp_path, capsys, monkeypatch
):
    opened = []
    monkeypatch.setattr(welcome, "has_display", lambda: True)
    monkeypatch.setattr(welcome, "open_page", lambda link: opened.append(link) or True)
    open_room(store, listening, tmp_path, opens_page=True)
    assert opened == [f"http://127.0.0.1:{listening.port}/#key={listening.api_key}"]
    assert listening.api_key not in capsys.readouterr().out


def test_over_ssh_no_browser_is_tried(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_CONNECTION", "x")
    assert not welcome.has_display()


def test_what_it_means_to_have_no_tls_is_said_once(monkeypatch, store, tmp_path, capsys):
    with contextlib.closing(listen("0.0.0.0", 0, last=None, api_key=None, is_room=True)) as found:
        open_room(store, found, tmp_path)
    assert capsys.readouterr().out.count("没有 TLS") == 1


def test_behind_a_proxy_with_tls_there_is_no_such_warning(store, tmp_path, capsys):
    address = "https://x.org/room"
    with contextlib.closing(
        listen("0.0.0.0", 0, last=None, api_key=None, is_room=True, address=address)
    ) as found:
        open_room(store, found, tmp_path)
        assert found.addresses()[0] == address
    out = capsys.readouterr().out
    assert "没有 TLS" not in out and f"COOKBOOK_SERVICE={address}" in out


# Sockets


def test_with_a_certificate_this_machine_has_a_socket_of_its_own(tmp_path):
    path = tmp_path / "both.pem"
    path.write_text(certificates.KEY + certificates.GOOD)
    tls = certificate.read(path)
    with contextlib.closing(
        listen("127.0.0.1", 0, last=None, api_key=None, is_room=True, tls=tls)
    ) as found:
        assert found.addresses()[0] == f"https://room.test:{found.port}"
        assert found.local_url == f"http://127.0.0.1:{found.local_port}/v1"
        assert found.local_port != found.port
        assert found.sockets == [found.local] and found.secured.listener is found.listener


@pytest.fixture
def free_ports():
    """Return two ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        found = [listen("127.0.0.1", 0, last=None, api_key=None) for _ in range(2)]
        for each in found:
            stack.enter_context(contextlib.closing(each))
        return [each.port for each in found]


def test_a_room_on_the_port_of_before_has_one_socket(free_ports):
    last = Endpoint(free_ports[0], "kept")
    with contextlib.closing(listen("127.0.0.1", 0, last=last, api_key=None, is_room=True)) as room:
        assert (room.port, room.local, room.api_key) == (last.port, None, "kept")


def test_a_certificate_never_takes_the_port_of_notebooks_that_speak_no_tls(free_ports, tmp_path):
    path = tmp_path / "both.pem"
    path.write_text(certificates.KEY + certificates.GOOD)
    last = Endpoint(free_ports[0], "kept")
    with contextlib.closing(
        listen("127.0.0.1", 0, last=last, api_key=None, is_room=True, tls=certificate.read(path))
    ) as room:
        assert (room.local_port, room.api_key) == (last.port, "kept")
        assert room.port != last.port


def test_a_room_on_another_port_serves_the_notebooks_of_before_as_well(free_ports):
    port, before = free_ports
    last = Endpoint(before, "kept")
    with contextlib.closing(
        listen("127.0.0.1", port, last=last, api_key=None, is_room=True)
    ) as room:
        assert (room.port, room.local_port, room.api_key) == (port, before, "kept")
        assert room.local_url == f"http://127.0.0.1:{before}/v1"


def test_a_service_that_is_no_room_has_another_token_on_another_port(free_ports):
    port, before = free_ports
    last = Endpoint(before, "kept")
    with contextlib.closing(listen("127.0.0.1", port, last=last, api_key=None)) as plain:
        assert plain.local is None and plain.api_key != "kept"


def test_a_port_that_is_taken_is_one_sentence(listening):
    with pytest.raises(ServiceError, match=f"127.0.0.1:{listening.port}.*--port"):
        listen("127.0.0.1", listening.port, last=None, api_key=None, is_room=True)
    with pytest.raises(ServiceError, match="--port"):
        listen("127.0.0.1", 70000, last=None, api_key=None, is_room=True)
