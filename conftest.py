"""Give tests and notebooks a data folder of their own, and stop the services they started."""

import os
import shutil
import tempfile
from pathlib import Path


def is_english(arguments):
    """Return whether the English notebooks are run: one process has one language."""
    return all(Path(a).parent.name == "en" or Path(a).name == "en" for a in arguments)


def pytest_configure(config):
    config.cookbook_home = Path(tempfile.mkdtemp(prefix="cookbook-test-"))
    os.environ |= {
        "COOKBOOK_HOME": str(config.cookbook_home),
        "COOKBOOK_LANG": "en" if is_english(config.args) else "zh",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
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


def pytest_unconfigure(config):
    from cookbook.connection import stop

    stop(config.cookbook_home)
    shutil.rmtree(config.cookbook_home, ignore_errors=True)
