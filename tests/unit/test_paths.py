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
