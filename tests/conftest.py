import pytest
from openai import OpenAI
from siliconcloud import SiliconCloud

from cookbook import connect


def make_row(system="你是客服助手", user="如何修改收货地址？", assistant="您可以在订单详情里修改。"):
    """A valid row; a test overrides one field."""
    roles = {"system": system, "user": user, "assistant": assistant}
    return {"messages": [{"role": role, "content": text} for role, text in roles.items() if text is not None]}


@pytest.fixture
def row():
    return make_row


@pytest.fixture(scope="session")
def service():
    """The embedded service, really running."""
    return connect()


@pytest.fixture
def client(service):
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        yield client


@pytest.fixture
def siliconcloud(monkeypatch):
    """A server that behaves as SiliconCloud is documented to; `connect("siliconcloud")` leads to it."""
    with SiliconCloud() as cloud:
        monkeypatch.setenv("SILICONFLOW_BASE_URL", cloud.base_url)
        monkeypatch.setenv("SILICONFLOW_API_KEY", cloud.api_key)
        yield cloud


SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}  # a model quick enough for a test
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2}


def write_base(folder, tokenizer, **sizes):
    """A Qwen2 checkpoint with random weights, two small layers unless told otherwise; returns the folder."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    usual = SMALL | {"max_position_embeddings": 512, "tie_word_embeddings": True}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=len(tokenizer), **usual | ids | sizes)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_base(tmp_path_factory):
    """A Qwen2 checkpoint of two layers with random weights, quick enough to train in a test."""
    from transformers import AutoTokenizer

    from cookbook.local.models import Base
    from cookbook.paths import DATA

    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    folder = write_base(tmp_path_factory.mktemp("base") / "small", tokenizer)
    return Base("small", str(folder), learning_rate_scale=10)
