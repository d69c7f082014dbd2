"""Keep the unit tests free of torch, so that `make check` takes a minute; share fixtures."""

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import client_of

# Few examples keep `make check` quick; tests/soak/test_properties.py takes many. No deadline:
# the first call reads the vocabulary, and the machine may be busy.
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("few", max_examples=20, **SLOW)
settings.register_profile("many", max_examples=400, **SLOW)
settings.load_profile("few")

HEAVY = {"torch", "transformers", "peft"}


class Refuse(MetaPathFinder):
    """Make the import of a heavy library an error that says where such a test belongs."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(
                f"a unit test imported {name}: a test that needs it belongs in tests/service"
            )


def pytest_configure(config):
    # With the other folders in the same run, their modules have loaded torch already.
    paths = [Path(arg.partition("::")[0]).resolve() for arg in config.args]
    if all(path.is_relative_to(Path(__file__).parent) for path in paths):
        sys.meta_path.insert(0, Refuse())


@pytest.fixture
def leader(app):
    """Return a client of the test's own `app`, whose key is "leaders"."""
    return client_of(app, "leaders")


@pytest.fixture
def person(app, store):
    """Return a client of somebody in the room."""
    return client_of(app, store.add_person("李雷"))


@pytest.fixture
def no_chinese_font(monkeypatch):
    """Hide the fonts of this machine; those that come with matplotlib have no Chinese."""
    from matplotlib import font_manager, get_data_path

    from cookbook import fonts

    known = font_manager.fontManager.ttflist
    own = [entry for entry in known if entry.fname.startswith(get_data_path())]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    fonts._search.cache_clear()
    yield
    fonts._search.cache_clear()


@pytest.fixture(scope="session")
def chinese_font_file(tmp_path_factory):
    """Write the file of a Chinese font, the same on every machine."""
    from font_file import CHINESE, write_font

    path = tmp_path_factory.mktemp("fonts") / "chinese.ttf"
    return write_font(path, "FandolHei", characters=CHINESE)


@pytest.fixture
def chinese_font(no_chinese_font, chinese_font_file):
    """Install one Chinese font."""
    from matplotlib.font_manager import fontManager

    fontManager.addfont(chinese_font_file)
