"""Give tests and notebooks a data folder of their own, and stop the services they started.

NOTEBOOKS_HOME names a folder for the notebooks that outlives one run of pytest: see the Makefile.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config):
    config.runs_notebooks = any(config.getoption(name, False) for name in ("nbval", "nbval_lax"))
    # Notebooks that run side by side share one service, so that each finds what another trained.
    config.shares_home = config.runs_notebooks and hasattr(config, "workerinput")
    if not config.shares_home:
        given = config.runs_notebooks and os.environ.get("NOTEBOOKS_HOME")
        config.cookbook_home = Path(given or tempfile.mkdtemp(prefix="cookbook-test-"))
        config.keeps_home = bool(given)
        os.environ["COOKBOOK_HOME"] = str(config.cookbook_home)
    os.environ |= {"COOKBOOK_LANG": "zh", "OMP_WAIT_POLICY": "PASSIVE"}
    if hasattr(config, "workerinput") and not config.runs_notebooks:
        # Side by side, one thread each gets more done than two each that take turns on a core.
        share = (os.cpu_count() or 1) // config.workerinput["workercount"]
        os.environ["OMP_NUM_THREADS"] = str(max(1, share))
    os.environ["HF_HUB_OFFLINE"] = "1"  # no test needs a hub
    for name in (
        "COOKBOOK_BASE_MODEL",
        "COOKBOOK_API_KEY",
        "COOKBOOK_ENGINE",
        "COOKBOOK_ENGINE_KEY",
        "COOKBOOK_ENGINE_MODELS",
        "COOKBOOK_SERVICE",
        "COOKBOOK_KEY",
        "COOKBOOK_REUSE",
        "SILICONFLOW_API_KEY",
        "SILICONCLOUD_API_KEY",
    ):
        os.environ.pop(name, None)
    if config.runs_notebooks:
        # Notebooks of both languages may be run by one process: each says which is its own.
        del os.environ["COOKBOOK_LANG"]
        # What one notebook has trained is not trained again for another that asks for the same.
        os.environ["COOKBOOK_REUSE"] = "1"


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
    if config.shares_home:
        return
    from cookbook.connection import stop

    stop(config.cookbook_home)
    if not config.keeps_home:
        shutil.rmtree(config.cookbook_home, ignore_errors=True)
