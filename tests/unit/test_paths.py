import pytest

from cookbook import paths
from cookbook.errors import ArgumentError


def test_a_cell_that_changes_the_folder_does_not_change_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("COOKBOOK_HOME", raising=False)
    monkeypatch.setattr(paths, "in_checkout", lambda: False)  # as from a wheel
    paths._first_folder.cache_clear()
    monkeypatch.chdir(tmp_path)
    first = paths.home()
    monkeypatch.chdir("/")
    assert paths.home() == first == tmp_path / ".cookbook"
    paths._first_folder.cache_clear()


def test_a_relative_data_folder_stays_where_it_is_too(tmp_path, monkeypatch):
    monkeypatch.setenv("COOKBOOK_HOME", "data")
    paths._first_folder.cache_clear()
    monkeypatch.chdir(tmp_path)
    first = paths.home()
    monkeypatch.chdir("/")
    assert paths.home() == first == tmp_path / "data"
    paths._first_folder.cache_clear()


def test_a_home_that_the_system_does_not_know_is_named(monkeypatch):
    monkeypatch.setenv("COOKBOOK_HOME", "~no-such-user/data")
    with pytest.raises(ArgumentError, match="~no-such-user"):
        paths.home()


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    """A current folder in which nothing can be made, and a user's own folder, as from a wheel."""
    course, own = tmp_path / "course", tmp_path / "own"
    course.mkdir()
    own.mkdir()
    monkeypatch.delenv("COOKBOOK_HOME", raising=False)
    monkeypatch.setenv("HOME", str(own))
    monkeypatch.setenv("USERPROFILE", str(own))
    monkeypatch.setattr(paths, "in_checkout", lambda: False)
    # Root may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(paths.os, "access", lambda path, _: path != course)
    monkeypatch.chdir(course)
    paths._first_folder.cache_clear()
    yield course, own
    paths._first_folder.cache_clear()


def test_beside_a_read_only_course_the_data_folder_is_the_users_own(read_only):
    _, own = read_only
    assert paths.home() == own / ".cookbook"


def test_a_data_folder_that_is_there_is_never_left_for_another(read_only):
    course, _ = read_only
    (course / ".cookbook").mkdir()
    assert paths.home() == course / ".cookbook"


def test_a_user_without_a_folder_is_told_of_the_one_that_was_refused(read_only, monkeypatch):
    course, own = read_only
    monkeypatch.setattr(paths.os, "access", lambda *_: False)
    assert paths.home() == course / ".cookbook"
