"""Fixtures that need the embedded service or torch."""

import pytest
from openai import OpenAI
from support import write_base

from cookbook import connect


@pytest.fixture(scope="session")
def service():
    """The embedded service, really running."""
    return connect()


@pytest.fixture
def client(service):
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def small_base(tmp_path_factory):
    """A Qwen2 checkpoint of two layers with random weights, quick enough to train in a test."""
    from transformers import AutoTokenizer

    from cookbook.bases import Base
    from cookbook.paths import DATA

    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    folder = write_base(tmp_path_factory.mktemp("base") / "small", tokenizer)
    return Base("small", str(folder), learning_rate_scale=10)
