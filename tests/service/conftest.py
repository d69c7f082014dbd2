"""Fixtures that need torch."""

import pytest
from support import write_base


@pytest.fixture(scope="session")
def small_base(tmp_path_factory):
    """A Qwen2 checkpoint of two layers with random weights, quick enough to train in a test."""
    from transformers import AutoTokenizer

    from cookbook.bases import Base
    from cookbook.paths import DATA

    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    folder = write_base(tmp_path_factory.mktemp("base") / "small", tokenizer)
    return Base("small", str(folder), learning_rate_scale=10)
