"""Fixtures of all tests: a row, and a server that behaves as SiliconCloud is documented to."""

import pytest
from siliconcloud import SiliconCloud
from support import make_row


@pytest.fixture
def row():
    return make_row


@pytest.fixture
def siliconcloud(monkeypatch):
    """A server that behaves as SiliconCloud is documented to; `connect("siliconcloud")` leads to it."""
    with SiliconCloud() as cloud:
        monkeypatch.setenv("SILICONFLOW_BASE_URL", cloud.base_url)
        monkeypatch.setenv("SILICONFLOW_API_KEY", cloud.api_key)
        yield cloud
