"""Keep one card for each base model: source, sizes, learning-rate scale, a corpus that suits it.

    installed()            the bases that the embedded service can tune here, the preferred first
    find(base_id)          one of them
    card(base_id, client)  what is known of any base, with the speed that the service measured
    offered(client)        the names that can be tuned there

The tiny base is in `data/models/`. Any other Qwen2.5-style checkpoint is chosen with
`COOKBOOK_BASE_MODEL`, by folder or hub name. Read by helpers and service alike; loading the weights
is the engine's work.

A LoRA adapter of rank r trains r × (in + out) weights beside each linear layer. The embedded
service puts one beside every linear layer of the body; which layers SiliconCloud trains is not
documented.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import siliconcloud
from cookbook.errors import BaseAway
from cookbook.paths import DATA

if TYPE_CHECKING:
    from openai import OpenAI

LOCAL = "local:"
"""Before the name of a base that is on no hub; hubs allow no colon in a name."""

_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)
# From the published config.json of each, in the order of `_SIZES`; none ties its embeddings.
_PUBLISHED = {
    "Qwen/Qwen2.5-7B-Instruct": (3584, 18944, 28, 28, 4, 152064),
    "Qwen/Qwen2.5-14B-Instruct": (5120, 13824, 48, 40, 8, 152064),
    "Qwen/Qwen2.5-32B-Instruct": (5120, 27648, 64, 40, 8, 152064),
    "Qwen/Qwen2.5-72B-Instruct": (8192, 29568, 80, 64, 8, 152064),
}


@dataclass(frozen=True)
class Base:
    """A base model's card.

    Attributes:
        id: its public name, as the API lists it.
        source: the folder or hub name that its weights are loaded from.
        learning_rate_scale: what the service multiplies a learning rate by. The guide's 0.0001 is
            meant for billions of parameters; the tiny base needs more to learn the same in the same
            number of steps.
        corpus: the file in `data/zhishuoxinyu` that suits it: the tiny base can learn a pattern,
            not wit.
        parameters: weights of the base; None where they are not known.
        parameters_per_rank: weights that an adapter trains for each unit of its rank; None where
            not known.
        tokens_per_second: training speed that a service measured; None before the first job.
    """

    id: str
    source: str
    learning_rate_scale: float = 1.0
    corpus: str = "train.jsonl"
    parameters: int | None = None
    parameters_per_rank: int | None = None
    tokens_per_second: float | None = None

    @property
    def on_hub(self) -> bool:
        """Return whether it is loaded by its name on a hub, and not from a folder."""
        return self.source == self.id

    @property
    def is_shipped(self) -> bool:
        """Return whether it is one of the project's own."""
        return Path(self.source).parent == DATA / "models"

    @property
    def folder_name(self) -> str:
        """The name of its folder; only for a base that is loaded from one."""
        return Path(self.source).name

    @property
    def reference(self) -> str:
        """Return how an adapter names its base.

        A base that was loaded from a folder gets a name that no hub allows: anybody could register
        its plain one there, and PEFT would load what they put under it.
        """
        return self.id if self.on_hub else LOCAL + self.id

    def adapter_parameters(self, rank: int) -> int | None:
        """Return how many weights an adapter of this rank trains."""
        return None if self.parameters_per_rank is None else self.parameters_per_rank * rank

    def adapter_share(self, rank: int) -> float | None:
        """Return the same as a share of the base's weights."""
        trained = self.adapter_parameters(rank)
        return None if trained is None or not self.parameters else trained / self.parameters


def chosen() -> str | None:
    """Return what `COOKBOOK_BASE_MODEL` names: the whole path of a folder, a hub name, or None."""
    given = os.environ.get("COOKBOOK_BASE_MODEL")
    if not given:
        return None
    folder = Path(given).expanduser()
    return str(folder.resolve()) if folder.is_dir() else given


def installed() -> list[Base]:
    """Return the bases that this machine can tune, that of `COOKBOOK_BASE_MODEL` first."""
    cards = sorted((DATA / "models").glob("*/cookbook.json"))
    shipped = [_in_folder(path.parent) for path in cards]
    chosen = os.environ.get("COOKBOOK_BASE_MODEL")
    if not chosen:
        return shipped
    # A folder or the name on a hub, as `from_pretrained` takes both.
    folder = Path(chosen).expanduser()
    first = (
        _in_folder(folder.resolve(), name=folder.name) if folder.is_dir() else _published(chosen)
    )
    return [first, *shipped]


