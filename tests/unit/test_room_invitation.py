"""Which room is meant: the call, the environment, a `.env` beside the notebook, in this order."""

import codecs
import os

import pytest

from cookbook.errors import ArgumentError, KeyMissing
from cookbook.room import invitation

ADDRESS, KEY = "http://10.0.0.1:8765", "room-abcd-efgh-jkmn-pqrs"
OTHER, OTHER_KEY = "http://10.0.0.2:8765", "room-ssss-ssss-ssss-ssss"
LINES = f"COOKBOOK_SERVICE={ADDRESS}\nCOOKBOOK_KEY={KEY}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A checkout with a folder of notebooks, which is the current one."""
    (tmp_path / "pyproject.toml").touch()
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    monkeypatch.chdir(notebooks)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return notebooks


def found(*given):
    invited = invitation.find(*given)
    return invited and (invited.base_url.removesuffix("/v1"), invited.key)


def test_without_a_word_of_a_room_there_is_none(folder):
    (folder / ".env").write_text("OPENAI_API_KEY=x\nPATH=/nowhere\n")
    assert found() is None


def test_the_environment_names_a_room(monkeypatch):
    monkeypatch.setenv("COOKBOOK_SERVICE", f'"{ADDRESS}" ')
    monkeypatch.setenv("COOKBOOK_KEY", KEY)
    assert found() == (ADDRESS, KEY)


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        codecs.BOM_UTF8 + LINES.encode(),
        LINES.replace("\n", "\r\n").encode(),
        f"# 课堂\nexport COOKBOOK_SERVICE = '{ADDRESS}'  # 地址\n".encode()
        + f' export COOKBOOK_KEY="{KEY}"'.encode(),
        f"课堂=三班\n{LINES}".encode("gb18030"),
        LINES.encode("utf-16"),
        f"X=1\n\n{LINES.lower().replace('cookbook_key', 'Cookbook_Key')}".encode(),
        b"\xff\xfe-broken \x80\n" + LINES.encode(),
        f"COOKBOOK_KEY=room\n{LINES}".encode(),
    ],
)
def test_a_file_is_read_however_it_was_saved(folder, content):
    # Two bytes at the beginning can be the mark of UTF-16, or a line that is broken.
    if content.startswith(b"\xff\xfe-"):
        content = content[2:]
    (folder / ".env").write_bytes(content)
    assert found() == (ADDRESS, KEY)


@pytest.mark.parametrize("name", [".env", ".env.txt"])
@pytest.mark.parametrize("up", [".", ".."])
def test_it_is_beside_the_notebook_or_above(folder, name, up):
    (folder / up / name).write_text(LINES)
    assert found() == (ADDRESS, KEY)


