"""Fixtures of all tests: a row, and a stand-in for SiliconCloud."""

import pytest
from siliconcloud import SiliconCloud
from support import make_row


@pytest.fixture
def row():
    return make_row


@pytest.fixture
def siliconcloud(monkeypatch):
    """Run a stand-in for SiliconCloud, to which `connect("siliconcloud")` connects."""
    with SiliconCloud() as cloud:
        monkeypatch.setenv("SILICONFLOW_BASE_URL", cloud.base_url)
        monkeypatch.setenv("SILICONFLOW_API_KEY", cloud.api_key)
        yield cloud
