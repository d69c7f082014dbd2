"""What is known of a base model: its weights, how many of them a LoRA adapter trains, how fast this machine trains it.

    offered(client)            the bases that can be tuned there
    facts(base_model, client)  weights from the base's configuration; speed from the service's newest finished job

An adapter of rank r trains r × (in + out) weights beside each linear layer. The embedded service puts one beside every
linear layer of the body (`local/train.py`); which layers SiliconCloud trains is not documented.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cookbook.jobs import CONSOLE_BASES
from cookbook.paths import DATA

_KEYS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
)  # fmt: skip
# From the published config.json of each; none ties its embeddings.
_PUBLISHED = {
    "Qwen/Qwen2.5-7B-Instruct": (3584, 18944, 28, 28, 4, 152064),
    "Qwen/Qwen2.5-14B-Instruct": (5120, 13824, 48, 40, 8, 152064),
    "Qwen/Qwen2.5-32B-Instruct": (5120, 27648, 64, 40, 8, 152064),
    "Qwen/Qwen2.5-72B-Instruct": (8192, 29568, 80, 64, 8, 152064),
}


@dataclass(frozen=True)
class Facts:
    """`parameters` of the base, `per_rank` weights trained for each unit of rank; None where it is not known."""

    parameters: int | None = None
    per_rank: int | None = None
    learning_rate_scale: float = 1.0
    tokens_per_second: float | None = None

    def trained(self, rank: int) -> int | None:
        """Weights that an adapter of this rank trains."""
        return self.per_rank and self.per_rank * rank

    def share(self, rank: int) -> float | None:
        """The same as a share of the base's weights."""
        return self.parameters and self.trained(rank) / self.parameters


def on_siliconcloud(client) -> bool:
    """Whether the client's requests go to the platform, which has no public route for fine-tuning."""
    return client.base_url.host.endswith(("siliconflow.cn", "siliconflow.com"))


def offered(client=None) -> list[str]:
    """The bases that can be tuned: what the service lists, tuned models left out. SiliconCloud lists every model it has
    but not which can be tuned, so there, and without a client, they are those of its guide (`jobs.CONSOLE_BASES`)."""
    if client is None or on_siliconcloud(client):
        return list(CONSOLE_BASES)
    return [model.id for model in client.models.list() if not model.id.startswith("ft:")]


def facts(base_model: str, client=None) -> Facts:
    """What its configuration says, and what the newest finished job on this base measured."""
    known = _configured(base_model)
    if client is None or on_siliconcloud(client):  # no public route lists jobs there
        return known
    jobs = client.fine_tuning.jobs.list(limit=100).data  # newest first
    done = next(
        (job for job in jobs if job.status == "succeeded" and job.model == base_model), None
    )
    return _measured(client, done, known) if done else known


def from_config(config: dict, **more) -> Facts:
    """Weights of a model of Qwen2's architecture, from its config.json."""
    width, inner, layers, heads, kv_heads, vocabulary = (config[key] for key in _KEYS)
    narrow = width // heads * kv_heads
    linear = [(width, width), (width, narrow), (width, narrow), (width, width)]  # q, k, v, o
    linear += [(width, inner), (width, inner), (inner, width)]  # gate, up, down
    biases_and_norms = width + 2 * narrow + 2 * width
    body = layers * (sum(a * b for a, b in linear) + biases_and_norms) + width
    embeddings = vocabulary * width * (1 if config.get("tie_word_embeddings") else 2)
    return Facts(body + embeddings, layers * sum(a + b for a, b in linear), **more)


def _configured(base_model: str) -> Facts:
    if base_model in _PUBLISHED:
        return from_config(dict(zip(_KEYS, _PUBLISHED[base_model], strict=True)))
    chosen = Path(os.environ.get("COOKBOOK_BASE_MODEL", "")).expanduser()
    folders = {_read(card)["id"]: card.parent for card in DATA.glob("models/*/cookbook.json")} | {
        chosen.name: chosen
    }
    if base_model not in folders:
        return Facts()
    config, card = (_read(folders[base_model] / name) for name in ("config.json", "cookbook.json"))
    if config.get("model_type") != "qwen2":
        return Facts()
    return from_config(config, learning_rate_scale=card.get("learning_rate_scale", 1.0))


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _measured(client, job, known: Facts) -> Facts:
    """The job's speed at its end; its weights too where no configuration told them."""
    for event in client.fine_tuning.jobs.list_events(
        job.id, limit=1000
    ):  # newest first; pages follow by themselves
        data = event.data or {}
        if known.tokens_per_second is None and event.type == "metrics":
            known = dataclasses.replace(known, tokens_per_second=data["tokens_per_second"])
        if "adapter_parameters" in data:
            trained, rank = data["adapter_parameters"], job.hyperparameters.lora_rank
            known = dataclasses.replace(
                known, parameters=data["parameters"] - trained, per_rank=trained // rank
            )
        if known.parameters and known.tokens_per_second:
            break
    return known
