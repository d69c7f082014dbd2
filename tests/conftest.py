"""Fixtures of several folders: a row, a data folder, a service, a stand-in for SiliconCloud."""

import pytest
from openai import OpenAI
from siliconcloud import SiliconCloud
from support import make_row, write_base

from cookbook import connect
from cookbook.paths import Home
from cookbook.service.store import Store


@pytest.fixture
def row():
    return make_row


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def store(home):
    return Store(home.database)


@pytest.fixture(scope="session")
def service():
    """Start or find the embedded service; unit tests, which need no torch, never ask for it."""
    return connect()


@pytest.fixture
def client(service):
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        yield client


@pytest.fixture
def siliconcloud(monkeypatch):
    """Run a stand-in for SiliconCloud, to which `connect("siliconcloud")` connects."""
    with SiliconCloud() as cloud:
        monkeypatch.setenv("SILICONFLOW_BASE_URL", cloud.base_url)
        monkeypatch.setenv("SILICONFLOW_API_KEY", cloud.api_key)
        yield cloud


@pytest.fixture(scope="session")
def small_base(tmp_path_factory):
    """A Qwen2 checkpoint of two layers with random weights, quick enough to train in a test."""
    from transformers import AutoTokenizer

    from cookbook.bases import Base
    from cookbook.paths import DATA

    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    folder = write_base(tmp_path_factory.mktemp("base") / "small", tokenizer)
    return Base("small", str(folder), learning_rate_scale=10)
