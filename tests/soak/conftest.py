"""What the soak tests share: services that run, and which files may run beside others."""

from pathlib import Path

import pytest
from support import train_disturbed

from cookbook.connection import stop

ALONE = {
    # They measure waits, or need the whole machine for the people in them.
    "test_hub",
    "test_load",
    "test_room",
    "test_size",
    # Its tests all have one name: handed out by file, only one of them would run.
    "test_fuzz",
}
"""Files that nothing runs beside."""


def pytest_collection_modifyitems(items):
    """Mark who runs alone; of the others `make soak` runs two files side by side."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.stem in ALONE:
            item.add_marker(pytest.mark.alone)


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
