"""Fixtures of the soak tests: services that run, and one short job that nothing disturbed."""

import pytest
from support import train_disturbed

from cookbook.connection import stop


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a data folder of its own, and stop at the end whatever runs on it."""
    folder = tmp_path_factory.mktemp("home")
    yield folder
    stop(folder)


@pytest.fixture(scope="module")
def unbroken(home):
    """Return the short job's result when nothing disturbs it."""
    return train_disturbed(home)