def find(base_id: str) -> Base:
    """Return the installed base of that name.

    Raises:
        BaseAway: there is none, since `COOKBOOK_BASE_MODEL` has changed.
    """
    for base in installed():
        if base.id == base_id:
            return base
    raise BaseAway(
        zh=f"基础模型 {base_id} 不在了：把 COOKBOOK_BASE_MODEL 设回原来的值，再重启服务",
        en=f"the base model {base_id} is gone: set COOKBOOK_BASE_MODEL as it was "
        "and restart the service",
    )


def referred(reference: str) -> str:
    """Return the id of the base that an adapter's `base_model_name_or_path` names."""
    return reference.removeprefix(LOCAL)


def offered(client: "OpenAI | None" = None) -> list[str]:
    """Return the names that can be tuned: what the service lists, tuned models left out.

    SiliconCloud lists every model that it has but not which can be tuned, so there, and without a
    client, the names are those of its guide (`siliconcloud.BASES`).
    """
    if client is None or siliconcloud.is_siliconcloud(client):
        return list(siliconcloud.BASES)
    names = [model.id for model in client.models.list()]
    return [name for name in names if not name.startswith("ft:")]


def card(base_id: str, client: "OpenAI | None" = None) -> Base:
    """Return what is known of a base: its sizes, and the speed of its newest finished job.

    Nothing is made up: of an unknown base only its name is known.
    """
    here = next((base for base in installed() if base.id == base_id), None)
    known = here or _published(base_id)
    # No public route of the platform lists jobs.
    if client is None or siliconcloud.is_siliconcloud(client):
        return known
    for job in client.fine_tuning.jobs.list(limit=100).data:  # newest first
        if job.status == "succeeded" and job.model == base_id:
            return _measured(client, job, known)
    return known


def sizes(config: dict[str, Any]) -> dict[str, Any]:
    """Return `parameters` and `parameters_per_rank` of a Qwen2 model, from its config.json."""
    values = [config[name] for name in _SIZES]
    width, inner, layers, heads, kv_heads, vocabulary = values
    kv_width = width // heads * kv_heads
    # (inputs, outputs) of each linear layer.
    query = output = (width, width)
    key = value = (width, kv_width)
    gate = up = (width, inner)
    down = (inner, width)
    linear = [query, key, value, output, gate, up, down]
    weights = sum(n_in * n_out for n_in, n_out in linear)
    biases = width + 2 * kv_width  # of q, k and v
    norms = 2 * width
    embeddings = vocabulary * width * (1 if config.get("tie_word_embeddings") else 2)
    return {
        "parameters": layers * (weights + biases + norms) + width + embeddings,
        "parameters_per_rank": layers * sum(n_in + n_out for n_in, n_out in linear),
    }


def _published(base_id: str) -> Base:
    if base_id not in _PUBLISHED:
        return Base(base_id, source=base_id)
    config = dict(zip(_SIZES, _PUBLISHED[base_id], strict=True))
    return Base(base_id, source=base_id, **sizes(config))


def _in_folder(folder: Path, name: str | None = None) -> Base:
    """Return the card of a checkpoint folder. `tools/tiny_base` writes the cookbook.json."""
    own = _read(folder / "cookbook.json")
    config = _read(folder / "config.json")
    known = sizes(config) if config.get("model_type") == "qwen2" else {}
    return Base(
        id=name or own["id"],
        source=str(folder),
        learning_rate_scale=own.get("learning_rate_scale", 1.0),
        corpus=own.get("corpus", "train.jsonl"),
        **known,
    )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _measured(client: "OpenAI", job: Any, known: Base) -> Base:
    """Add the job's speed at its end, and its weights where no configuration gave them."""
    # Newest first; further pages come by themselves.
    for event in client.fine_tuning.jobs.list_events(job.id, limit=1000):
        data: dict[str, Any] = event.data if isinstance(event.data, dict) else {}
        if known.tokens_per_second is None and event.type == "metrics":
            known = dataclasses.replace(known, tokens_per_second=data["tokens_per_second"])
        if known.parameters is None and "adapter_parameters" in data:
            trained, rank = data["adapter_parameters"], job.hyperparameters.lora_rank
            known = dataclasses.replace(
                known, parameters=data["parameters"], parameters_per_rank=trained // rank
            )
        if known.parameters and known.tokens_per_second:
            break
    return known
