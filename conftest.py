"""Give tests and notebooks a data folder of their own, and stop the services they started."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config):
    config.cookbook_home = Path(tempfile.mkdtemp(prefix="cookbook-test-"))
    os.environ |= {
        "COOKBOOK_HOME": str(config.cookbook_home),
        "COOKBOOK_LANG": "zh",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    # Notebooks of both languages are run by one process: each says which is its own.
    if config.getoption("nbval", False) or config.getoption("nbval_lax", False):
        del os.environ["COOKBOOK_LANG"]
    os.environ["HF_HUB_OFFLINE"] = "1"  # no test needs a hub
    for name in (
        "COOKBOOK_BASE_MODEL",
        "COOKBOOK_API_KEY",
        "COOKBOOK_ENGINE",
        "COOKBOOK_ENGINE_KEY",
        "COOKBOOK_ENGINE_MODELS",
        "COOKBOOK_SERVICE",
        "COOKBOOK_KEY",
        "SILICONFLOW_API_KEY",
        "SILICONCLOUD_API_KEY",
    ):
        os.environ.pop(name, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail a cell of a notebook that shows a text of the package in the other language."""
    if type(item).__name__ != "IPyNbCell":
        return (yield)
    import other_language  # in tests/, which pytest adds to the path after this module

    with other_language.recorded(item.parent) as shown:
        result = yield
    found = other_language.sentences(shown, other_language.edition(item.path))
    if found:
        pytest.fail(f"the cell shows texts of the other language: {found}", pytrace=False)
    return result


def pytest_unconfigure(config):
    from cookbook.connection import stop

    stop(config.cookbook_home)
    shutil.rmtree(config.cookbook_home, ignore_errors=True)
