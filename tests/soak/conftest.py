"""What the soak tests share: services that run, and which files may run beside others."""

from pathlib import Path

import pytest
from support import train_disturbed

from cookbook.connection import stop

ALONE = {"test_hub", "test_load", "test_room", "test_size"}
"""Files that measure waits, or need the whole machine for the people in them."""
ONE_AT_A_TIME = {"test_cluster": "ray", "test_cluster_service": "ray"}
"""Files by what there can only be one of on a machine."""


def pytest_collection_modifyitems(items):
    """Mark who runs alone, and keep each file in one process (`make soak` has two)."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            name = item.path.stem
            item.add_marker(pytest.mark.xdist_group(ONE_AT_A_TIME.get(name, name)))
            if name in ALONE:
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