def test_it_is_found_where_the_notebook_is_even_if_a_cell_changed_the_folder(
    folder, tmp_path, monkeypatch
):
    (folder / ".env").write_text(LINES)
    monkeypatch.setenv("JPY_SESSION_NAME", str(folder / "00_quickstart.ipynb"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert found() == (ADDRESS, KEY)


def test_nothing_above_the_checkout_is_read(tmp_path, folder, monkeypatch):
    inner = folder / "course"
    (inner / ".git").mkdir(parents=True)
    monkeypatch.chdir(inner)
    (folder / ".env").write_text(LINES)
    assert found() is None


def test_a_folder_by_the_name_is_no_file(folder):
    (folder / ".env").mkdir()
    assert found() is None


def test_the_environment_comes_before_the_file(folder, monkeypatch):
    (folder / ".env").write_text(LINES)
    monkeypatch.setenv("COOKBOOK_SERVICE", OTHER)
    monkeypatch.setenv("COOKBOOK_KEY", OTHER_KEY)
    assert found() == (OTHER, OTHER_KEY)


@pytest.mark.parametrize("value", ["local", "siliconcloud"])
def test_another_service_in_the_environment_is_no_room(folder, monkeypatch, value):
    (folder / ".env").write_text(LINES)
    monkeypatch.setenv("COOKBOOK_SERVICE", value)
    assert found() is None


def test_blank_values_are_none(folder, monkeypatch):
    (folder / ".env").write_text(LINES)
    monkeypatch.setenv("COOKBOOK_SERVICE", " ")
    monkeypatch.setenv("COOKBOOK_KEY", "")
    assert found() == (ADDRESS, KEY)


def test_address_and_key_may_be_in_two_places(folder, monkeypatch):
    (folder.parent / ".env").write_text(f"COOKBOOK_SERVICE={ADDRESS}")
    (folder / ".env").write_text(f"COOKBOOK_KEY={KEY}")
    assert found() == (ADDRESS, KEY)
    monkeypatch.setenv("COOKBOOK_KEY", OTHER_KEY)
    assert found() == (ADDRESS, OTHER_KEY)
    assert found(ADDRESS, KEY) == (ADDRESS, KEY)


def test_a_key_is_never_sent_to_another_room_than_its_own(folder, monkeypatch):
    (folder / ".env").write_text(LINES)
    monkeypatch.setenv("COOKBOOK_SERVICE", OTHER)
    with pytest.raises(KeyMissing):
        found()
    with pytest.raises(KeyMissing):
        found("http://10.0.0.3:8765")
    # The same room, written in another way.
    assert found("10.0.0.1：8765/v1/") == (ADDRESS, KEY)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_missing_key_says_where_to_write_it(folder, monkeypatch, language):
    monkeypatch.setenv("COOKBOOK_LANG", language)
    (folder / ".env").write_text(f"COOKBOOK_SERVICE={ADDRESS}")
    with pytest.raises(KeyMissing) as caught:
        found()
    assert str(folder / ".env") in str(caught.value) and "COOKBOOK_KEY=room-…" in str(caught.value)


def test_a_key_alone_names_no_room():
    with pytest.raises(ArgumentError, match="地址"):
        found(None, KEY)


def test_a_word_in_the_environment_is_refused_by_its_name(monkeypatch):
    monkeypatch.setenv("COOKBOOK_SERVICE", "classroom")
    with pytest.raises(ArgumentError, match="COOKBOOK_SERVICE"):
        found()


@pytest.mark.parametrize(
    "line",
    [
        f"COOKBOOK_KEY: {KEY}",
        f"COOKBOOK_KEY＝{KEY}",
        f'COOKBOOK_KEY="{KEY}',
        "COOKBOOK_KEY",
        f"export COOKBOOK_KEY {KEY}",
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_not_shown(folder, line):
    (folder / ".env").write_text(f"# room\nCOOKBOOK_SERVICE={ADDRESS}\n{line}\n", encoding="utf-8")
    with pytest.raises(ArgumentError, match="第 3 行") as caught:
        found()
    assert "COOKBOOK_KEY" in str(caught.value) and "abcd" not in str(caught.value)


def test_an_unreadable_file_is_a_warning(folder, monkeypatch):
    (folder / ".env").write_text(LINES)

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder), "open", refuse)
    with pytest.warns(UserWarning, match="已忽略"):
        assert found() is None


def test_no_key_is_ever_shown(folder):
    (folder / ".env").write_text(LINES)
    invited = invitation.find()
    assert "abcd" not in repr(invited)


def give_to_another_user(path):
    """Make a file another user's."""
    if os.geteuid():
        pytest.skip("only root can give files away")
    os.chown(path, 12345, -1)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps such rights elsewhere")
def test_what_another_user_has_put_above_is_not_followed(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("COOKBOOK_KEY", KEY)
    theirs = tmp_path / ".env"
    theirs.write_text(f"COOKBOOK_SERVICE={OTHER}\nCOOKBOOK_KEY='no end\n")
    give_to_another_user(theirs)
    with pytest.warns(UserWarning, match=".env 是别的用户放的"):
        assert found() is None


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps such rights elsewhere")
def test_a_course_that_belongs_to_another_user_names_its_room(tmp_path, folder):
    (tmp_path / ".env").write_text(LINES)
    for path in (folder, tmp_path / ".env"):
        give_to_another_user(path)
    assert found() == (ADDRESS, KEY)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps such rights elsewhere")
def test_what_another_user_says_of_other_things_is_no_warning(tmp_path):
    (tmp_path / ".env").write_text("A=1\n")
    give_to_another_user(tmp_path / ".env")
    assert found() is None
