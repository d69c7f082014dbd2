"""A library that `%pip install` replaced under a running kernel is named, with what to do."""

import sys
import warnings
from types import SimpleNamespace

import pytest

from cookbook import connect, loaded
from cookbook.errors import ArgumentError


@pytest.fixture
def old_openai(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", SimpleNamespace(__version__="1.0.0"))


def test_the_libraries_of_this_very_process_are_those_installed():
    assert loaded.replaced() == []


def test_a_replaced_library_is_named_with_both_versions(old_openai):
    [found] = loaded.replaced()
    assert found.startswith("openai 1.0.0 → ")


def test_connect_warns_in_the_readers_own_line_and_says_restart(old_openai):
    with pytest.warns(UserWarning, match="重启内核") as caught, pytest.raises(ArgumentError):
        connect("nowhere")
    assert caught[0].filename == __file__


def test_a_library_without_a_package_or_a_version_is_no_reason_to_warn(monkeypatch):
    monkeypatch.setattr(loaded, "LIBRARIES", ("here", "json"))
    monkeypatch.setitem(sys.modules, "here", SimpleNamespace(__version__="1"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded.warn()
