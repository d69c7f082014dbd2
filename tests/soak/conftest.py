"""Fixtures of the soak tests: a data folder of their own, and one short job that nothing disturbed."""

import pytest
from support import train_disturbed

from cookbook.connection import stop


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    yield folder
    stop(folder)


@pytest.fixture(scope="module")
def unbroken(home):
    return train_disturbed(home)
